"""Event streams over a real connection: cut anywhere and resumed, they deliver each event once, in order, until the run ends."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse
from sqlalchemy import text, update
from sse_starlette.sse import AppStatus

from agentgrid.api import feed as api_feed
from agentgrid.api import sse
from agentgrid.api.live import LiveEvent
from agentgrid.control import api_keys
from agentgrid.db.session import writing
from agentgrid.db.tables import Run
from agentgrid.domain.live import Interest
from agentgrid.domain.principals import Principal, PrincipalKind
from tests.api import factories
from tests.api.conftest import SETUP, Api, eventually, listening


@pytest.fixture(scope="module")
async def url(api: Api) -> AsyncIterator[str]:
    async with listening(api.app) as url:
        yield url


@pytest.fixture
async def http(api: Api, url: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {api.tokens['viewer']}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20) as client:
        yield client


async def take(
    http: httpx.AsyncClient, path: str, *, last: str | None = None, at_most: int | None = None
) -> list[ServerSentEvent]:
    """Events except `hello`, until the stream ends, or until the connection is cut after this many."""
    seen: list[ServerSentEvent] = []
    headers = {} if last is None else {"Last-Event-ID": last}
    async with asyncio.timeout(60), aconnect_sse(http, "GET", path, headers=headers) as source:
        assert source.response.status_code == 200, await source.response.aread()
        async for event in source.aiter_sse():
            if event.event != "hello":
                seen.append(event)
            if at_most is not None and len(seen) >= at_most:
                break
    return seen


async def a_run(api: Api) -> Run:
    run = factories.run()
    await factories.insert(api.plane.engine, run)
    return run


async def a_step(api: Api, run: Run, **over: Any) -> str:
    """The subject of events about it."""
    step = factories.step(run, 5, **over)
    await factories.insert(api.plane.engine, factories.execution(run), step)
    return factories.subject(step)


async def close(api: Api, run: Run) -> None:
    await factories.publish(
        api.plane.engine,
        (run.run_id, "run", {"status": "completed"}),
        (run.run_id, "end", {"status": "completed"}),
        first=update(Run).where(Run.run_id == run.run_id).values(status="completed"),
    )


@pytest.mark.parametrize("seed", range(3))
async def test_a_stream_cut_anywhere_and_resumed_delivers_each_event_once_in_order(api: Api, http, seed: int):
    dice = random.Random(seed)
    run, other = await a_run(api), await a_run(api)
    step = await a_step(api, run)
    path = f"/api/v1/runs/{run.run_id}/events"
    sent: list[int] = []

    async def write():
        for number in range(40):
            ids = await factories.publish(
                api.plane.engine,
                *((run.run_id, "step", {"attempts": number}) for _ in range(dice.randint(1, 3))),
                (other.run_id, "step", {"attempts": number}),
                subject=step,
            )
            sent.extend(ids[:-1])
            if dice.random() < 0.3:
                await asyncio.sleep(0.01)
        await close(api, run)

    writer = asyncio.create_task(write())
    seen: list[ServerSentEvent] = []
    while not seen or seen[-1].event != "end":
        last = seen[-1].id if seen else None
        seen += await take(http, path, last=last, at_most=dice.randint(1, 12))
    await writer

    steps = [int(event.id) for event in seen if event.event == "step"]
    assert steps == sent
    assert [event.event for event in seen[-2:]] == ["run", "end"]
    ids = [int(event.id) for event in seen]
    assert ids == sorted(set(ids))
    assert all(event.json()["run_id"] == run.run_id for event in seen)


async def test_a_live_stream_delivers_an_event_at_once(api: Api, http):
    run = await a_run(api)
    waiting = asyncio.create_task(take(http, f"/api/v1/runs/{run.run_id}/events", at_most=1))
    await asyncio.sleep(0.2)
    begun = asyncio.get_running_loop().time()
    await factories.publish(api.plane.engine, (run.run_id, "run", {"status": "waiting"}))
    (event,) = await waiting
    assert asyncio.get_running_loop().time() - begun < 1.5
    assert event.json()["data"]["status"] == "waiting"


async def test_the_stream_of_a_run_that_ended_long_ago_ends_at_once(api: Api, http):
    run = factories.run(status="failed")
    await factories.insert(api.plane.engine, run)
    (event,) = await take(http, f"/api/v1/runs/{run.run_id}/events")
    assert (event.event, event.json()["data"]) == ("end", {"status": "failed"})


async def test_the_stream_continues_for_a_run_that_was_reset_after_its_end(api: Api, http):
    run = await a_run(api)
    await factories.publish(api.plane.engine, (run.run_id, "end", {"status": "failed"}))
    await factories.publish(api.plane.engine, (run.run_id, "run", {"status": "running"}))
    (event,) = await take(http, f"/api/v1/runs/{run.run_id}/events", at_most=1)
    assert event.event == "run"


async def test_the_stream_of_everything_begins_now_or_after_a_cursor(api: Api, http):
    run = await a_run(api)
    first, second = await factories.publish(
        api.plane.engine, (run.run_id, "run", {"step_count": 1}), (run.run_id, "run", {"step_count": 2})
    )
    after = await take(http, "/api/v1/events", last=str(first), at_most=1)
    assert [int(event.id) for event in after] == [second]
    waiting = asyncio.create_task(take(http, "/api/v1/events", at_most=1))
    await asyncio.sleep(0.3)
    (third,) = await factories.publish(api.plane.engine, (run.run_id, "run", {"n": 3}))
    assert [int(event.id) for event in await waiting] == [third]


async def test_an_expired_or_foreign_cursor_gets_a_reset(api: Api, http):
    run = await a_run(api)
    ids = await factories.publish(api.plane.engine, *((run.run_id, "run", {"n": n}) for n in range(5)))
    async with writing(api.plane.engine) as session:
        await session.execute(text("DELETE FROM events WHERE event_id < :id"), {"id": ids[3]})
    for last in ("1", str(ids[-1] + 1_000_000)):
        (event,) = await take(http, "/api/v1/events", last=last, at_most=1)
        assert (event.event, int(event.id)) == ("reset", ids[-1])
    kept = await take(http, "/api/v1/events", last=str(ids[2]), at_most=2)
    assert [int(event.id) for event in kept] == ids[3:]


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 30])
async def test_a_cursor_that_is_not_an_id_is_refused(http, last: str):
    response = await http.get("/api/v1/events", headers={"Last-Event-ID": last})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")


async def test_a_lost_notification_only_costs_the_poll_interval(api: Api, http):
    run = await a_run(api)
    waiting = asyncio.create_task(take(http, f"/api/v1/runs/{run.run_id}/events", at_most=1))
    await asyncio.sleep(0.2)
    async with writing(api.plane.engine) as session:
        cut = await session.execute(
            text("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%events%'")
        )
        assert cut.scalar_one() >= 1
        await session.execute(
            text("INSERT INTO events (run_id, kind, data) VALUES (:run, 'run', '{}')"), {"run": run.run_id}
        )
    (event,) = await asyncio.wait_for(waiting, 6)
    assert event.event == "run"


async def test_a_stream_ends_soon_after_its_key_was_revoked(api: Api, url: str, monkeypatch):
    monkeypatch.setattr(sse, "CHECK_SECONDS", 0.1)
    key = await api_keys.create(api.plane.engine, SETUP, principal="viewer")
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key.secret}"}, timeout=20) as http:
        waiting = asyncio.create_task(take(http, "/api/v1/events"))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await api_keys.revoke(api.plane.engine, SETUP, key.key_id)
        assert await asyncio.wait_for(waiting, 6) == []
        assert (await http.get("/api/v1/events")).status_code == 401


async def test_a_stream_is_complete_when_the_server_stops(api: Api, http, monkeypatch):
    waiting = asyncio.create_task(take(http, "/api/v1/events"))
    await eventually(lambda: _is("viewer" in api.app.state.feed._streams))
    monkeypatch.setattr(AppStatus, "should_exit", True)  # as after SIGTERM
    assert await asyncio.wait_for(waiting, 6) == []  # a stream cut off in the middle would raise an error


async def test_one_principal_cannot_take_every_stream(api: Api, http):
    feed = api.app.state.feed
    for _ in range(50):
        feed.enter("viewer")
    try:
        response = await http.get("/api/v1/events")
        assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
    finally:
        for _ in range(50):
            feed.leave("viewer")
    assert feed.streams == 0 or all(name != "viewer" for name in feed._streams)


async def test_a_client_that_does_not_read_is_disconnected_and_blocks_nobody(api: Api, url: str, http, monkeypatch):
    monkeypatch.setattr(sse, "SEND_SECONDS", 2.0)
    feed = api.app.state.feed
    address = httpx.URL(url)
    with socket.socket() as narrow:
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.setblocking(False)
        await asyncio.get_running_loop().sock_connect(narrow, (address.host, address.port))
        reader, writer = await asyncio.open_connection(sock=narrow, limit=1024)
        request = (
            f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {api.tokens['admin']}\r\n\r\n"
        )
        writer.write(request.encode())
        assert (await reader.readline()).split()[1] == b"200"
        assert feed._streams["admin"] == 1
        run = await a_run(api)
        step = await a_step(api, run)
        reading = asyncio.create_task(take(http, f"/api/v1/runs/{run.run_id}/events", at_most=20))
        # More than the socket buffers of both sides hold.
        for number in range(20):
            changes = {"attempts": number, "title": "x" * 500_000}
            await factories.publish(api.plane.engine, (run.run_id, "step", changes), subject=step)
        assert [event.json()["data"]["attempts"] for event in await reading] == list(range(20))
        await eventually(lambda: _is("admin" not in feed._streams))
        writer.close()


async def _is(value: object) -> object:
    return value


async def test_a_stream_that_keeps_up_reads_only_the_new_end_of_the_window():
    looked = []

    class Counted(deque):
        def __reversed__(self):
            for event in super().__reversed__():
                looked.append(event.event_id)
                yield event

    feed = api_feed.Feed(None, "")  # type: ignore[arg-type]  # the database is never queried
    feed._window = Counted(
        LiveEvent(event_id=number, run_id=f"run-{number % 2}", workflow="made", kind="step", redacted=b"-")
        for number in range(1, 1_001)
    )
    feed._head = 1_000
    events, position = await feed.after(997, Principal(name="any", kind=PrincipalKind.HUMAN), Interest(run_id="run-1"))
    assert ([event.event_id for event in events], position) == ([999], 1_000)
    assert looked == [1_000, 999, 998, 997]
