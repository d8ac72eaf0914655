"""R41: every read of payloads and every refusal is recorded. Scopes: a principal sees no trace of runs out of scope, not even in counts."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import stat
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from agentgrid.api.access import ACCESS, V1
from agentgrid.cli.servers.child import Child, make_home, open_private_log
from agentgrid.control import keys, principals, reads
from agentgrid.control.reads import Reading, Recorder
from agentgrid.db import scopes as sql
from agentgrid.db.session import make_engine, reading
from agentgrid.domain import scopes
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.domain.reads import ReadOutcome
from agentgrid.worker.policy import PolicySource, _Moment
from tests.api import factories
from tests.api.conftest import SETUP, Api, api, as_, eventually, listening
from tests.api.test_streams import take

__all__ = ["api", "as_"]

As = Callable[[str | None], httpx.AsyncClient]

NARROW = {
    "scoped": (Role.OPERATOR, Role.AUDITOR),
    "scoped-approver": (Role.APPROVER,),
    "blind": (Role.OPERATOR,),
}


@pytest.fixture(scope="module")
async def narrow(api: Api) -> Api:
    """Principals with a scope: workflows that begin with `in_`, or none."""
    engine = api.plane.engine
    for name, roles in NARROW.items():
        globs = frozenset() if name == "blind" else frozenset({"in_*"})
        await principals.put(
            engine,
            SETUP,
            Principal(name=name, kind=PrincipalKind.HUMAN, roles=frozenset(roles), workflows=globs),
        )
        made = await keys.create(engine, SETUP, principal=name, lifetime=timedelta(days=1))
        api.tokens[name] = made.secret
    return api


@pytest.fixture(scope="module")
async def sides(narrow: Api) -> dict[str, Any]:
    """A run in the scope and one out of it, each with all related rows."""
    found: dict[str, Any] = {}
    for side in ("in", "out"):
        run = factories.run(
            workflow=f"{side}_flow",
            task_queue=f"{side}-queue",
            reference=f"{side}-reference",
            input={"size": 9, "value": f"{side}-secret"},
        )
        parent = factories.run(workflow="in_parent", status="completed", closed_at=run.created_at)
        child = factories.run(workflow=f"{side}_child", parent_run_id=parent.run_id)
        gate = factories.under(narrow.plane.signer, factories.approval(run))
        await factories.insert(
            narrow.plane.engine,
            *factories.workflow(f"{side}_flow", {}, task_queue=f"{side}-queue"),
            run,
            parent,
            child,
            factories.execution(run),
            factories.step(run, 5),
            gate,
        )
        found |= {f"{side}_run": run, f"{side}_gate": gate, f"{side}_parent": parent, f"{side}_child": child}
    return found


async def test_an_id_out_of_scope_answers_like_an_unknown_id(narrow: Api, as_: As, sides: dict[str, Any]) -> None:
    out, gate = sides["out_run"].run_id, sides["out_gate"].approval_id
    for who in ("scoped", "blind"):
        for route, access in ACCESS.items():
            method, path = route.split(" ", 1)
            if "{run_id}" in path:
                bodies = {"signal": {"name": "tell"}}
                inner = {"name": "tell", "command_id": "any"}
                place, unknown = path.format(run_id=out, **inner), path.format(run_id="nothing", **inner)
            elif path.endswith("/approvals/{approval_id}"):
                bodies, place, unknown = {}, path.format(approval_id=gate), path.format(approval_id="nothing")
            else:
                continue
            body = {"json": bodies.get(path.rsplit("/", 1)[1], {})} if method == "POST" else {}
            answers = [await as_(who).request(method, where, **body) for where in (place, unknown)]
            told = [
                (
                    answer.status_code,
                    answer.json()["detail"].replace(out, "?").replace(gate, "?").replace("nothing", "?"),
                )
                for answer in answers
            ]
            assert told[0][0] == 404, (who, route, access)
            assert told[0] == told[1]
    start = await as_("scoped").post(f"{V1}/workflows/out_flow/runs", json={"input": 1})
    assert start.status_code == 404
    decision = {"verdict": "approved", "digest": sides["out_gate"].digest}
    for approval_id in (gate, "nothing"):
        refused = await as_("scoped-approver").post(f"{V1}/approvals/{approval_id}/decisions", json=decision)
        assert refused.status_code == 404
        told = await as_("scoped-approver").get(f"{V1}/commands/{refused.json()['command_id']}")
        assert told.status_code == 404, approval_id
    assert (await as_("operator").get(f"{V1}/runs/{out}")).status_code == 200


async def test_lists_searches_and_counts_leave_out_everything_out_of_scope(
    narrow: Api, as_: As, sides: dict[str, Any]
) -> None:
    out = (
        sides["out_run"].run_id,
        sides["out_child"].run_id,
        sides["out_gate"].approval_id,
        "out-reference",
        "out-sec",
    )
    for who, sees in (("scoped", True), ("blind", False), ("scoped-approver", True)):
        for path in (
            "/runs?limit=200",
            "/runs?q=reference",
            f"/runs?q={sides['out_run'].run_id}",
            "/runs?reference=out-reference",
            "/runs?workflow=out_flow",
            "/runs?status=running&limit=200",
            "/runs?initiator=operator",
            "/approvals?limit=200",
            "/approvals?status=pending",
            "/approvals?workflow=out_flow",
            f"/approvals?run={sides['out_run'].run_id}",
            "/approvals?assigned_to=me",
            "/approvals?decidable_by=me",
            "/runs/counts?workflow=out_flow",
            "/workflows/out_flow",
            "/commands?limit=200",
        ):
            answer = await as_(who).get(V1 + path)
            assert answer.status_code == 200, answer.text
            assert not [word for word in out if word in answer.text], (who, path)
        listed = (await as_(who).get(f"{V1}/runs?limit=200")).text
        assert (sides["in_run"].run_id in listed) == sees
    parent = (await as_("scoped").get(f"{V1}/runs/{sides['out_parent'].run_id}")).json()
    assert parent["children"] == []
    assert len((await as_("operator").get(f"{V1}/runs/{sides['out_parent'].run_id}")).json()["children"]) == 1
    numbers = {who: (await as_(who).get(f"{V1}/overview")).json() for who in ("operator", "scoped", "blind")}
    listed = {
        who: (await as_(who).get(f"{V1}/runs?status=running&limit=200")).json()["items"]
        for who in ("operator", "scoped")
    }
    assert {who: numbers[who]["running"]["count"] for who in listed} == {who: len(runs) for who, runs in listed.items()}
    assert {run["workflow"] for run in listed["scoped"]} < {run["workflow"] for run in listed["operator"]}
    assert {each["count"] for each in numbers["blind"].values() if isinstance(each, dict) and "count" in each} == {0}
    mine = (await as_("scoped-approver").get(f"{V1}/overview")).json()["approvals_for_me"]["count"]
    assert mine == 1
    stats = {who: (await as_(who).get(f"{V1}/workflows/out_flow")).json() for who in ("operator", "scoped")}
    assert stats["operator"]["stats"]["open"] == {"running": 1}
    assert (stats["scoped"]["stats"]["open"], stats["scoped"]["last_run"]) == ({}, None)
    assert {each["verb"]: each["allowed"] for each in stats["scoped"]["actions"]}["start"] is False
    queues = {
        each["name"]: each["open_runs"] for each in (await as_("scoped").get(f"{V1}/task-queues")).json()["items"]
    }
    assert (queues["in-queue"], queues["out-queue"]) == (1, 0)
    assert (await as_("scoped").get("/metrics")).status_code == 403


async def test_a_page_is_full_even_if_many_rows_are_out_of_scope(narrow: Api, as_: As) -> None:
    rows = [factories.run(workflow="in_many" if number % 3 == 0 else "out_many") for number in range(30)]
    await factories.insert(narrow.plane.engine, *rows)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (
            await as_("scoped").get(
                f"{V1}/runs", params={"limit": "4", "started_after": "2020-01-01T00:00:00Z"} | cursor
            )
        ).json()
        assert len(page["items"]) == 4 or page["next_cursor"] is None
        seen += [item["run_id"] for item in page["items"] if item["workflow"] == "in_many"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == [row.run_id for row in reversed(rows) if row.workflow == "in_many"]


async def test_streams_carry_only_events_in_scope_and_end_when_it_is_narrowed(
    narrow: Api, sides: dict[str, Any]
) -> None:
    engine = narrow.plane.engine
    await principals.put(engine, SETUP, _viewer("watcher", "in_*"))
    made = await keys.create(engine, SETUP, principal="watcher", lifetime=timedelta(days=1))
    headers = {"Authorization": f"Bearer {made.secret}"}
    inside, outside = sides["in_run"].run_id, sides["out_run"].run_id
    await factories.publish(engine, (inside, "run", {"n": 0}))
    async with listening(narrow.app) as url, httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        first = await _after(narrow)
        assert (await client.get(f"{V1}/runs/{outside}/events")).status_code == 404
        await factories.publish(
            engine,
            (outside, "run", {"n": 1}),
            (inside, "run", {"n": 2}),
            (outside, "end", {}),
            (inside, "run", {"n": 3}),
        )
        everything = await take(client, f"{V1}/events", last=str(first), at_most=2)
        assert [json.loads(event.data)["data"]["n"] for event in everything] == [2, 3]
        watching = asyncio.create_task(take(client, f"{V1}/runs/{inside}/events"))
        await eventually(lambda: _is(narrow.app.state.feed.streams > 0))
        gone = _viewer("watcher", "other")
        await principals.put(engine, SETUP, gone)
        # The stream ends by itself, although its run continues.
        assert [json.loads(event.data)["data"]["n"] for event in await watching] == [0, 2, 3]


def _viewer(name: str, *globs: str) -> Principal:
    roles = frozenset({Role.VIEWER})
    return Principal(name=name, kind=PrincipalKind.HUMAN, roles=roles, workflows=frozenset(globs))


async def _is(value: object) -> object:
    return value


async def _after(api: Api) -> int:
    async with reading(api.plane.engine) as session:
        return int((await session.execute(text("SELECT max(event_id) FROM events"))).scalar_one())


async def test_a_scoped_auditor_sees_only_commands_in_scope(narrow: Api, as_: As, sides: dict[str, Any]) -> None:
    told = {}
    for side in ("in", "out"):
        place = f"{V1}/runs/{sides[f'{side}_run'].run_id}/cancel"
        told[side] = [(await as_("viewer").post(place)).json()["command_id"]]
        started = await as_("viewer").post(f"{V1}/workflows/{side}_flow/runs", json={"input": f"{side}-secret"})
        told[side].append(started.json()["command_id"])
    listed = (await as_("scoped").get(f"{V1}/commands", params={"limit": 200})).text
    for command_id in told["in"]:
        assert command_id in listed
        assert (await as_("scoped").get(f"{V1}/commands/{command_id}")).status_code == 200
    for command_id in told["out"]:
        assert command_id not in listed
        assert (await as_("scoped").get(f"{V1}/commands/{command_id}")).status_code == 404
        assert (await as_("auditor").get(f"{V1}/commands/{command_id}")).status_code == 200
    assert (await as_("scoped").get(f"{V1}/reads")).status_code == 403


async def test_a_scope_is_put_kept_and_checked(narrow: Api, as_: As) -> None:
    place, body = f"{V1}/principals/newcomer", {"kind": "human", "roles": ["viewer"]}
    assert (await as_("admin").put(place, json=body)).json()["workflows"] == ["*"]
    put = await as_("admin").put(place, json=body | {"workflows": ["support_*", "crm"]})
    assert put.json()["workflows"] == ["crm", "support_*"]
    kept = await as_("admin").put(place, json=body | {"roles": ["operator"]})
    assert (kept.json()["workflows"], kept.json()["roles"]) == (["crm", "support_*"], ["operator"])
    for wrong in ("support_[ab]", "{a,b}", "!x", "a\\*", "^a", "x\n"):
        refused = await as_("admin").put(place, json=body | {"workflows": [wrong]})
        assert (refused.status_code, refused.json()["faults"][0]["pointer"]) == (422, "/workflows"), wrong
    assert (await as_("scoped").get(f"{V1}/me")).json()["workflows"] == ["in_*"]


async def test_python_and_sql_agree_about_every_glob(postgres_dsn: str) -> None:
    chance = random.Random(7)
    names = ["".join(chance.choice("ab%_\\*?.\n") for _ in range(chance.randint(0, 6))) for _ in range(60)]
    globs = ["".join(chance.choice("ab%_.*?") for _ in range(chance.randint(1, 5))) for _ in range(80)]
    engine = make_engine(postgres_dsn, pool_size=1)
    statement = text("SELECT n FROM unnest(CAST(:names AS text[])) AS n WHERE n LIKE ANY (CAST(:patterns AS text[]))")
    async with reading(engine) as session:
        for glob in globs:
            patterns = sql.patterns([glob]) or ["%"]
            found = set((await session.execute(statement, {"names": names, "patterns": patterns})).scalars())
            assert found == {name for name in names if scopes.admits([glob], name)}, glob
    await engine.dispose()


def test_a_scope_of_everything_adds_no_predicate() -> None:
    assert sql.within(None, {"*", "a"}) == sql.among(None, {"*"}) == []
    assert sql.patterns({"a", "*"}) is None


async def recorded(api: Api, as_: As, **wanted: Any) -> list[dict[str, Any]]:
    await api.app.state.reads.flush()
    found: list[dict[str, Any]] = (await as_("auditor").get(f"{V1}/reads", params={"limit": 200, **wanted})).json()[
        "items"
    ]
    return found


async def test_r41_every_read_of_payloads_is_recorded_and_no_other(api: Api, as_: As, sides: dict[str, Any]) -> None:
    payload = {"size": 1, "value": 1}
    run = factories.run(status="completed", input=payload, result=payload)
    gate = factories.approval(run)
    await factories.insert(
        api.plane.engine, run, factories.execution(run), factories.step(run, 5, output={"size": 1, "value": 1}), gate
    )
    place = f"{V1}/runs/{run.run_id}"
    for who in ("operator", "viewer"):
        for path in (
            place,
            f"{place}/steps",
            f"{place}/result",
            f"{place}/logs",
            f"{place}/jobs",
            f"{V1}/approvals/{gate.approval_id}",
            f"{V1}/runs",
        ):
            await as_(who).get(path)
    await as_("reviewer").get(f"{V1}/approvals/{gate.approval_id}")
    await as_("second").get(place)
    of_run = await recorded(api, as_, subject=run.run_id)
    told = {(each["principal"], each["route"], each["outcome"]): each for each in of_run}
    assert set(told) == {
        ("operator", f"GET {V1}/runs/{{run_id}}", "read"),
        ("operator", f"GET {V1}/runs/{{run_id}}/steps", "read"),
        ("operator", f"GET {V1}/runs/{{run_id}}/result", "read"),
        ("viewer", f"GET {V1}/runs/{{run_id}}/logs", "refused"),
    }
    one = told["operator", f"GET {V1}/runs/{{run_id}}", "read"]
    assert (one["key_id"], one["address"], one["count"]) == (api.tokens["operator"].split("_")[1], "127.0.0.1", 1)
    of_gate = await recorded(api, as_, subject=gate.approval_id)
    assert sorted(each["principal"] for each in of_gate) == ["operator", "reviewer"]


async def test_r41_payloads_in_lists_and_in_responses_to_writes_are_recorded_as_reads(api: Api, as_: As) -> None:
    quoting = factories.run(status="failed", status_reason="ToolError: no account AT61", closed_at=datetime.now(UTC))
    await factories.insert(api.plane.engine, quoting, *factories.workflow("replayed", {}))
    for who in ("developer", "viewer"):
        await as_(who).get(f"{V1}/runs", params={"status": "failed"})
    body, again = {"input": "AT61"}, {"Idempotency-Key": "r41"}
    started = await as_("developer").post(f"{V1}/workflows/replayed/runs", json=body, headers=again)
    run_id = started.json()["run_id"]
    of_first = await recorded(api, as_, subject=run_id)
    replayed = await as_("developer").post(f"{V1}/workflows/replayed/runs", json=body, headers=again)
    assert (replayed.status_code, replayed.json()["input"]["value"]) == (200, "AT61")
    cancelled = await as_("developer").post(f"{V1}/runs/{run_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["input"]["value"]) == (202, "AT61")
    refused = await as_("developer").post(f"{V1}/workflows/replayed/runs", json={"input": "AT61", "tags": "AT61"})
    assert refused.status_code == 422
    await as_("developer").get(f"{V1}/commands")

    assert of_first == [], "the caller has just sent this input"
    found = await recorded(api, as_, outcome="read", principal="developer")
    assert {(each["route"], each["subject"]) for each in found} == {
        (f"GET {V1}/runs", None),
        (f"POST {V1}/workflows/{{name}}/runs", run_id),
        (f"POST {V1}/runs/{{run_id}}/cancel", run_id),
        (f"GET {V1}/commands", None),
    }
    assert await recorded(api, as_, outcome="read", principal="viewer") == []


async def test_r41_identical_reads_are_one_row_with_a_growing_count(api: Api, as_: As) -> None:
    run = factories.run(input={"size": 1, "value": 1})
    await factories.insert(api.plane.engine, run)
    for times in (3, 4):
        for _ in range(times):
            await as_("operator").get(f"{V1}/runs/{run.run_id}")
        await api.app.state.reads.flush()
    (row,) = await recorded(api, as_, subject=run.run_id)
    assert row["count"] == 7
    assert row["at"] < row["last_at"]


async def test_r41_refused_reads_and_wrong_keys_are_recorded_without_their_content(api: Api, as_: As) -> None:
    strange = f"no%00such{uuid.uuid4().hex}"
    assert (await as_("viewer").get(f"{V1}/runs/{strange}/logs")).status_code == 403
    assert (await as_("viewer").get(f"{V1}/reads")).status_code == 403
    wrong = {"Authorization": f"Bearer ag_{'0' * 16}_{'A' * 43}"}
    for path in (f"/runs/{strange}", "/me"):
        assert (await as_(None).get(V1 + path, headers=wrong)).status_code == 401
    refused = await recorded(api, as_, principal="viewer", outcome="refused")
    assert strange.replace("%00", "\N{REPLACEMENT CHARACTER}") in [each["subject"] for each in refused]
    assert f"GET {V1}/reads" in [each["route"] for each in refused]
    unknown = await recorded(api, as_, outcome="unauthenticated")
    assert {(each["principal"], each["key_id"], each["subject"]) for each in unknown} == {(None, None, None)}
    assert {each["address"] for each in unknown} == {"127.0.0.1"}
    assert "AAAA" not in json.dumps(unknown)


async def test_the_record_is_paged_and_filtered_and_only_for_auditors(api: Api, as_: As) -> None:
    for _ in range(5):
        await as_("viewer").get(f"{V1}/runs/{uuid.uuid4()}/logs")
    everything = await recorded(api, as_, principal="viewer")
    assert len(everything) >= 5
    pages, cursor = [], {}
    while True:
        page = (await as_("auditor").get(f"{V1}/reads", params={"limit": "2", "principal": "viewer"} | cursor)).json()
        pages += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert pages == everything
    newest = everything[0]["at"]
    later = await recorded(api, as_, principal="viewer", since=newest)
    assert [each["at"] for each in later] == [newest]
    for who in ("viewer", "operator", "reviewer", "admin"):
        assert (await as_(who).get(f"{V1}/reads")).status_code == 403


async def test_a_read_survives_a_record_that_cannot_be_written(
    api: Api, as_: As, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder: Recorder = api.app.state.reads
    run = factories.run(input={"size": 1, "value": 1})
    await factories.insert(api.plane.engine, run)
    await recorder.flush()
    broken = make_engine("postgresql://nobody:none@127.0.0.1:1/none", pool_size=1)
    before = recorder.failures
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "_engine", broken)
        assert (await as_("operator").get(f"{V1}/runs/{run.run_id}")).status_code == 200
        await recorder.flush()
    assert recorder.failures == before + 1
    assert f"agentgrid_reads_write_failures {recorder.failures}.0" in (await as_("operator").get("/metrics")).text
    # Nothing is lost.
    assert [each["count"] for each in await recorded(api, as_, subject=run.run_id)] == [1]
    await broken.dispose()


async def test_the_recorder_writes_periodically_and_on_shutdown(api: Api, as_: As) -> None:
    run = factories.run(input={"size": 1, "value": 1})
    await factories.insert(api.plane.engine, run)
    await as_("operator").get(f"{V1}/runs/{run.run_id}")

    async def written() -> bool:
        return bool((await as_("auditor").get(f"{V1}/reads", params={"subject": run.run_id})).json()["items"])

    await eventually(written, seconds=30)


def test_nobody_can_fill_the_memory_or_hide_other_principals_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(None)  # type: ignore[arg-type]  # nothing is written here
    refused, unknown = ReadOutcome.REFUSED, ReadOutcome.UNAUTHENTICATED
    for number in range(20_000):
        recorder.note(Reading(route="GET /x", outcome=refused, principal="mallory", subject=str(number)))
        recorder.note(Reading(route="GET /x", outcome=unknown, address=f"10.0.{number % 256}.{number // 256}"))
    held = recorder._entries
    assert len(held) <= reads.MAX_PER_PRINCIPAL + reads.MAX_WITHOUT_KEY + 2
    # Merged reads are still counted.
    assert held[Reading(route="GET /x", outcome=refused, principal="mallory")].count == 20_000 - reads.MAX_PER_PRINCIPAL
    assert held[Reading(route="GET /x", outcome=unknown)].count == 20_000 - reads.MAX_WITHOUT_KEY
    assert recorder.dropped == 0
    recorder.note(Reading(route="GET /x", outcome=ReadOutcome.READ, principal="alice", subject="r1"))
    assert held[Reading(route="GET /x", outcome=ReadOutcome.READ, principal="alice", subject="r1")].count == 1
    monkeypatch.setattr(reads, "MAX_ENTRIES", 0)
    recorder.note(Reading(route="GET /x", outcome=ReadOutcome.READ, principal="bob", subject="r1"))
    assert recorder.dropped == 1


def test_r44_only_the_owner_can_read_the_stacks_logs(tmp_path: Path) -> None:
    home = tmp_path / "home"
    old = os.umask(0o022)
    try:
        make_home(home)
        (home / "logs").mkdir()
        log = home / "logs" / "worker.log"
        log.write_text("from an earlier version\n")
        _spawn(log)
        cache = home / "policy.json"
        PolicySource("postgresql://nowhere/none", cache)._save("{}", _Moment())
        fresh = home / "logs" / "api.log"
        open_private_log(fresh).close()
    finally:
        os.umask(old)
    assert _mode(home) == (0o711 if os.geteuid() == 0 else 0o700)
    assert _mode(home / "logs") == 0o700
    assert {_mode(path) for path in (log, fresh, cache)} == {0o600}


def _spawn(log: Path) -> None:
    child = Child.spawn(
        [sys.executable, "-c", "print('said')"],
        log=log,
        cwd=log.parent,
        environment={},
        death_signal=signal.SIGTERM,
    )
    child._process.wait(30)
    assert log.read_text().endswith("said\n")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
