"""Streams of selected kinds and runs: full summaries, read once for all listeners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import pytest
from sqlalchemy import text

from agentgrid.api import hints, live
from agentgrid.api.schemas.events import EventOut
from agentgrid.db.session import reading, writing
from agentgrid.db.tables import Log, Run
from tests.api import factories
from tests.api.conftest import Api, eventually, listening
from tests.api.streaming import stream

V1 = "/api/v1"
WORDS = "the words of a log line"


@pytest.fixture(scope="module")
async def url(api: Api) -> AsyncIterator[str]:
    async with listening(api.app) as url:
        yield url


async def a_run(api: Api, **over: Any) -> tuple[Run, str]:
    """A run, and the subject of events about its step."""
    run = factories.run(**over)
    step = factories.step(run, 5)
    await factories.insert(api.plane.engine, run, factories.execution(run), step)
    return run, factories.subject(step)


async def head(api: Api) -> int:
    async with reading(api.plane.engine) as session:
        return (await session.execute(text("SELECT coalesce(max(event_id), 0) FROM events"))).scalar_one()


async def log(api: Api, run: Run, *lines: str, **over: Any) -> None:
    now = datetime.now(UTC)
    about = {"execution_id": run.execution_id, "workflow_id": run.workflow_id, "level": "info", "logger": "x"}
    values = {**about, "worker": "w", "task_queue": run.task_queue, "logged_at": now, **over}
    await factories.insert(api.plane.engine, *(Log(message=line, **values) for line in lines))


async def test_hello_comes_at_once_with_the_id_to_resume_from(api: Api, url: str) -> None:
    run, _ = await a_run(api)
    first, newest = await factories.publish(api.plane.engine, (run.run_id, "run", {}), (run.run_id, "run", {}))
    async with stream(api, url, "operator", kinds="run") as received:
        (hello,) = received.events
        assert (hello.event, int(hello.id)) == ("hello", newest)
        data = hello.json()["data"]
        assert data["me"] == {"name": "operator"}
        assert (data["version"], data["head"], data["kinds"]) == (version("agentgrid"), newest, ["run"])
        assert abs(datetime.fromisoformat(data["time"]) - datetime.now(UTC)) < timedelta(seconds=10)
    # A client disconnected right after `hello` must not have skipped the events it resumed for.
    async with stream(api, url, "operator", last=first) as received:
        await received.until(lambda received: len(received.events) == 2)
        assert [(event.event, int(event.id)) for event in received.events] == [("hello", first), ("run", newest)]
        assert received.events[0].json()["data"]["head"] == newest


async def test_a_stream_has_steps_of_named_runs_only_and_other_events_of_all_runs(api: Api, url: str) -> None:
    runs = [await a_run(api) for _ in range(3)]
    async with stream(api, url, "operator", run=[runs[0][0].run_id, runs[1][0].run_id, "unknown"]) as received:
        for run, step in runs:
            await factories.publish(api.plane.engine, (run.run_id, "step", {}), subject=step)
            await factories.publish(api.plane.engine, (run.run_id, "run", {}))
        await received.until(lambda received: len(received.of("run")) == 3)
        assert [event["run_id"] for event in received.of("run")] == [run.run_id for run, _ in runs]
        assert [event["run_id"] for event in received.of("step")] == [run.run_id for run, _ in runs[:2]]
        assert set(received.events[0].json()["data"]["kinds"]) == set(live.EventKind)


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [({"kinds": "steps"}, "kinds"), ({"kinds": "delta"}, "run"), ({"run": ["x"] * 51}, "run"), ({"run": ""}, "run")],
)
async def test_an_invalid_selection_of_events_is_refused(as_: Any, asked: dict[str, Any], pointer: str) -> None:
    response = await as_("operator").get(f"{V1}/events", params=asked)
    assert response.status_code == 422
    assert response.json()["faults"][0]["pointer"].split(".")[0] == pointer


async def test_events_contain_what_lists_contain(api: Api, as_: Any, url: str) -> None:
    run, step = await a_run(api, status="waiting", waiting_on="approval", status_reason="it waits", reference="R-1")
    approval = factories.approval(run)
    await factories.insert(api.plane.engine, approval)
    async with stream(api, url, "operator") as received:
        await factories.publish(api.plane.engine, (run.run_id, "step", {}), subject=step)
        await factories.publish(api.plane.engine, (run.run_id, "approval", {}), subject=approval.approval_id)
        await factories.publish(api.plane.engine, (run.run_id, "run", {}))
        await received.until(lambda received: received.of("run"))
        data = {event["kind"]: event["data"] for event in received.of("run", "step", "approval")}
    (listed,) = (await as_("operator").get(f"{V1}/runs", params={"reference": "R-1"})).json()["items"]
    assert data["run"] == {name: listed[name] for name in data["run"]}
    (listed,) = (await as_("operator").get(f"{V1}/runs/{run.run_id}/steps")).json()["items"]
    assert data["step"] == {
        name: value for name, value in listed.items() if name not in ("input", "original_input", "output")
    }
    (listed,) = (await as_("operator").get(f"{V1}/runs/{run.run_id}/approvals")).json()["items"]
    assert data["approval"] == {name: listed[name] for name in data["approval"]}


async def test_the_changed_part_of_a_replayed_event_is_as_it_was_then(api: Api, url: str) -> None:
    run, step = await a_run(api)
    before = await head(api)
    for status in ("scheduled", "running", "completed"):
        await factories.publish(api.plane.engine, (run.run_id, "step", {"status": status}), subject=step)
    async with stream(api, url, "operator", last=before) as received:
        await received.until(lambda received: len(received.of("step")) == 3)
        assert [event["data"]["status"] for event in received.of("step")] == ["scheduled", "running", "completed"]


async def test_an_event_is_rendered_once_for_all_streams_and_not_at_all_if_no_stream_needs_it(
    api: Api, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[int]] = []
    things = live.feed.things

    async def counted(session: Any, events: Any) -> Any:
        batches.append([event.event_id for event in events])
        return await things(session, events)

    monkeypatch.setattr(live.feed, "things", counted)
    run, step = await a_run(api)
    other, others_step = await a_run(api)
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(stream(api, url, "operator", run=run.run_id)) for _ in range(10)]
        unwanted = await factories.publish(
            api.plane.engine, *((other.run_id, "step", {}) for _ in range(50)), subject=others_step
        )
        wanted = await factories.publish(api.plane.engine, *((run.run_id, "step", {}) for _ in range(50)), subject=step)
        for received in streams:
            await received.until(lambda received: len(received.of("step")) == 50)
        read = [event_id for batch in batches for event_id in batch]
        assert [event_id for event_id in read if event_id in wanted] == wanted
        assert not set(read) & set(unwanted)
        assert len(batches) <= 4
        # A later client that requests them gets them, although no stream needed them when they arrived.
        async with stream(api, url, "viewer", last=unwanted[0], run=other.run_id) as received:
            await received.until(lambda received: len(received.of("step")) == 49)


async def test_a_malformed_event_or_one_without_a_subject_does_not_block_others(api: Api, url: str) -> None:
    run, step = await a_run(api)
    async with stream(api, url, "operator") as received:
        for kind, data, subject in (
            ("step", {"status": "unheard-of"}, step),
            ("step", {}, f"{run.execution_id}/99"),
            ("step", {}, "x/y"),
            ("approval", {}, "unknown"),
            ("end", [], None),
            ("later", {}, None),
        ):
            await factories.publish(api.plane.engine, (run.run_id, kind, data), subject=subject)
        await factories.publish(api.plane.engine, (run.run_id, "run", {}))
        await received.until(lambda received: len(received.events) > 1)
        assert [event.event for event in received.events] == ["hello", "run"]


async def test_a_runs_stream_begins_now_on_request(api: Api, url: str) -> None:
    run, _ = await a_run(api)
    path = f"{V1}/runs/{run.run_id}/events"
    first, old = await factories.publish(api.plane.engine, (run.run_id, "run", {}), (run.run_id, "run", {}))
    async with stream(api, url, "viewer", path, **{"from": "now"}) as received:
        (new,) = await factories.publish(api.plane.engine, (run.run_id, "run", {}))
        await received.until(lambda received: len(received.events) == 2)
        assert [(event.event, int(event.id)) for event in received.events] == [("hello", old), ("run", new)]
    # A browser that reconnects sends both.
    async with stream(api, url, "viewer", path, last=first, **{"from": "now"}) as received:
        await received.until(lambda received: len(received.of("run")) == 2)


async def test_commands_are_streamed_when_recorded_and_when_their_status_changes(api: Api, as_: Any, url: str) -> None:
    run, _ = await a_run(api, status="completed")
    async with stream(api, url, "operator", kinds="command") as received:
        refused = (await as_("operator").post(f"{V1}/runs/{run.run_id}/cancel")).json()["command_id"]
        await received.until(lambda received: received.of("command"))
        (event,) = received.of("command")
        assert (event["run_id"], event["subject"], event["data"]["status"]) == (run.run_id, refused, "refused")
        (listed,) = (await as_("operator").get(f"{V1}/commands", params={"run": run.run_id})).json()["items"]
        assert event["data"] == listed
        async with writing(api.plane.engine) as session:
            # As the projector does.
            await session.execute(
                text("UPDATE commands SET status = 'superseded', attempts = 1 WHERE command_id = :id"), {"id": refused}
            )
            await session.execute(text("UPDATE commands SET attempts = 2 WHERE command_id = :id"), {"id": refused})
        await received.until(lambda received: len(received.of("command")) == 2)
        assert received.of("command")[-1]["data"]["status"] == "superseded"


async def test_new_log_lines_are_counted_once_a_second_without_their_text(
    api: Api, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = await a_run(api)
    foreign, _ = await a_run(api)
    async with stream(api, url, "operator", kinds=["log", "run"]) as received:
        await eventually(lambda: _is(api.app.state.feed.hints._ends))
        begun = asyncio.get_running_loop().time()
        for number in range(30):
            await log(api, run, f"{WORDS} {number}")
            # Not from its own worker.
            await log(api, foreign, WORDS, task_queue="elsewhere")
        await received.until(lambda received: sum(event["data"]["count"] for event in received.of("log")) >= 30)
        hint_events, seconds = received.of("log"), asyncio.get_running_loop().time() - begun
        assert sum(event["data"]["count"] for event in hint_events) == 30
        assert len(hint_events) <= seconds / hints.POLL_SECONDS + 1
        async with reading(api.plane.engine) as session:
            newest = (
                await session.execute(
                    text("SELECT max(log_id) FROM logs WHERE execution_id = :id"), {"id": run.execution_id}
                )
            ).scalar_one()
        assert hint_events[-1]["data"]["newest_log_id"] == newest
        assert {event["run_id"] for event in hint_events} == {run.run_id}
        # An event without an id leaves the client's last id unchanged.
        assert {event.id for event in received.events} == {received.events[0].id}
        assert not any(WORDS in event.data for event in received.events)


async def test_a_line_that_commits_late_or_whose_run_is_projected_late_is_counted(api: Api) -> None:
    seen = hints.Hints()
    run = factories.run()

    async def look() -> list[int]:
        before = seen.head
        async with reading(api.plane.engine) as session:
            await seen.poll(session, logs=True)
        return [
            EventOut.validate_json(hint.wire.split(b"data: ")[1]).data.count
            for hint in seen._kept
            if hint.event_id > before
        ]

    assert await look() == []
    await log(api, run, "before its run is known")
    assert await look() == []
    await factories.insert(api.plane.engine, run, factories.execution(run))
    assert await look() == [1]
    async with writing(api.plane.engine) as session:
        log_id = (await session.execute(text("SELECT nextval('logs_log_id_seq')"))).scalar_one()
    await log(api, run, "early")
    assert await look() == [1]
    await log(api, run, "late", log_id=log_id)
    assert await look() == [1]
    assert await look() == []


async def test_policy_and_catalog_changes_are_streamed(api: Api, as_: Any, url: str) -> None:
    async with stream(api, url, "viewer", kinds=["policy", "catalog"]) as received:
        document = '{"grid": "heard", "build": "b", "task_queue": "q", "workflows": [], "tools": [], "agents": []}'
        async with writing(api.plane.engine) as session:
            for _ in range(5):
                await session.execute(text("SELECT agentgrid_catalog(CAST(:it AS json))"), {"it": document})
        await factories.insert(api.plane.engine, factories.tool("heard_of"))
        response = await as_("admin").post(f"{V1}/tools/heard_of/disable", json={"reason": "heard"})
        assert response.status_code in (200, 202), response.text
        await received.until(lambda received: received.of("catalog") and received.of("policy"))
        assert [event["run_id"] for event in received.of("policy", "catalog")] == [None] * len(received.events[1:])
        assert len(received.of("catalog")) == 1


async def test_the_document_lists_the_events_of_a_stream(as_: Any) -> None:
    document = (await as_(None).get("/api/openapi.json")).json()
    schemas = document["components"]["schemas"]
    for path in ("/events", "/runs/{run_id}/events"):
        operation = document["paths"][f"{V1}{path}"]["get"]
        assert operation["x-event-schema"] == {"$ref": "#/components/schemas/EventOut"}
    kinds = schemas["EventOut"]["discriminator"]["mapping"]
    assert kinds.keys() == {*(kind.value for kind in live.EventKind), "hello", "reset"}
    for kind, place in kinds.items():
        event = schemas[place.rsplit("/", 1)[1]]
        assert event["properties"]["kind"]["const"] == kind
        assert event["required"] == list(event["properties"]), "clients must be able to rely on every field"


async def _is(value: object) -> object:
    return value
