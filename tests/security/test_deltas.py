"""Parts of models' answers on their way to watchers: only from the run's own workers, only to callers who may read payloads, and bounded."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse

from agentgrid.api.deltas import MAX_WAITING, WatchedRuns
from agentgrid.control import api_keys, principals
from agentgrid.db.tables import Run
from agentgrid.domain import channels
from agentgrid.domain.agents import ModelCall
from agentgrid.domain.deltas import MAX_TEXT, MAX_TOOLS, WATCHED_SECONDS, watch_mark
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.worker.deltas import MAX_WATCHED, DeltaPart, TurnDeltas, Watched
from tests.api import factories
from tests.api.conftest import SETUP, Api, api, as_, eventually, listening  # noqa: F401 (fixtures)
from tests.conftest import worker_login

DELTA = "SELECT agentgrid_delta($1, 'desk', 'key', 1, 1, $2, $3, $4)"
MINE = "mine"
CALL = ModelCall(
    agent="a" * 255,
    version="v1",
    call="key",
    turn=1,
    model="m",
    instructions="Be brief.",
    tools=[],
    messages=[],
)


def person(name: str, role: Role, **over: Any) -> Principal:
    return Principal(name=name, kind=PrincipalKind.HUMAN, roles=frozenset({role}), **over)


@pytest.fixture(scope="module")
async def url(api: Api) -> AsyncIterator[str]:  # noqa: F811
    async with listening(api.app) as url:
        yield url


async def login(dsn: str, **over: Any) -> asyncpg.Connection:
    return await asyncpg.connect(await worker_login(dsn, grid=MINE, queues=(MINE,), **over))


async def run_of(api: Api, task_queue: str) -> Run:  # noqa: F811
    run = factories.run(task_queue=task_queue)
    await factories.insert(api.plane.engine, run, factories.execution(run, task_queue=task_queue))
    return run


class Stream:
    """A run's events as they arrive."""

    def __init__(self, api: Api, url: str, run: Run, who: str = "operator") -> None:  # noqa: F811
        self.events: list[ServerSentEvent] = []
        self._api, self._url, self._run, self._who = api, url, run, who

    async def __aenter__(self) -> Stream:
        before = self._watches()
        self._task = asyncio.create_task(self._read())

        async def watching() -> bool:
            return self._watches() > before

        await eventually(watching)
        return self

    def _watches(self) -> int:
        return len(self._api.app.state.feed.deltas._watches.get(self._run.run_id, ()))

    async def is_forgotten(self) -> bool:
        return self._watches() == 0

    async def has_ended(self) -> bool:
        return self._task.done()

    async def has_events(self) -> bool:
        return any(event.event == "run" for event in self.events)

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        headers = {"Authorization": f"Bearer {self._api.tokens[self._who]}"}
        path = f"/api/v1/runs/{self._run.run_id}/events?deltas=true"
        async with (
            httpx.AsyncClient(base_url=self._url, headers=headers, timeout=20) as http,
            aconnect_sse(http, "GET", path) as source,
        ):
            async for event in source.aiter_sse():
                self.events.append(event)

    @property
    def texts(self) -> list[str]:
        return [json.loads(event.data)["data"]["text"] for event in self.events if event.event == "delta"]

    async def until(self, text: str) -> None:
        async def came() -> bool:
            return text in self.texts

        await eventually(came)


