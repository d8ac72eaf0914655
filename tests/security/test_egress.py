"""A hostile document, model or server can't use a tool from elsewhere against the private network, or exhaust its worker."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpcore
import pytest

from agentgrid.errors import ToolError
from agentgrid.sources import egress as sources_egress
from agentgrid.sources.egress import Egress, HttpRequest, RequestLimits
from agentgrid.sources.guard import EgressRefused, Guard, GuardedBackend
from tests.sources.hostile import Request, serving, text


def resolving(names: dict[str, Sequence[str]]) -> Any:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return names.get(host, [host])

    return resolve


@asynccontextmanager
async def egress(*allowed: str, **names: Sequence[str]) -> AsyncIterator[Egress]:
    """An egress that knows these names under `.test`; uses the system's resolver if there are none."""
    resolve = {"resolve": resolving({f"{name}.test": found for name, found in names.items()})} if names else {}
    made = Egress(allowed, **resolve)
    try:
        yield made
    finally:
        await made.aclose()


def get(url: str, **fields: Any) -> HttpRequest:
    return HttpRequest(method="GET", url=url, **fields)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "0x7f.1",
            "localhost",
            "localhost.",
            "LOCALHOST",
        ),
        *(
            "0.0.0.0",
            "0",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "192.0.2.1",
        ),
        *("169.254.169.254", "2852039166", "0xa9fea9fe", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:8.8.8.8]", "[::ffff:7f00:1]", "[fe80::1]", "[fd00:ec2::254]"),
        *(
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[2001:0:7f00:1::]",
            "[::7f00:1]",
            "[fc00::1]",
            "[ff02::1]",
            "[fec0::1]",
        ),
    ],
)
async def test_no_spelling_of_a_private_address_is_reached(host: str) -> None:
    async with serving(text()) as server, egress() as out:
        with pytest.raises(EgressRefused, match=r"is not reached|not a valid URL"):
            await out.send(get(f"http://{host}:{server.port}/"))
        assert server.requests == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///etc/passwd", "neither http nor https"),
        ("gopher://127.0.0.1/", "neither http nor https"),
        ("//127.0.0.1/", "neither http nor https"),
        ("http:///path", "no host"),
        ("http://user:secret@example.com/", "contains a user name"),
        ("http://127.0.0.1\\@example.com/", "contains a user name"),
        ("http://example.com:99999/", "invalid port"),
        ("http://１２７.0.0.1/", "not a valid URL"),
    ],
)
async def test_only_plain_web_addresses_are_accepted(url: str, why: str) -> None:
    async with egress() as out:
        with pytest.raises(EgressRefused, match=why) as caught:
            await out.send(get(url))
        assert "secret" not in caught.value.message


async def test_a_name_with_a_private_address_is_refused_even_if_it_also_has_a_public_one() -> None:
    async with egress(inner=["10.0.0.7"], mixed=["93.184.216.34", "10.0.0.7"]) as out:
        for name in ("inner", "mixed"):
            with pytest.raises(EgressRefused, match=r"10\.0\.0\.7 is not a public internet address"):
                await out.send(get(f"https://{name}.test/"))


async def test_connections_go_to_the_checked_address_however_the_name_changes() -> None:
    answers = itertools.cycle([["93.184.216.34"], ["127.0.0.1"]])
    connected: list[str] = []

    class Network(httpcore.AnyIOBackend):
        async def connect_tcp(self, host: str, *args: Any, **kwargs: Any) -> Any:
            connected.append(host)
            raise httpcore.ConnectError("not in a test")

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return next(answers)

    backend = GuardedBackend(Guard(resolve=rebinding), Network())
    with pytest.raises(httpcore.ConnectError):
        await backend.connect_tcp("rebinding.test", 443)
    with pytest.raises(EgressRefused):
        await backend.connect_tcp("rebinding.test", 443)
    assert connected == ["93.184.216.34"]


async def test_an_allowed_name_reaches_a_private_address_but_never_the_clouds_metadata_service() -> None:
    async with serving(text(body=b"in")) as server:
        async with egress(f"inner.test:{server.port}", inner=["127.0.0.1"], outer=["127.0.0.1"]) as out:
            assert (await out.send(get(f"http://inner.test:{server.port}/a"))).body == b"in"
            for url in (f"http://outer.test:{server.port}/", f"http://inner.test:{server.port + 1}/"):
                with pytest.raises(EgressRefused):
                    await out.send(get(url))
        async with egress("inner.test", inner=["169.254.169.254"]) as out:
            with pytest.raises(EgressRefused, match="metadata service"):
                await out.send(get("http://inner.test/latest/meta-data/"))
    assert [request.target for request in server.requests] == ["/a"]


