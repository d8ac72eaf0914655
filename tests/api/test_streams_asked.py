"""What streams carry when they are asked for kinds and runs: whole summaries, read once for all who listen."""

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
    """A run, and what events about its step name."""
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
    async with stream(api, url, "operator", kinds="run") as heard:
        (hello,) = heard.events
        assert (hello.event, int(hello.id)) == ("hello", newest)
        data = hello.json()["data"]
        assert data["me"] == {"name": "operator"}
        assert (data["version"], data["head"], data["kinds"]) == (version("agentgrid"), newest, ["run"])
        assert abs(datetime.fromisoformat(data["time"]) - datetime.now(UTC)) < timedelta(seconds=10)
    # A client that is cut off right after `hello` must not have skipped what it had come back for.
    async with stream(api, url, "operator", last=first) as heard:
        await heard.until(lambda heard: len(heard.events) == 2)
        assert [(event.event, int(event.id)) for event in heard.events] == [("hello", first), ("run", newest)]
        assert heard.events[0].json()["data"]["head"] == newest


async def test_a_stream_has_steps_of_named_runs_only_and_other_events_of_all_runs(api: Api, url: str) -> None:
    runs = [await a_run(api) for _ in range(3)]
    async with stream(api, url, "operator", run=[runs[0][0].run_id, runs[1][0].run_id, "unknown"]) as heard:
        for run, step in runs:
            await factories.publish(api.plane.engine, (run.run_id, "step", {}), subject=step)
            await factories.publish(api.plane.engine, (run.run_id, "run", {}))
        await heard.until(lambda heard: len(heard.of("run")) == 3)
        assert [event["run_id"] for event in heard.of("run")] == [run.run_id for run, _ in runs]
        assert [event["run_id"] for event in heard.of("step")] == [run.run_id for run, _ in runs[:2]]
        assert set(heard.events[0].json()["data"]["kinds"]) == set(live.EventKind)


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [({"kinds": "steps"}, "kinds"), ({"kinds": "delta"}, "run"), ({"run": ["x"] * 51}, "run"), ({"run": ""}, "run")],
)
async def test_what_no_stream_can_carry_is_refused(as_: Any, asked: dict[str, Any], pointer: str) -> None:
    answer = await as_("operator").get(f"{V1}/events", params=asked)
    assert answer.status_code == 422
    assert answer.json()["faults"][0]["pointer"].split(".")[0] == pointer


async def test_events_hold_what_lists_hold(api: Api, as_: Any, url: str) -> None:
    run, step = await a_run(api, status="waiting", waiting_on="approval", status_reason="it waits", reference="R-1")
    gate = factories.approval(run)
    await factories.insert(api.plane.engine, gate)
    async with stream(api, url, "operator") as heard:
        await factories.publish(api.plane.engine, (run.run_id, "step", {}), subject=step)
        await factories.publish(api.plane.engine, (run.run_id, "approval", {}), subject=gate.approval_id)
        await factories.publish(api.plane.engine, (run.run_id, "run", {}))
        await heard.until(lambda heard: heard.of("run"))
        found = {event["kind"]: event["data"] for event in heard.of("run", "step", "approval")}
    (listed,) = (await as_("operator").get(f"{V1}/runs", params={"reference": "R-1"})).json()["items"]
    assert found["run"] == {name: listed[name] for name in found["run"]}
    (listed,) = (await as_("operator").get(f"{V1}/runs/{run.run_id}/steps")).json()["items"]
    assert found["step"] == {
        name: value for name, value in listed.items() if name not in ("input", "original_input", "output")
    }
    (listed,) = (await as_("operator").get(f"{V1}/runs/{run.run_id}/approvals")).json()["items"]
    assert found["approval"] == {name: listed[name] for name in found["approval"]}


async def test_what_changed_is_as_it_was_then_also_when_it_is_replayed(api: Api, url: str) -> None:
    run, step = await a_run(api)
    before = await head(api)
    for status in ("scheduled", "running", "completed"):
        await factories.publish(api.plane.engine, (run.run_id, "step", {"status": status}), subject=step)
    async with stream(api, url, "operator", last=before) as heard:
        await heard.until(lambda heard: len(heard.of("step")) == 3)
        assert [event["data"]["status"] for event in heard.of("step")] == ["scheduled", "running", "completed"]


async def test_an_event_is_written_out_once_for_all_streams_and_not_at_all_if_none_wants_it(
    api: Api, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[int]] = []
    things = live.table.things

    async def counted(session: Any, events: Any) -> Any:
        batches.append([event.event_id for event in events])
        return await things(session, events)

    monkeypatch.setattr(live.table, "things", counted)
    run, step = await a_run(api)
    other, others_step = await a_run(api)
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(stream(api, url, "operator", run=run.run_id)) for _ in range(10)]
        unwanted = await factories.publish(
            api.plane.engine, *((other.run_id, "step", {}) for _ in range(50)), subject=others_step
        )
        wanted = await factories.publish(api.plane.engine, *((run.run_id, "step", {}) for _ in range(50)), subject=step)
        for heard in streams:
            await heard.until(lambda heard: len(heard.of("step")) == 50)
        read = [event_id for batch in batches for event_id in batch]
        assert [event_id for event_id in read if event_id in wanted] == wanted
        assert not set(read) & set(unwanted)
        assert len(batches) <= 4
        # Somebody who comes later and wants them gets them, although they came when nobody did.
        async with stream(api, url, "viewer", last=unwanted[0], run=other.run_id) as late:
            await late.until(lambda late: len(late.of("step")) == 49)


