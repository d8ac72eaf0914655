"""What each page costs, under which policy it runs, and that everybody can use it."""

from __future__ import annotations

import gzip
import json
import re
import uuid
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, Request, expect

from tests.console.conftest import Pages
from tests.console.stack import Stack

KILO = 1000
PAGE_BUDGETS = {"screens/Overview": 220 * KILO, "screens/Run": 270 * KILO}
"""Bytes of JavaScript (gzip) on the first load. The JSON view of a run comes later, on demand."""
ANY_PAGE = 400 * KILO
STYLES = 20 * KILO
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}


# --- budgets of what is built ------------------------------------------------------------------------------------------


class Built:
    """The manifest of the built console: which files each screen loads."""

    def __init__(self, dist: Path) -> None:
        self._dist = dist
        self._chunks = json.loads((dist / ".vite" / "manifest.json").read_text())

    @property
    def screens(self) -> list[str]:
        return [name for name in self._chunks if name.startswith("src/screens/")]

    def _with_imports(self, name: str, found: set[str]) -> set[str]:
        if name not in found:
            found.add(name)
            for each in self._chunks[name].get("imports", []):
                self._with_imports(each, found)
        return found

    def first_load(self, screen: str) -> tuple[int, int]:
        """The bytes (gzip) of the scripts and of the styles that this screen loads before it shows."""
        chunks = [self._chunks[name] for name in self._with_imports(screen, self._with_imports("index.html", set()))]
        scripts = {chunk["file"] for chunk in chunks}
        styles = {style for chunk in chunks for style in chunk.get("css", [])}
        return self._bytes(scripts), self._bytes(styles)

    def _bytes(self, files: set[str]) -> int:
        return sum(len(gzip.compress((self._dist / file).read_bytes(), 9)) for file in files)


def test_no_page_loads_more_than_its_budget(dist: Path):
    built = Built(dist)
    assert len(built.screens) > 8
    over = {}
    for screen in built.screens:
        scripts, styles = built.first_load(screen)
        budget = PAGE_BUDGETS.get(screen.removeprefix("src/").removesuffix(".tsx"), ANY_PAGE)
        if scripts > budget or styles > STYLES:
            over[screen] = (scripts, budget, styles, STYLES)
    assert not over


# --- policy ------------------------------------------------------------------------------------------------------------


async def test_pages_and_assets_have_the_headers_that_keep_others_out(stack: Stack, dist: Path):
    script = next((dist / "assets").glob("index-*.js")).name
    async with httpx.AsyncClient(base_url=stack.url()) as http:
        page, again = [await http.get("/runs/x", headers={"Accept": "text/html"}) for _ in range(2)]
        asset = await http.get(f"/assets/{script}")
        missing = await http.get("/assets/missing.js", headers={"Accept": "text/html"})
        foreign = await http.get("/", headers={"Host": "evil.example"})
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["worker-src"] == "'self'"
    assert (policy["frame-ancestors"], policy["base-uri"]) == ("'none'", "'none'")
    assert "unsafe" not in page.headers["content-security-policy"]
    (nonce,) = re.findall(r"'nonce-([\w-]{20,})'", policy["style-src"])
    assert nonce in page.text
    assert nonce not in again.text
    for answer in (page, asset):
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["content-encoding"] == "gzip" or len(answer.content) < KILO
    assert page.headers["cache-control"] == "no-store"
    assert "immutable" in asset.headers["cache-control"]
    assert missing.status_code == 404
    assert foreign.status_code in (400, 403, 421)
    assert not re.search(r"https?://(?!www\.w3\.org)", page.text)


# --- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("screen", "most"), [("overview", 4), ("run", 6)])
async def test_a_page_asks_few_questions(page_of: Pages, stack: Stack, screen: str, most: int):
    run_id, _ = await stack.refund("T-1015", reference=f"ref-{uuid.uuid4().hex[:8]}")
    page = await page_of("operator", "/settings")
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/api/" in request.url:
            asked.append(request.url.partition("/api/v1")[2])

    page.on("request", note)
    await page.goto(stack.url() + ("/" if screen == "overview" else f"/runs/{run_id}"), wait_until="networkidle")
    await expect(page.get_by_text("Happens next" if screen == "overview" else "Refund ticket").first).to_be_visible()
    assert len(asked) <= most, asked


# --- for everybody -----------------------------------------------------------------------------------------------------


async def violations(page: Page) -> list[str]:
    """What axe finds, one line each."""
    found = (await Axe().run(page, options=WCAG)).response["violations"]
    return [
        f"{page.url} {each['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
        for each in found
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_screen_can_be_used_by_everybody(page_of: Pages, stack: Stack, scheme: str):
    run_id, approval = await stack.refund("T-1015", reference=f"ref-{uuid.uuid4().hex[:8]}")
    signed_out = await (await page_of.context(color_scheme=scheme)).new_page()
    await signed_out.goto(f"{stack.url()}/sign-in")
    await expect(signed_out.get_by_role("heading", name="Sign in to AgentGrid")).to_be_visible()
    found = await violations(signed_out)
    page = await page_of("admin", color_scheme=scheme)
    for path in (
        "/",
        "/approvals",
        "/approvals?whose=all",
        f"/approvals/{approval['approval_id']}",
        "/runs",
        f"/runs/{run_id}",
        "/workflows",
        "/workflows/support_triage",
        "/agents",
        "/agents/triager",
        "/tools",
        "/tools/refund_ticket",
        "/workers",
        "/audit",
        "/settings",
        "/no/such/page",
    ):
        await page.goto(stack.url() + path, wait_until="networkidle")
        await expect(page.get_by_role("heading").first).to_be_visible()
        found += await violations(page)
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    found += await violations(page)
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+k")
    await expect(page.get_by_role("dialog")).to_be_visible()
    found += await violations(page)
    assert not found, "\n".join(found)
