"""Requests that are wrong at the HTTP level: framing, headers, targets, and clients that never finish."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from agentgrid.api import body
from tests.api import factories
from tests.api.conftest import Api, eventually, listening
from tests.api.wire import command_counts, exchange, state, wire

JSON = "Content-Type: application/json"
START = "/api/v1/workflows/known/runs"
ME = "/api/v1/me"


@pytest.fixture(scope="module")
async def url(api: Api) -> AsyncIterator[str]:
    await factories.insert(api.plane.engine, *factories.workflow("known", {}))
    async with listening(api.app) as url:
        yield url


@pytest.fixture
async def untouched(api: Api) -> AsyncIterator[None]:
    """Checks that the test changed nothing, and that every command was refused."""
    before, commands = await state(api.plane.engine), await command_counts(api.plane.engine)
    yield
    assert await state(api.plane.engine) == before
    now = await command_counts(api.plane.engine)
    assert {status for status in now if now[status] != commands.get(status, 0)} <= {"refused"}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "READ_SECONDS", 0.4)


@pytest.mark.usefixtures("untouched", "impatient")
async def test_a_body_that_never_ends_times_out(api: Api, url: str) -> None:
    token = api.tokens["operator"]
    for head, begun in (("Transfer-Encoding: chunked", b'5\r\n{"inp\r\n'), ("Content-Length: 100", b'{"inp')):
        async with wire(url) as line:
            await line.send(line.request("POST", START, JSON, head, token=token) + begun)
            (await line.reply()).is_problem(408, "request_timeout")


@pytest.mark.usefixtures("untouched", "impatient")
async def test_a_body_that_arrives_too_slowly_times_out(api: Api, url: str) -> None:
    async with wire(url) as line:
        await line.send(line.request("POST", START, JSON, "Content-Length: 1000", token=api.tokens["operator"]))
        began = time.monotonic()
        response = asyncio.create_task(line.reply())
        while not response.done():
            await line.send(b" ")
            await asyncio.wait([response], timeout=0.05)
        response.result().is_problem(408, "request_timeout")
        assert time.monotonic() - began < 5


@pytest.mark.usefixtures("untouched")
async def test_a_client_that_disconnects_before_its_body_is_complete_starts_nothing(api: Api, url: str) -> None:
    refused = (await command_counts(api.plane.engine)).get("refused", 0)
    async with wire(url) as line:
        await line.send(line.request("POST", START, JSON, "Content-Length: 12", token=api.tokens["operator"]) + b"{")
        await line.hang_up()

    async def written_down() -> bool:
        return (await command_counts(api.plane.engine)).get("refused", 0) > refused

    await eventually(written_down)


@pytest.mark.usefixtures("untouched")
async def test_ten_megabytes_are_refused_without_being_buffered(api: Api, url: str) -> None:
    memory = psutil.Process().memory_info().rss
    async with wire(url) as line:
        await line.send(line.request("POST", START, JSON, "Content-Length: 10485760", token=api.tokens["operator"]))
        (await line.reply()).is_problem(413, "payload_too_large")
    async with wire(url) as line:
        await line.send(line.request("POST", START, JSON, "Transfer-Encoding: chunked", token=api.tokens["operator"]))
        for _ in range(10):  # anything after the response is discarded
            await line.send(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
        (await line.reply()).is_problem(413, "payload_too_large")
    assert psutil.Process().memory_info().rss - memory < 64 * 1024 * 1024


@pytest.mark.usefixtures("untouched")
async def test_a_compressed_body_is_not_decompressed(api: Api, url: str) -> None:
    bomb = gzip.compress(b" " * 100 * 1024 * 1024, compresslevel=1)
    memory = psutil.Process().memory_info().rss
    for headers in ((JSON, "Content-Encoding: gzip"), (JSON, "Content-Encoding: gzip, gzip")):
        reply = await exchange(url, api.tokens["operator"], "POST", START, *headers, body=bomb)
        reply.is_problem(415, "unsupported_media_type")
    assert psutil.Process().memory_info().rss - memory < 64 * 1024 * 1024


async def test_expect_100_continue_is_answered_only_if_the_body_would_be_read(api: Api, url: str) -> None:
    head = (JSON, "Expect: 100-continue")
    async with wire(url) as line:
        await line.send(line.request("POST", START, *head, "Content-Length: 12", token=api.tokens["operator"]))
        assert (await line.reply()).status == 100
        await line.send(b'{"input": 1}')
        assert (await line.reply()).status == 201
    async with wire(url) as line:
        await line.send(line.request("POST", START, *head, "Content-Length: 9999999", token=api.tokens["operator"]))
        (await line.reply()).is_problem(413, "payload_too_large")
    async with wire(url) as line:
        await line.send(line.request("POST", START, *head, "Content-Length: 12"))
        (await line.reply()).is_problem(401, "unauthenticated")


BROKEN = {
    "two lengths": ["Content-Length: 2", "Content-Length: 3"],
    "a negative length": ["Content-Length: -1"],
    "a length as a word": ["Content-Length: two"],
    "a length that overflows": ["Content-Length: " + "9" * 30],
    "an invalid transfer encoding": ["Transfer-Encoding: identity"],
    "a compressed chunked body": ["Transfer-Encoding: gzip, chunked"],
    "a header of 64 KB": ["Content-Length: 2", "X-Long: " + "x" * 65_536],
    "a thousand headers": ["Content-Length: 2", *(f"X-{n}: {'x' * 100}" for n in range(1_000))],
    "a NUL in a header": ["Content-Length: 2", "X-Nul: a\x00b"],
    "a header without a name": ["Content-Length: 2", ": x"],
    "a space before the colon": ["Content-Length : 2"],
    "a folded header": ["Content-Length: 2", "X-Folded: a", " b\x00"],
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.usefixtures("untouched")
async def test_requests_that_are_not_http_are_refused(api: Api, url: str, name: str) -> None:
    async with wire(url) as line:
        await line.send(line.request("POST", START, JSON, *BROKEN[name], token=api.tokens["operator"]) + b"{}")
        reply = await line.reply()
    assert 400 <= reply.status < 500, reply
    assert b"Traceback" not in reply.body


@pytest.mark.usefixtures("untouched")
async def test_an_endless_header_ends_the_connection(api: Api, url: str) -> None:
    async with wire(url) as line:
        try:
            await line.send(line.request("GET", ME, "X-Long: " + "x" * 4_194_304, token=api.tokens["operator"]))
            assert (await line.reply()).status == 400
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the server hung up before everything was sent, and the response was lost


@pytest.mark.parametrize("length", [10_000, 60_000, 100_000, 1_000_000])
@pytest.mark.usefixtures("untouched")
async def test_an_endless_url_is_refused(api: Api, url: str, length: int) -> None:
    for target in (f"/api/v1/runs?q={'x' * length}", f"/api/v1/runs/{'x' * length}", f"/{'x' * length}"):
        async with wire(url) as line:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):  # or the server hung up
                await line.send(line.request("GET", target, token=api.tokens["operator"]))
                reply = await line.reply()
                assert reply.status in (400, 404, 422), reply


@pytest.mark.usefixtures("untouched")
async def test_content_length_with_chunked_encoding_is_not_two_requests(api: Api, url: str) -> None:
    """A server that trusts the length would treat the rest as another request on the owner's connection."""
    async with wire(url) as line:
        head = line.request("POST", START, JSON, "Content-Length: 5", "Transfer-Encoding: chunked")
        await line.send(head + b"0\r\n\r\n" + line.request("GET", ME, token=api.tokens["operator"]))
        reply = await line.reply()
    assert reply.status in (400, 401), reply


