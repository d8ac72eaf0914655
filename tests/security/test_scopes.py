"""Scopes: a principal sees no trace of runs out of scope, not even in counts."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy import text

from agentgrid.api.access import ACCESS, V1
from agentgrid.control import api_keys, principals
from agentgrid.db import scopes as db_scopes
from agentgrid.db.session import make_engine, reading
from agentgrid.domain import scopes
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.api import factories
from tests.api.conftest import SETUP, Api, api, as_, eventually, listening
from tests.api.test_streams import take
from tests.security.scoped import narrow, sides

__all__ = ["api", "as_", "narrow", "sides"]

As = Callable[[str | None], httpx.AsyncClient]


async def test_an_id_out_of_scope_answers_like_an_unknown_id(narrow: Api, as_: As, sides: dict[str, Any]) -> None:
    out, approval = sides["out_run"].run_id, sides["out_approval"].approval_id
    for who in ("scoped", "blind"):
        for route, access in ACCESS.items():
            method, path = route.split(" ", 1)
            if "{run_id}" in path:
                bodies = {"signal": {"name": "tell"}}
                step = {"execution_id": sides["out_run"].execution_id, "event_id": 5, "side": "input"}
                inner = {"name": "tell", "command_id": "any", **step}
                place, unknown = path.format(run_id=out, **inner), path.format(run_id="nothing", **inner)
            elif path.endswith("/approvals/{approval_id}"):
                bodies, place, unknown = {}, path.format(approval_id=approval), path.format(approval_id="nothing")
            else:
                continue
            body = {"json": bodies.get(path.rsplit("/", 1)[1], {})} if method == "POST" else {}
            pair = [await as_(who).request(method, where, **body) for where in (place, unknown)]
            answers = [
                (
                    answer.status_code,
                    answer.json()["detail"].replace(out, "?").replace(approval, "?").replace("nothing", "?"),
                )
                for answer in pair
            ]
            assert answers[0][0] == 404, (who, route, access)
            assert answers[0] == answers[1]
    start = await as_("scoped").post(f"{V1}/workflows/out_flow/runs", json={"input": 1})
    assert start.status_code == 404
    decision = {"verdict": "approved", "digest": sides["out_approval"].digest}
    for approval_id in (approval, "nothing"):
        refused = await as_("scoped-approver").post(f"{V1}/approvals/{approval_id}/decisions", json=decision)
        assert refused.status_code == 404
        answer = await as_("scoped-approver").get(f"{V1}/commands/{refused.json()['command_id']}")
        assert answer.status_code == 404, approval_id
    assert (await as_("operator").get(f"{V1}/runs/{out}")).status_code == 200


async def test_lists_searches_and_counts_leave_out_everything_out_of_scope(
    narrow: Api, as_: As, sides: dict[str, Any]
) -> None:
    out = (
        sides["out_run"].run_id,
        sides["out_child"].run_id,
        sides["out_approval"].approval_id,
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
    assert {
        number["count"] for number in numbers["blind"].values() if isinstance(number, dict) and "count" in number
    } == {0}
    mine = (await as_("scoped-approver").get(f"{V1}/overview")).json()["approvals_for_me"]["count"]
    assert mine == 1
    stats = {who: (await as_(who).get(f"{V1}/workflows/out_flow")).json() for who in ("operator", "scoped")}
    assert stats["operator"]["stats"]["open"] == {"running": 1}
    assert (stats["scoped"]["stats"]["open"], stats["scoped"]["last_run"]) == ({}, None)
    assert {action["verb"]: action["allowed"] for action in stats["scoped"]["actions"]}["start"] is False
    queues = {
        queue["name"]: queue["open_runs"] for queue in (await as_("scoped").get(f"{V1}/task-queues")).json()["items"]
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
    made = await api_keys.create(engine, SETUP, principal="watcher", lifetime=timedelta(days=1))
    headers = {"Authorization": f"Bearer {made.secret}"}
    inside, outside = sides["in_run"].run_id, sides["out_run"].run_id
    await factories.publish(engine, (inside, "run", {"step_count": 0}))
    async with listening(narrow.app) as url, httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        first = await _after(narrow)
        assert (await client.get(f"{V1}/runs/{outside}/events")).status_code == 404
        await factories.publish(
            engine,
            (outside, "run", {"step_count": 1}),
            (inside, "run", {"step_count": 2}),
            (outside, "end", {"status": "failed"}),
            (inside, "run", {"step_count": 3}),
        )
        everything = await take(client, f"{V1}/events", last=str(first), at_most=2)
        assert [json.loads(event.data)["data"]["step_count"] for event in everything] == [2, 3]
        watching = asyncio.create_task(take(client, f"{V1}/runs/{inside}/events"))
        await eventually(lambda: _is(narrow.app.state.feed.streams > 0))
        gone = _viewer("watcher", "other")
        await principals.put(engine, SETUP, gone)
        # The stream ends by itself, although its run continues.
        assert [json.loads(event.data)["data"]["step_count"] for event in await watching] == [0, 2, 3]


def _viewer(name: str, *globs: str) -> Principal:
    roles = frozenset({Role.VIEWER})
    return Principal(name=name, kind=PrincipalKind.HUMAN, roles=roles, workflows=frozenset(globs))


async def _is(value: object) -> object:
    return value


async def _after(api: Api) -> int:
    async with reading(api.plane.engine) as session:
        return int((await session.execute(text("SELECT max(event_id) FROM events"))).scalar_one())


async def test_a_scoped_auditor_sees_only_commands_in_scope(narrow: Api, as_: As, sides: dict[str, Any]) -> None:
    commands = {}
    for side in ("in", "out"):
        place = f"{V1}/runs/{sides[f'{side}_run'].run_id}/cancel"
        commands[side] = [(await as_("viewer").post(place)).json()["command_id"]]
        started = await as_("viewer").post(f"{V1}/workflows/{side}_flow/runs", json={"input": f"{side}-secret"})
        commands[side].append(started.json()["command_id"])
    listed = (await as_("scoped").get(f"{V1}/commands", params={"limit": 200})).text
    for command_id in commands["in"]:
        assert command_id in listed
        assert (await as_("scoped").get(f"{V1}/commands/{command_id}")).status_code == 200
    for command_id in commands["out"]:
        assert command_id not in listed
        assert (await as_("scoped").get(f"{V1}/commands/{command_id}")).status_code == 404
        assert (await as_("auditor").get(f"{V1}/commands/{command_id}")).status_code == 200
    assert (await as_("scoped").get(f"{V1}/reads")).status_code == 403


async def test_a_scope_is_set_kept_and_validated(narrow: Api, as_: As) -> None:
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
            patterns = db_scopes.patterns([glob]) or ["%"]
            matched = set((await session.execute(statement, {"names": names, "patterns": patterns})).scalars())
            assert matched == {name for name in names if scopes.admits([glob], name)}, glob
    await engine.dispose()


def test_a_scope_of_everything_adds_no_predicate() -> None:
    assert db_scopes.within(None, {"*", "a"}) == db_scopes.among(None, {"*"}) == []
    assert db_scopes.patterns({"a", "*"}) is None
