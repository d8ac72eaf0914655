"""Attacks on the API's front door over raw sockets: spellings, malformed heads, slow senders, floods."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from agentgrid.api.access import ACCESS
from agentgrid.api.limits import RateLimits
from agentgrid.cli import serving
from agentgrid.control import api_keys
from agentgrid.settings import Settings
from tests.api.conftest import Api, listening
from tests.api.paths import filled
from tests.api.wire import Wire, command_counts, exchange, state, wire
from tests.security.door import api, url

__all__ = ["api", "url"]

JSON = "Content-Type: application/json"
ME = "/api/v1/me"
BEHIND = sorted(route for route, access in ACCESS.items() if not access.public)
A_KEY = "ag_0123456789abcdef_" + "A" * 43


def spellings(path: str) -> list[str]:
    """Spellings of the path that might bypass a check."""
    head, _, last = path.rpartition("/")
    return [
        f"{path}/",
        f"{path}//",
        f"/{path}",
        f"{head}//{last}",
        f"{head}/./{last}",
        f"{head}/x/../{last}",
        f"{head}/%2e%2e/{last}",
        f"{head}%2f{last}",
        f"{head}/%{ord(last[0]):02x}{last[1:]}",
        f"{head}/%{ord(last[0]):02X}{last[1:]}",
        f"{head}/%25{ord(last[0]):02x}{last[1:]}",
        f"{head}/{last.upper()}",
        path.upper(),
        *(
            f"{path}{suffix}"
            for suffix in (".json", ".html", ".js", ";x", ";.css", "%00", "%20", "%0a", "?", "?x=/healthz")
        ),
        f"/healthz{path}",
        f"/healthz/..{path}",
        f"/healthz;{path}",
        f"/healthz%3b/..{path}",
    ]


class Line:
    """A connection that reconnects if the server closes it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: tuple[object, Wire] | None = None

    async def ask(self, method: str, target: str, *headers: str):
        for _ in range(2):
            if self._open is None:
                context = wire(self._url)
                self._open = (context, await context.__aenter__())
            context, line = self._open
            try:
                await line.send(line.request(method, target, *headers))
                reply = await line.reply(bodiless=method == "HEAD")
            except (asyncio.IncompleteReadError, ConnectionError):
                await self.close()
                continue
            if reply.headers.get("connection") == "close":
                await self.close()
            return reply
        raise AssertionError(f"no answer to {method} {target}")

    async def close(self) -> None:
        if self._open is not None:
            context, self._open = self._open[0], None
            await context.__aexit__(None, None, None)  # type: ignore[attr-defined]


CREDENTIALS = {
    "none": [],
    "a wrong key": [f"Authorization: Bearer {A_KEY}"],
    "no key": ["Authorization: Bearer x"],
    "another scheme": ["Authorization: Basic b3BlcmF0b3I6eA=="],
    "a cookie": [f"Cookie: session={A_KEY}"],
}


@pytest.mark.parametrize("credential", CREDENTIALS)
async def test_r32_each_route_answers_401_without_a_valid_credential(api: Api, url: str, credential: str) -> None:
    line = Line(url)
    before = await state(api.plane.engine)
    for route in BEHIND:
        method, path = route.split(" ", 1)
        reply = await line.ask(method, filled(path, other="known"), *CREDENTIALS[credential])
        reply.is_problem(401, "unauthenticated")
        assert reply.headers["www-authenticate"].startswith("bearer")
    await line.close()
    assert await state(api.plane.engine) == before


@pytest.mark.parametrize("credential", ["none", "a wrong key"])
async def test_r32_no_spelling_or_method_of_a_route_bypasses_authentication(
    api: Api, url: str, credential: str
) -> None:
    """Kestra CVE-2026-53576 (a suffix passed the check), Langflow CVE-2026-21445 (routes without a check)."""
    line = Line(url)
    before, commands = await state(api.plane.engine), await command_counts(api.plane.engine)
    seen: set[int] = set()
    for route in BEHIND:
        own, path = route.split(" ", 1)
        place = filled(path, other="known")
        for method, target in [
            *((own, target) for target in spellings(place)),
            *(
                (method, place)
                for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
            ),
        ]:
            reply = await line.ask(method, target, *CREDENTIALS[credential])
            seen.add(reply.status)
            assert reply.status in (400, 401, 403, 404, 405), (method, target, reply)
            if reply.body:
                assert reply.headers["content-type"] == "application/problem+json", (method, target, reply)
            else:
                assert method == "HEAD"
    await line.close()
    assert {401, 404, 405} <= seen
    assert await state(api.plane.engine) == before
    assert await command_counts(api.plane.engine) == commands