async def test_a_second_request_on_a_connection_does_not_inherit_the_firsts_key(api: Api, url: str) -> None:
    async with wire(url) as line:
        await line.send(line.request("GET", ME, token=api.tokens["operator"]) + line.request("GET", ME))
        assert (await line.reply()).status == 200
        (await line.reply()).is_problem(401, "unauthenticated")


@pytest.mark.parametrize(
    ("hosts", "code"),
    [
        (["evil.example"], "unknown_host"),
        (["127.0.0.1@evil.example"], "unknown_host"),
        (["127.0.0.1.evil.example"], "unknown_host"),
        (["127.0.0.1:x"], "unknown_host"),
        ([" "], "unknown_host"),
        (["127.0.0.1", "evil.example"], None),
        ([], None),
    ],
    ids=str,
)
async def test_a_foreign_host_is_refused(api: Api, url: str, hosts: list[str], code: str | None) -> None:
    async with wire(url) as line:
        lines = [f"Host: {host}" for host in hosts]
        await line.send(line.request("GET", ME, *lines, token=api.tokens["operator"], host=""))
        reply = await line.reply()
    assert reply.status == 400
    if code is not None:
        reply.is_problem(400, code)


async def test_proxy_headers_are_not_trusted(api: Api, url: str) -> None:
    spoofed = [
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Proto: https",
        "X-Real-IP: 203.0.113.9",
        "Forwarded: for=203.0.113.9;host=evil.example",
        "X-HTTP-Method-Override: DELETE",
        "X-Original-URL: /api/v1/keys",
    ]
    reply = await exchange(url, api.tokens["operator"], "POST", START, JSON, *spoofed, body=b'{"input": 1}')
    assert reply.status == 201
    command = reply.json()["command"]
    assert (command["address"], command["route"]) == ("127.0.0.1", f"POST {START}")
    assert "evil.example" not in reply.body.decode()
    assert reply.headers["location"].startswith("/api/v1/runs/")


@pytest.mark.parametrize("method", ["BREW", "get", "TRACE", "OPTIONS", "PATCH", "PROPFIND", "HEAD", "CONNECT"])
@pytest.mark.usefixtures("untouched")
async def test_other_http_methods_do_nothing(api: Api, url: str, method: str) -> None:
    for target in (ME, START, "/api/v1/runs"):
        async with wire(url) as line:
            await line.send(line.request(method, target, "Connection: close", token=api.tokens["operator"]))
            reply = await line.reply(bodiless=method == "HEAD")
        assert reply.status in (400, 404, 405), (target, reply)


@pytest.mark.usefixtures("untouched")
async def test_a_connection_cannot_be_upgraded_to_another_protocol(api: Api, url: str) -> None:
    for upgrade in (
        [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        ],
        ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    ):
        async with wire(url) as line:
            await line.send(line.request("GET", ME, *upgrade))
            assert (await line.reply()).status in (400, 401, 403, 404)
    async with wire(url) as line:
        await line.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n")
        assert (await line.reply()).status == 400