@pytest.mark.parametrize(
    "location",
    [
        *(
            "http://169.254.169.254/latest/",
            "http://2130706433:1/",
            "//[::1]:1/",
            "file:///etc/passwd",
            "http://a:b@c.test/",
        ),
        *("http://other.test/", "http://:1/", "/again"),
    ],
)
async def test_redirects_are_bounded_and_each_is_checked_like_the_first_request(location: str) -> None:
    async with serving(text(302, headers={"location": location})) as server:
        async with egress(f"127.0.0.1:{server.port}") as out:
            with pytest.raises((EgressRefused, ToolError)) as caught:
                await out.send(get(f"{server.url}/start"))
        if location == "/again":
            assert "redirects more than 5 times" in caught.value.message
            assert len(server.requests) == 6
        else:
            assert len(server.requests) == 1


async def test_a_redirect_carries_credentials_to_no_other_host_and_repeats_no_write() -> None:
    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        there = {"location": f"http://two.test:{server.port}/there"}
        await (text(307, headers=there) if request.target == "/" else text(body=b"ok"))(request, writer)

    async with serving(reply) as server, egress("one.test", "two.test", one=["127.0.0.1"], two=["127.0.0.1"]) as out:
        own = {"Authorization": "Bearer canary", "X-Api-Key": "canary"}
        ask = get(f"http://one.test:{server.port}/", headers={"x-trace": "1"}, own=own)
        assert (await out.send(ask)).body == b"ok"
        with pytest.raises(EgressRefused, match="redirects a POST"):
            await out.send(HttpRequest(method="POST", url=ask.url, content=b"{}"))
    first, second, third = server.requests
    assert (first.headers["authorization"], first.headers["x-trace"]) == ("Bearer canary", "1")
    assert "canary" not in str(second)
    assert (second.headers["host"], second.headers["x-trace"]) == (f"two.test:{server.port}", "1")
    assert third.method == "POST"


async def test_a_redirect_to_an_unencrypted_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with egress(plain=["93.184.216.34"]) as out:

        async def answering(request: httpcore.Request) -> httpcore.Response:
            return httpcore.Response(302, headers=[(b"location", b"http://plain.test/")])

        monkeypatch.setattr(out._pool, "handle_async_request", answering)
        with pytest.raises(EgressRefused, match="is not encrypted"):
            await out.send(get("https://plain.test/"))


async def _endless(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def _drip(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _silent(request: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


BOMB = gzip.compress(b"0" * 5_000_000, compresslevel=9)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (_endless, "more than 100,000 bytes"),
        (text(body=BOMB, headers={"content-encoding": "gzip"}), "more than 100,000 bytes"),
        (text(body=b"xxxx", headers={"content-encoding": "gzip"}), "not compressed as its Content-Encoding claims"),
        (text(body=gzip.compress(b"0" * 900)[:-9], headers={"content-encoding": "gzip"}), "is incomplete"),
        (text(body=b"x", headers={"content-encoding": "br"}), "was not requested"),
        (_drip, "did not answer in time"),
        (_silent, "did not answer in time"),
    ],
)
async def test_bytes_and_seconds_are_bounded(reply: Any, why: str) -> None:
    async with serving(reply) as server, egress("127.0.0.1") as out:
        started = asyncio.get_running_loop().time()
        with pytest.raises(ToolError, match=why):
            await out.send(get(server.url), RequestLimits(total_seconds=0.7, max_bytes=100_000))
        assert asyncio.get_running_loop().time() - started < 3


async def test_connections_are_bounded_and_further_requests_wait_within_their_time_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources_egress, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(sources_egress, "MAX_IDLE_CONNECTIONS", 1)
    three, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        three.release()
        await go_on.wait()
        await text(body=b"ok")(request, writer)

    async with serving(reply) as server, egress("127.0.0.1") as out, asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        # Waiting for a connection doesn't count as waiting for the network: only the total bounds it.
        slow = RequestLimits(connect_seconds=0.2, total_seconds=8)
        answers = [tasks.create_task(out.send(get(server.url), slow)) for _ in range(7)]
        for _ in range(3):
            await three.acquire()
        with pytest.raises(ToolError, match="did not answer in time") as caught:
            await out.send(get(server.url), RequestLimits(total_seconds=0.5))
        assert caught.value.retryable
        go_on.set()
        assert [(await answer).body for answer in answers] == [b"ok"] * 7
        while server.connections > 1:  # connections over the pool's limit are closed
            await asyncio.sleep(0.01)
    assert (len(server.requests), server.most_connections) == (7, 3)


async def test_an_errors_body_is_truncated_and_a_header_cannot_smuggle_in_another() -> None:
    async with serving(text(400, body=b"y" * 500)) as server, egress("127.0.0.1") as out:
        answer = await out.send(get(server.url), RequestLimits(max_bytes=100))
        assert (answer.status, answer.body, answer.truncated) == (400, b"y" * 100, True)
        with pytest.raises(ToolError, match="is not valid"):
            await out.send(get(server.url, headers={"x-one": "1\r\nx-two: 2"}))
    assert len(server.requests) == 1