@pytest.mark.parametrize(
    "header", ["Origin", "Host", "Referer", "Authorization", "Cookie", "Last-Event-ID", "Content-Type"]
)
@pytest.mark.parametrize(
    "value",
    ["http://[::1", "http://[", "http://]", "[::1", "::", ":", "http://[v1.x", "http://a:b:c", "//", "null", "", "http://\xe4\xff"],
)  # fmt: skip
async def test_a_malformed_header_is_a_client_error(url: str, header: str, value: str) -> None:
    for method, target in (("GET", ME), ("POST", "/api/v1/workflows/known/runs"), ("GET", "/healthz")):
        async with wire(url) as line:
            host = value if header == "Host" else line.host
            lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Content-Length: 0"]
            lines += [] if header == "Host" else [f"{header}: {value}"]
            await line.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
            reply = await line.reply()
        assert reply.status < 500, (target, reply)
        if header == "Origin" and target != "/healthz":
            assert reply.status in (400, 403), reply


@pytest.mark.parametrize("encode", ["one letter", "mixed case", "all", "twice", "three times", "the separators"])
async def test_r44_a_key_in_a_url_is_refused_however_it_is_encoded(api: Api, url: str, encode: str) -> None:
    token = api.tokens["operator"]
    every = "".join(f"%{ord(letter):02x}" for letter in token)
    written = {
        "one letter": "%61g" + token[2:],
        "mixed case": "".join(f"%{ord(x):02{'xX'[n % 2]}}" for n, x in enumerate(token)),
        "all": every,
        "twice": quote(every, safe=""),
        "three times": quote(quote(every, safe=""), safe=""),
        "the separators": token.replace("_", "%5F"),
    }[encode]
    for target in (f"/api/v1/runs/{written}", f"/api/v1/runs?q={written}", f"/{written}", f"/healthz?{written}"):
        for presented in (None, token):
            reply = await exchange(url, presented, "GET", target)
            reply.is_problem(400, "key_in_url")
            assert token.encode() not in reply.body
            assert written.encode() not in reply.body
    name = await exchange(url, None, "GET", f"{ME}?%61pi%5fkey=x")
    name.is_problem(400, "key_in_url")


async def test_an_endlessly_encoded_url_is_refused_at_once(url: str) -> None:
    reply = await exchange(url, None, "GET", "/api/v1/runs?q=%" + "25" * 10_000)
    reply.is_problem(400, "bad_request")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(serving, "BODY_SECONDS", 0.4)
    monkeypatch.setattr(serving, "UNREAD_SECONDS", 0.4)


async def ended(line: Wire, *, seconds: float = 10) -> bytes:
    """Everything received until the server closes the connection."""
    try:
        async with asyncio.timeout(seconds):
            return await line._reader.read()
    except ConnectionError:
        return b""