async def test_a_worker_can_send_deltas_only_for_runs_on_its_own_queues(api: Api, url: str, module_postgres_dsn: str):  # noqa: F811
    own, foreign = await run_of(api, MINE), await run_of(api, "theirs")
    hostile = await login(module_postgres_dsn)
    admin = await asyncpg.connect(module_postgres_dsn)
    async with Stream(api, url, own) as mine, Stream(api, url, foreign) as theirs:
        assert await hostile.fetchval(DELTA, foreign.execution_id, 1, "forged", []) is False
        assert await hostile.fetchval(DELTA, own.execution_id, 1, "true", ["get_order"]) is True
        await mine.until("true")
        (event,) = [event for event in mine.events if event.event == "delta"]
        assert (event.id, event.json()["data"]["tools"]) == ("", ["get_order"])
        # It can't name the channel, so it can neither send to it directly nor listen to others.
        for name in ("agentgrid_deltas", "agentgrid_events"):
            forged = json.dumps({"run_id": foreign.run_id, "execution_id": foreign.execution_id, "text": "forged"})
            await hostile.execute("SELECT pg_notify($1, $2)", name, forged)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await hostile.fetch("SELECT * FROM delta_channels")
        assert await hostile.fetchval(DELTA, own.execution_id, 2, "last", []) is True
        await mine.until("last")
        assert (mine.texts, theirs.texts) == (["true", "last"], [])
    assert await admin.fetchval("SELECT sum(unattributed) FROM worker_budgets") == 1
    assert await admin.fetchval("SELECT count(*) FROM events WHERE kind = 'delta'") == 0
    await hostile.close()
    await admin.close()


async def test_a_worker_that_only_serves_a_runs_tool_cannot_send_its_agents_deltas(
    api: Api,  # noqa: F811
    module_postgres_dsn: str,
):
    run = factories.run(task_queue="theirs")
    execution = factories.execution(run, task_queue="theirs")
    await factories.insert(api.plane.engine, run, execution, factories.step(run, 5, status="running", task_queue=MINE))
    hostile = await login(module_postgres_dsn)
    assert await hostile.fetchval(DELTA, run.execution_id, 1, "forged", []) is False
    await hostile.close()


@pytest.mark.parametrize("letter", ["a", "é", "界", "🎫", "\x01", '"', "\\"])
async def test_the_largest_delta_fits_a_notification_in_any_script(
    api: Api,  # noqa: F811
    url: str,
    module_postgres_dsn: str,
    letter: str,
):
    run = await run_of(api, MINE)
    worker = await login(module_postgres_dsn)
    sent: list[DeltaPart] = []
    turn = TurnDeltas(CALL, run.execution_id or "", 1, sent.append)
    turn.text(letter * MAX_TEXT)
    for _ in range(2 * MAX_TOOLS):
        turn.tool("🎫" * 300)
    turn.end()
    async with Stream(api, url, run) as stream:
        for delta in sent:
            assert await worker.fetchval(
                "SELECT agentgrid_delta($1, $2, $3, $4, $5, $6, $7, $8)", *vars(delta).values()
            )
        await stream.until(letter * MAX_TEXT)
    assert sum(len(delta.tools) for delta in sent) == 2 * MAX_TOOLS
    await worker.close()


@pytest.mark.parametrize("lost", ["the key", "the role", "the scope"])
async def test_a_watcher_that_loses_permission_receives_no_more_deltas(
    api: Api,  # noqa: F811
    url: str,
    module_postgres_dsn: str,
    lost: str,
):
    engine, name = api.plane.engine, f"watcher-{lost[4:]}"
    run = await run_of(api, MINE)
    await principals.put(engine, SETUP, person(name, Role.OPERATOR))
    made = await api_keys.create(engine, SETUP, principal=name)
    api.tokens[name] = made.secret
    worker = await login(module_postgres_dsn)
    async with Stream(api, url, run) as other, Stream(api, url, run, name) as stream:
        assert await worker.fetchval(DELTA, run.execution_id, 1, "before", [])
        await stream.until("before")
        if lost == "the key":
            await api_keys.revoke(engine, SETUP, made.key_id)
        elif lost == "the role":
            await principals.put(engine, SETUP, person(name, Role.VIEWER))
        else:
            await principals.put(engine, SETUP, person(name, Role.OPERATOR, workflows=frozenset({"another"})))
        assert await worker.fetchval(DELTA, run.execution_id, 2, "after", [])
        await other.until("after")
        if lost == "the role":
            # The stream continues, without what models write.
            await factories.publish(engine, (run.run_id, "run", {"status": "running"}))
            await eventually(stream.has_events)
        else:
            await eventually(stream.has_ended)
        assert stream.texts == ["before"]
    await eventually(other.is_forgotten)
    await worker.close()