async def test_an_event_that_makes_no_sense_or_is_about_nothing_holds_up_no_other(api: Api, url: str) -> None:
    run, step = await a_run(api)
    async with stream(api, url, "operator") as heard:
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
        await heard.until(lambda heard: len(heard.events) > 1)
        assert [event.event for event in heard.events] == ["hello", "run"]


async def test_a_runs_stream_begins_now_if_asked_so(api: Api, url: str) -> None:
    run, _ = await a_run(api)
    path = f"{V1}/runs/{run.run_id}/events"
    first, old = await factories.publish(api.plane.engine, (run.run_id, "run", {}), (run.run_id, "run", {}))
    async with stream(api, url, "viewer", path, **{"from": "now"}) as heard:
        (new,) = await factories.publish(api.plane.engine, (run.run_id, "run", {}))
        await heard.until(lambda heard: len(heard.events) == 2)
        assert [(event.event, int(event.id)) for event in heard.events] == [("hello", old), ("run", new)]
    # A browser that reconnects sends both.
    async with stream(api, url, "viewer", path, last=first, **{"from": "now"}) as heard:
        await heard.until(lambda heard: len(heard.of("run")) == 2)


async def test_commands_are_heard_when_recorded_and_when_their_status_changes(api: Api, as_: Any, url: str) -> None:
    run, _ = await a_run(api, status="completed")
    async with stream(api, url, "operator", kinds="command") as heard:
        refused = (await as_("operator").post(f"{V1}/runs/{run.run_id}/cancel")).json()["command_id"]
        await heard.until(lambda heard: heard.of("command"))
        (event,) = heard.of("command")
        assert (event["run_id"], event["subject"], event["data"]["status"]) == (run.run_id, refused, "refused")
        (listed,) = (await as_("operator").get(f"{V1}/commands", params={"run": run.run_id})).json()["items"]
        assert event["data"] == listed
        async with writing(api.plane.engine) as session:
            # As the projector does it.
            await session.execute(
                text("UPDATE commands SET status = 'superseded', attempts = 1 WHERE command_id = :id"), {"id": refused}
            )
            await session.execute(text("UPDATE commands SET attempts = 2 WHERE command_id = :id"), {"id": refused})
        await heard.until(lambda heard: len(heard.of("command")) == 2)
        assert heard.of("command")[-1]["data"]["status"] == "superseded"


async def test_new_log_lines_are_counted_once_a_second_without_their_text(
    api: Api, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = await a_run(api)
    foreign, _ = await a_run(api)
    async with stream(api, url, "operator", kinds=["log", "run"]) as heard:
        await eventually(lambda: _is(api.app.state.feed.hints._ends))
        begun = asyncio.get_running_loop().time()
        for number in range(30):
            await log(api, run, f"{WORDS} {number}")
            # Not from its own worker.
            await log(api, foreign, WORDS, task_queue="elsewhere")
        await heard.until(lambda heard: sum(event["data"]["count"] for event in heard.of("log")) >= 30)
        hints_heard, seconds = heard.of("log"), asyncio.get_running_loop().time() - begun
        assert sum(event["data"]["count"] for event in hints_heard) == 30
        assert len(hints_heard) <= seconds / hints.POLL_SECONDS + 1
        async with reading(api.plane.engine) as session:
            newest = (
                await session.execute(
                    text("SELECT max(log_id) FROM logs WHERE execution_id = :id"), {"id": run.execution_id}
                )
            ).scalar_one()
        assert hints_heard[-1]["data"]["newest_log_id"] == newest
        assert {event["run_id"] for event in hints_heard} == {run.run_id}
        # Without an id of its own, an event leaves the client's as it was.
        assert {event.id for event in heard.events} == {heard.events[0].id}
        assert not any(WORDS in event.data for event in heard.events)


async def test_a_line_that_commits_late_or_whose_run_is_projected_late_is_counted(api: Api) -> None:
    seen = hints.Hints()
    run = factories.run()

    async def look() -> list[int]:
        before = seen.head
        async with reading(api.plane.engine) as session:
            await seen.look(session, logs=True)
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
        late = (await session.execute(text("SELECT nextval('logs_log_id_seq')"))).scalar_one()
    await log(api, run, "early")
    assert await look() == [1]
    await log(api, run, "late", log_id=late)
    assert await look() == [1]
    assert await look() == []


async def test_changes_of_policy_and_catalog_are_heard(api: Api, as_: Any, url: str) -> None:
    async with stream(api, url, "viewer", kinds=["policy", "catalog"]) as heard:
        document = '{"grid": "heard", "build": "b", "task_queue": "q", "workflows": [], "tools": [], "agents": []}'
        async with writing(api.plane.engine) as session:
            for _ in range(5):
                await session.execute(text("SELECT agentgrid_catalog(CAST(:it AS json))"), {"it": document})
        await factories.insert(api.plane.engine, factories.tool("heard_of"))
        answer = await as_("admin").post(f"{V1}/tools/heard_of/disable", json={"reason": "heard"})
        assert answer.status_code in (200, 202), answer.text
        await heard.until(lambda heard: heard.of("catalog") and heard.of("policy"))
        assert [event["run_id"] for event in heard.of("policy", "catalog")] == [None] * len(heard.events[1:])
        assert len(heard.of("catalog")) == 1


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
        assert event["required"] == list(event["properties"]), "a client must be able to rely on each"


async def _is(value: object) -> object:
    return value