async def drip(line: Wire, what: bytes = b"X") -> None:
    while True:
        await line.send(what)
        await asyncio.sleep(0.05)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("begun", [b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
@pytest.mark.parametrize("dripping", [False, True])
async def test_an_incomplete_head_times_out(url: str, begun: bytes, dripping: bool) -> None:
    async with wire(url) as line:
        await line.send(begun)
        dripper = asyncio.create_task(drip(line)) if dripping else None
        assert await ended(line) == b""
        if dripper is not None:
            dripper.cancel()
            await asyncio.gather(dripper, return_exceptions=True)


@pytest.mark.usefixtures("hasty")
async def test_an_incomplete_second_head_times_out_too(api: Api, url: str) -> None:
    async with wire(url) as line:
        for _ in range(5):
            await line.send(line.request("GET", ME, token=api.tokens["viewer"]))
            assert (await line.reply()).status == 200
            await asyncio.sleep(0.15)  # in total longer than one head may take
        await line.send(b"GET /api/v1/me HT")
        dripper = asyncio.create_task(drip(line))
        assert await ended(line) == b""
        dripper.cancel()
        await asyncio.gather(dripper, return_exceptions=True)


@pytest.mark.usefixtures("hasty")
async def test_an_idle_connection_outlives_those_of_clients_and_proxies(api: Api, url: str) -> None:
    """If the server closed first, it could do so just as the client sends a POST. nginx keeps connections longest: 60 s."""
    assert serving.options(max_connections=1)["timeout_keep_alive"] > 60
    async with wire(url) as line:
        for _ in range(2):
            await line.send(line.request("GET", ME, token=api.tokens["viewer"]))
            assert (await line.reply()).status == 200
            await asyncio.sleep(1)  # longer than the shortened time for a head


@pytest.mark.usefixtures("hasty")
async def test_an_endless_unread_body_times_out(url: str) -> None:
    async with wire(url) as line:
        await line.send(line.request("POST", "/api/v1/workflows/known/runs", JSON, "Content-Length: 100000"))
        (await line.reply()).is_problem(401, "unauthenticated")
        dripper = asyncio.create_task(drip(line))
        assert await ended(line) == b""
        dripper.cancel()
        await asyncio.gather(dripper, return_exceptions=True)


@pytest.mark.usefixtures("hasty")
async def test_unread_responses_time_out(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        client.setblocking(False)
        client.send(f"GET /api/openapi.json HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode() * 100)
        async with asyncio.timeout(10):
            while True:
                await asyncio.sleep(0.1)
                try:
                    client.send(b"\r\n")
                except BlockingIOError:
                    continue
                except ConnectionError:
                    break


@pytest.mark.usefixtures("hasty")
async def test_an_event_stream_outlives_all_timeouts(api: Api, url: str) -> None:
    async with wire(url) as line:
        await line.send(line.request("GET", "/api/v1/events", "Accept: text/event-stream", token=api.tokens["viewer"]))
        head = await line._reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(until_end(line), 1.2)


async def until_end(line: Wire) -> None:
    while await line._reader.read(1000):
        pass


async def test_excess_connections_get_503_and_the_others_continue(api: Api) -> None:
    async with listening(api.app, max_connections=3) as url, wire(url) as first:
        async with wire(url), wire(url):
            await first.send(first.request("GET", ME, token=api.tokens["viewer"]))
            assert (await first.reply()).status == 200, "the last accepted connection is served too"
            async with wire(url) as fourth:
                refused = await fourth.reply()
            refused.is_problem(503, "too_many_connections")
            assert int(refused.headers["retry-after"]) > 0
            await first.send(first.request("GET", ME, token=api.tokens["viewer"]))
            assert (await first.reply()).status == 200
        async with asyncio.timeout(10):
            while True:
                async with wire(url) as later:
                    await later.send(later.request("GET", ME, token=api.tokens["viewer"]))
                    if (await later.reply()).status == 200:
                        break


@pytest.fixture
def limited(api: Api) -> Iterator[None]:
    settings = Settings(
        rate_failures_burst=5, rate_failures_per_second=0.01, rate_requests_burst=5, rate_requests_per_second=0.01
    )
    before = api.app.state.limits
    api.app.state.limits = RateLimits(settings)
    yield
    api.app.state.limits = before


@pytest.mark.usefixtures("limited")
async def test_guessing_keys_ends_in_429_before_any_lookup(api: Api, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await exchange(url, api.tokens["viewer"], "GET", ME)).status == 200
    for number in range(5):
        (await exchange(url, A_KEY[:-1] + str(number), "GET", ME)).is_problem(401, "unauthenticated")
    looked_up, authenticate = [], api_keys.authenticate

    async def counted(pool, presented):
        looked_up.append(presented)
        return await authenticate(pool, presented)

    monkeypatch.setattr(api_keys, "authenticate", counted)
    for presented in (A_KEY, None, "x", api.tokens["auditor"]):
        reply = await exchange(url, presented, "GET", ME)
        reply.is_problem(429, "rate_limited")
        assert 0 < int(reply.headers["retry-after"]) <= 100
    assert looked_up == []
    assert (await exchange(url, api.tokens["viewer"], "GET", ME)).status == 200, (
        "a key that was authenticated before still works"
    )


@pytest.mark.usefixtures("limited")
async def test_only_the_flooding_principal_is_limited_and_no_record_is_left(api: Api, url: str) -> None:
    before = await command_counts(api.plane.engine)
    for _ in range(5):
        assert (await exchange(url, api.tokens["operator"], "GET", ME)).status == 200
    for method, target in (("GET", ME), ("POST", "/api/v1/workflows/known/runs"), ("GET", "/api/v1/events")):
        reply = await exchange(url, api.tokens["operator"], method, target, JSON)
        reply.is_problem(429, "rate_limited")
        assert int(reply.headers["retry-after"]) > 0
    assert (await exchange(url, api.tokens["viewer"], "GET", ME)).status == 200
    assert await command_counts(api.plane.engine) == before


async def test_no_name_is_both_a_group_and_a_principal(api: Api, url: str) -> None:
    """`approvers` names both people and groups: a member of the group `cfo` could otherwise decide as the person of that name."""

    async def put(name: str, body: bytes):
        return await exchange(url, api.tokens["admin"], "PUT", f"/api/v1/principals/{name}", JSON, body=body)

    assert (await put("cfo", b'{"kind": "human", "roles": ["viewer"]}')).status == 200
    taken = await put("mallory", b'{"kind": "human", "roles": [], "groups": ["cfo"]}')
    taken.is_problem(409, "conflict")
    assert "cfo can't be both a principal and a group" in taken.json()["detail"]
    assert (await put("mallory", b'{"kind": "human", "roles": [], "groups": ["finance"]}')).status == 200
    (await put("finance", b'{"kind": "human", "roles": []}')).is_problem(409, "conflict")
    (await put("narcissus", b'{"kind": "human", "roles": [], "groups": ["narcissus"]}')).is_problem(409, "conflict")
    assert (await put("cfo", b'{"kind": "human", "roles": [], "groups": ["finance"]}')).status == 200