async def test_without_the_permission_to_read_payloads_there_are_no_deltas(api: Api, as_):  # noqa: F811
    run = await run_of(api, MINE)
    answer = await as_("viewer").get(f"/api/v1/runs/{run.run_id}/events?deltas=true")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_a_flood_is_bounded_by_the_logins_rate_and_the_streams_buffer(
    api: Api,  # noqa: F811
    url: str,
    module_postgres_dsn: str,
):
    run = await run_of(api, MINE)
    hostile = await login(module_postgres_dsn, rate=10)
    async with Stream(api, url, run):
        taken = [await hostile.fetchval(DELTA, run.execution_id, number, "x" * 7_000, []) for number in range(300)]
        assert 5 <= sum(taken) <= 40
        assert await hostile.fetchval(DELTA, run.execution_id, 1, "x" * 9_000, []) is False
    await hostile.close()

    deltas = WatchedRuns()
    with deltas.watch(run) as watch:
        delta = {"execution_id": "e", "agent": "a", "call": "c", "turn": 1, "attempt": 1, "text": "x", "tools": []}
        for number in range(10 * MAX_WAITING):
            deltas.receive(json.dumps({"run_id": run.run_id, "sequence": number, **delta}))
        for bad in ("", "[]", "{}", "null", json.dumps({"run_id": [], **delta}), json.dumps({"run_id": run.run_id})):
            deltas.receive(bad)
        assert len(watch.waiting) == MAX_WAITING
    deltas.receive(json.dumps({"run_id": run.run_id, "sequence": 1, **delta}))
    reader = Principal(name="any", kind=PrincipalKind.HUMAN, roles=frozenset({Role.OPERATOR}))
    assert watch.take(reader).count(b"event: delta") == MAX_WAITING


async def test_watched_runs_are_announced_only_by_marks_and_forged_announcements_are_bounded(
    api: Api,  # noqa: F811
    url: str,
    module_postgres_dsn: str,
    monkeypatch: pytest.MonkeyPatch,
):
    run = await run_of(api, MINE)
    heard: list[str] = []
    hostile = await login(module_postgres_dsn)
    await hostile.add_listener(channels.WATCHED, lambda *notified: heard.append(notified[3]))
    async with Stream(api, url, run):

        async def announced() -> bool:
            return any(watch_mark(run.workflow_id) in marks.split() for marks in heard)

        await eventually(announced)
    assert run.workflow_id not in "".join(heard)
    await hostile.close()

    watched = Watched()
    for number in range(3 * MAX_WATCHED):
        watched.note(f"{number} {'x' * 5}")
    assert len(watched._until) <= MAX_WATCHED
    assert not watched.holds(run.workflow_id)
    watched.note(watch_mark(run.workflow_id))
    assert watched.holds(run.workflow_id)
    # An API process that was killed never announces the end.
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + WATCHED_SECONDS + 1)
    assert not watched.holds(run.workflow_id)


async def test_a_thousand_watched_runs_need_only_a_few_announcements():
    deltas, lost, sent = WatchedRuns(), asyncio.Event(), []

    class Connection:
        async def execute(self, _: str, channel: str, marks: str) -> None:
            assert (channel, len(marks) < 8_000) == (channels.WATCHED, True)
            sent.append(marks.split())

    async with AsyncExitStack() as stack:
        announcing = asyncio.create_task(deltas.announce(Connection(), lost))  # type: ignore[arg-type]
        for number in range(1_000):
            stack.enter_context(deltas.watch(Run(run_id=str(number), workflow_id=str(number))))
            if number % 10 == 0:
                await asyncio.sleep(0)
        marks = {watch_mark(str(number)) for number in range(1_000)}

        async def complete() -> bool:
            return marks <= {mark for some in sent for mark in some}

        await eventually(complete)
        assert len(sent) < 20
        lost.set()
        deltas.announce_now()
        await announcing
    assert deltas._watches == {}
