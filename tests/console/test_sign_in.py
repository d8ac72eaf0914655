"""Signing in by link and by API key, and how sessions end."""

from __future__ import annotations

import time

from playwright.async_api import Frame, Page, expect

from agentgrid.control import api_keys
from tests.api.conftest import SETUP
from tests.console.conftest import LOST, Pages, live, status
from tests.console.stack import Stack

ENDS_SECONDS = 2.0
"""An open page must leave within this time once its session has ended."""
STORED = "() => JSON.stringify([location.href, history.state, document.referrer, {...localStorage}, {...sessionStorage}, document.cookie])"


async def sign_in_page(page_of: Pages, stack: Stack, code: str = "") -> Page:
    page = await (await page_of.context()).new_page()
    await page.goto(f"{stack.url()}/sign-in{code and '#'}{code}")
    return page


async def test_a_link_signs_in_once_and_leaves_nothing_of_its_code(page_of: Pages, stack: Stack):
    code = await stack.code(stack.loop.api.tokens["operator"])
    page = await (await page_of.context()).new_page()
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url + request.headers.get("referer", "")))
    await page.goto(f"{stack.url()}/sign-in?to=/audit#{code}")
    await expect(page).to_have_url(f"{stack.url()}/audit")
    await expect(page.get_by_role("button", name="operator operator")).to_be_visible()
    assert code not in await page.evaluate(STORED)
    assert not [url for url in urls if code in url.split("#")[0]]
    await page.go_back()  # to the empty page before: the sign-in page isn't in the history
    assert page.url == "about:blank"

    page_of.expect(status(401))
    used = await sign_in_page(page_of, stack, code)
    await expect(used.get_by_role("status")).to_contain_text("agentgrid console --open")
    assert code not in await used.evaluate(STORED)
    assert used.url == f"{stack.url()}/sign-in"


async def test_a_key_signs_in_and_a_wrong_one_does_not(page_of: Pages, stack: Stack):
    key = stack.loop.api.tokens["viewer"]
    page_of.expect(status(401))
    page = await sign_in_page(page_of, stack)
    field, button = page.get_by_label("API key", exact=True), page.get_by_role("button", name="Sign in")
    assert await field.get_attribute("type") == "password"
    await field.fill(f"{key[:-1]}{'B' if key[-1] == 'A' else 'A'}")
    await button.click()
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(button).to_be_enabled()
    await field.fill(key)
    await button.click()
    await expect(page.get_by_role("button", name="viewer")).to_be_visible()
    assert key[-20:] not in await page.evaluate(STORED)


async def test_a_page_without_a_session_requires_sign_in_and_then_opens(page_of: Pages, stack: Stack):
    page_of.expect(status(401))
    page = await (await page_of.context()).new_page()
    await page.goto(f"{stack.url()}/runs?status=failed")
    await expect(page.get_by_role("heading", name="Sign in to AgentGrid")).to_be_visible()
    await page.get_by_label("API key", exact=True).fill(stack.loop.api.tokens["operator"])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    assert page.url == f"{stack.url()}/runs?status=failed"


async def test_the_open_pages_of_a_session_end_with_it(page_of: Pages, stack: Stack):
    """By signing out in another tab, by an administrator, and with its key."""
    key = await stack.new_key("operator")
    out = await page_of("operator")
    ended = await page_of("developer", "/audit")
    revoked = await page_of("operator", "/runs", key=key.secret)
    beside = await out.context.new_page()
    await beside.goto(f"{stack.url()}/settings")
    left: dict[Page, float] = {}  # when each page navigated away

    def note(frame: Frame) -> None:
        left.setdefault(frame.page, time.monotonic())

    for page in (out, beside, ended, revoked):
        await live(page)
        page.on("framenavigated", note)
    page_of.expect(status(401, 403), LOST)

    async def end() -> None:
        (session, *_) = (await stack.loop.call("admin", "GET", "/sessions?principal=developer"))["items"]
        await stack.loop.call("admin", "POST", f"/sessions/{session['session_id']}/end", json={"reason": "A test"})

    async def sign_out() -> None:
        await out.get_by_role("button", name="operator").click()
        await out.get_by_role("menuitem", name="Sign out").click()

    for act, pages in (
        (end(), [ended]),
        (api_keys.revoke(stack.loop.api.plane.engine, SETUP, key.key_id), [revoked]),
        (sign_out(), [out, beside]),
    ):
        await act
        since = time.monotonic()
        for page in pages:
            await expect(page.get_by_role("heading", name="Sign in to AgentGrid")).to_be_visible()
            assert left[page] - since < ENDS_SECONDS
