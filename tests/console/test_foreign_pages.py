"""Pages of other origins in a signed-in user's browser: their requests are refused, and they can't read anything."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from starlette.responses import HTMLResponse
from starlette.types import Receive, Scope, Send

from agentgrid.api.cookies import name_of
from tests.api.conftest import listening
from tests.api.wire import command_counts
from tests.console.conftest import LOST, Pages, status
from tests.console.stack import Exchange, Stack

ATTACK = """async ([console, run, approval, digest, key]) => {
  const api = console + '/api/v1', read = []
  const changes = [
    [`/runs/${run}/cancel`, {reason: 'by a stranger'}],
    [`/approvals/${approval}/decisions`, {verdict: 'approved', digest}],
    ['/tools/refund_ticket/disable', {reason: 'by a stranger'}],
    ['/session', {key}],
  ]
  const tried = async (path, options) => {
    try { read.push(await (await fetch(api + path, {credentials: 'include', ...options})).text()) } catch {}
  }
  const loaded = (element, attributes) => new Promise(done => {
    Object.assign(element, attributes, {onload: done, onerror: done})
    document.body.append(element)
  })
  for (const mode of ['cors', 'no-cors']) await tried('/me', {mode})
  for (const [path, body] of changes) {
    await tried(path, {method: 'POST', mode: 'no-cors', headers: {'content-type': 'text/plain'}, body: JSON.stringify(body)})
    await tried(path, {method: 'POST', mode: 'cors', body: new URLSearchParams(body)})
    await tried(path, {method: 'POST', mode: 'cors', headers: {'content-type': 'application/json'}, body: JSON.stringify(body)})
    for (const enctype of ['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain']) {
      const frame = document.createElement('iframe'), form = document.createElement('form')
      frame.name = `f${Math.random()}`
      await loaded(frame, {})
      Object.assign(form, {method: 'POST', action: api + path, enctype, target: frame.name})
      for (const [name, value] of Object.entries(body)) form.append(Object.assign(document.createElement('input'), {name, value}))
      document.body.append(form)
      const answered = new Promise(done => { frame.onload = done })
      form.submit()
      await answered
    }
  }
  await tried('/session', {method: 'DELETE', mode: 'cors'})
  await loaded(document.createElement('img'), {src: api + '/me'})
  await loaded(document.createElement('script'), {src: api + '/me'})
  await loaded(document.createElement('iframe'), {src: api + '/me'})
  const events = new EventSource(api + '/events', {withCredentials: true})
  await new Promise(done => { events.onerror = done; events.onopen = () => { read.push('a stream'); done() } })
  events.close()
  return read.filter(text => text)
}"""
"""Every kind of request that a page can send. Returns what it could read."""

REQUESTS = 31
"""The number of requests that ATTACK sends; each reaches the API."""
OWN = """async ([run]) => (await fetch(`/api/v1/runs/${run}/cancel`, {
  method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify({reason: 'by its own page'}),
})).status"""
PAGES = {
    "another port": "http://127.0.0.1:{port}/",
    "the machine's other name": "http://localhost:{port}/",
    "another host": "http://evil.example:{port}/",
    "a sandboxed page": "http://127.0.0.1:{port}/sandboxed",
}
SEEN_BY_THE_PAGE = re.compile(
    "CORS policy|MIME type|X-Frame-Options|frame-ancestors|ERR_BLOCKED|ERR_FAILED|EventSource"
)


async def foreign_server(scope: Scope, receive: Receive, send: Send) -> None:
    """A server of another origin."""
    headers = {"Content-Security-Policy": "sandbox allow-scripts allow-forms"} if scope["path"] == "/sandboxed" else {}
    await HTMLResponse("<!doctype html><title>Foreign</title><body>", headers=headers)(scope, receive, send)


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    """The port of a foreign server on this machine."""
    async with listening(foreign_server) as url:
        yield urlsplit(url).port or 0


async def test_no_page_of_another_origin_changes_or_reads_anything(page_of: Pages, stack: Stack, port: int):
    run_id, approval = await stack.refund("T-1015")
    own = await page_of("operator", "/settings")
    stranger = await own.context.new_page()
    page_of.expect(SEEN_BY_THE_PAGE, LOST, status(401, 403))
    before = await command_counts(stack.loop.api.plane.engine)
    target = [stack.url(), run_id, approval["approval_id"], approval["digest"], stack.loop.api.tokens["viewer"]]
    cookies = 0
    for name, address in PAGES.items():
        await stranger.goto(address.format(port=port))
        with stack.recorded() as exchanges:
            assert await stranger.evaluate(ATTACK, target) == [], name
        foreign = [exchange for exchange in exchanges if exchange.headers.get("sec-fetch-site") != "same-origin"]
        assert len(foreign) == REQUESTS, name
        for exchange in foreign:
            assert_refused(exchange)
        cookies += sum(name_of(stack.url()) in exchange.headers.get("cookie", "") for exchange in foreign)
    assert cookies >= REQUESTS - 5  # cookies ignore ports: all requests from another port but preflights carry ours
    assert await command_counts(stack.loop.api.plane.engine) == before
    assert (await stack.loop.run(run_id))["status"] == "waiting"

    assert await own.evaluate(OWN, [run_id]) == 202
    await stack.loop.until(run_id, "cancelled")
    assert await command_counts(stack.loop.api.plane.engine) != before


def assert_refused(exchange: Exchange) -> None:
    assert exchange.status in (401, 403), exchange
    if exchange.status == 403:
        assert '"code":"foreign_origin"' in exchange.text.replace(" ", ""), exchange
    else:
        assert (exchange.method, "cookie" in exchange.headers) == ("GET", False), exchange
    assert not {"set-cookie", "access-control-allow-origin"} & set(exchange.response_headers.keys()), exchange
