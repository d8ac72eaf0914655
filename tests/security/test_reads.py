"""R41: every read of payloads and every refusal is recorded."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from agentgrid.api.access import V1
from agentgrid.control import reads
from agentgrid.control.reads import ReadIdentity, Recorder
from agentgrid.db.session import make_engine
from agentgrid.domain.reads import ReadOutcome
from tests.api import factories
from tests.api.conftest import Api, api, as_, eventually
from tests.security.scoped import narrow, sides

__all__ = ["api", "as_", "narrow", "sides"]

As = Callable[[str | None], httpx.AsyncClient]


async def recorded(api: Api, as_: As, **filters: Any) -> list[dict[str, Any]]:
    await api.app.state.reads.flush()
    items: list[dict[str, Any]] = (await as_("auditor").get(f"{V1}/reads", params={"limit": 200, **filters})).json()[
        "items"
    ]
    return items


async def test_r41_every_read_of_payloads_is_recorded_and_no_other(api: Api, as_: As, sides: dict[str, Any]) -> None:
    payload = {"size": 1, "value": 1}
    run = factories.run(status="completed", input=payload, result=payload)
    approval = factories.approval(run)
    await factories.insert(
        api.plane.engine,
        run,
        factories.execution(run),
        factories.step(run, 5, output={"size": 1, "value": 1}),
        approval,
    )
    place = f"{V1}/runs/{run.run_id}"
    for who in ("operator", "viewer"):
        for path in (
            place,
            f"{place}/steps",
            f"{place}/result",
            f"{place}/history",
            f"{place}/jobs",
            f"{V1}/approvals/{approval.approval_id}",
            f"{V1}/runs",
        ):
            await as_(who).get(path)
    await as_("reviewer").get(f"{V1}/approvals/{approval.approval_id}")
    await as_("second").get(place)
    of_run = await recorded(api, as_, subject=run.run_id)
    rows = {(row["principal"], row["route"], row["outcome"]): row for row in of_run}
    assert set(rows) == {
        ("operator", f"GET {V1}/runs/{{run_id}}", "read"),
        ("operator", f"GET {V1}/runs/{{run_id}}/steps", "read"),
        ("operator", f"GET {V1}/runs/{{run_id}}/result", "read"),
        ("viewer", f"GET {V1}/runs/{{run_id}}/history", "refused"),
    }
    row = rows["operator", f"GET {V1}/runs/{{run_id}}", "read"]
    assert (row["key_id"], row["address"], row["count"]) == (api.tokens["operator"].split("_")[1], "127.0.0.1", 1)
    of_approval = await recorded(api, as_, subject=approval.approval_id)
    assert sorted(row["principal"] for row in of_approval) == ["operator", "reviewer"]


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
    rows = await recorded(api, as_, outcome="read", principal="developer")
    assert {(row["route"], row["subject"]) for row in rows} == {
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
    assert (await as_("viewer").get(f"{V1}/runs/{strange}/history")).status_code == 403
    assert (await as_("viewer").get(f"{V1}/reads")).status_code == 403
    wrong = {"Authorization": f"Bearer ag_{'0' * 16}_{'A' * 43}"}
    for path in (f"/runs/{strange}", "/me"):
        assert (await as_(None).get(V1 + path, headers=wrong)).status_code == 401
    refused = await recorded(api, as_, principal="viewer", outcome="refused")
    assert strange.replace("%00", "\N{REPLACEMENT CHARACTER}") in [row["subject"] for row in refused]
    assert f"GET {V1}/reads" in [row["route"] for row in refused]
    unknown = await recorded(api, as_, outcome="unauthenticated")
    assert {(row["principal"], row["key_id"], row["subject"]) for row in unknown} == {(None, None, None)}
    assert {row["address"] for row in unknown} == {"127.0.0.1"}
    assert "AAAA" not in json.dumps(unknown)


async def test_the_record_is_paged_and_filtered_and_only_for_auditors(api: Api, as_: As) -> None:
    for _ in range(5):
        await as_("viewer").get(f"{V1}/runs/{uuid.uuid4()}/history")
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
    assert [row["at"] for row in later] == [newest]
    for who in ("viewer", "operator", "reviewer", "admin"):
        assert (await as_(who).get(f"{V1}/reads")).status_code == 403


async def test_a_read_succeeds_even_if_its_record_cannot_be_written(
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
    assert [row["count"] for row in await recorded(api, as_, subject=run.run_id)] == [1]
    await broken.dispose()


async def test_the_recorder_writes_periodically_and_on_shutdown(api: Api, as_: As) -> None:
    run = factories.run(input={"size": 1, "value": 1})
    await factories.insert(api.plane.engine, run)
    await as_("operator").get(f"{V1}/runs/{run.run_id}")

    async def written() -> bool:
        return bool((await as_("auditor").get(f"{V1}/reads", params={"subject": run.run_id})).json()["items"])

    await eventually(written, seconds=30)


def test_nobody_can_fill_the_memory_or_hide_other_principals_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(None)  # type: ignore[arg-type]  # never writes in this test
    refused, unknown = ReadOutcome.REFUSED, ReadOutcome.UNAUTHENTICATED
    for number in range(20_000):
        recorder.note(ReadIdentity(route="GET /x", outcome=refused, principal="mallory", subject=str(number)))
        recorder.note(ReadIdentity(route="GET /x", outcome=unknown, address=f"10.0.{number % 256}.{number // 256}"))
    entries = recorder._entries
    assert len(entries) <= reads.MAX_PER_PRINCIPAL + reads.MAX_WITHOUT_KEY + 2
    # Merged reads are still counted.
    assert (
        entries[ReadIdentity(route="GET /x", outcome=refused, principal="mallory")].count
        == 20_000 - reads.MAX_PER_PRINCIPAL
    )
    assert entries[ReadIdentity(route="GET /x", outcome=unknown)].count == 20_000 - reads.MAX_WITHOUT_KEY
    assert recorder.dropped == 0
    recorder.note(ReadIdentity(route="GET /x", outcome=ReadOutcome.READ, principal="alice", subject="r1"))
    assert entries[ReadIdentity(route="GET /x", outcome=ReadOutcome.READ, principal="alice", subject="r1")].count == 1
    monkeypatch.setattr(reads, "MAX_ENTRIES", 0)
    recorder.note(ReadIdentity(route="GET /x", outcome=ReadOutcome.READ, principal="bob", subject="r1"))
    assert recorder.dropped == 1
