"""The size, security headers, number of requests and accessibility of each page."""

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

from tests.console.conftest import Pages, shown, status
from tests.console.sizes import Scheme, faults_at_each_size, show_in
from tests.console.stack import ROOT, Stack

KILO = 1000
PAGE_BUDGETS = {"screens/Overview": 220 * KILO, "screens/Run": 270 * KILO}
"""Bytes of JavaScript (gzip) on the first load. The JSON view of a run is loaded on demand."""
ANY_PAGE = 400 * KILO
STYLES = 20 * KILO
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


# --- bundle budgets ----------------------------------------------------------------------------------------------------


class Built:
    """The manifest of the built console: which files each screen loads."""

    def __init__(self, dist: Path) -> None:
        self._dist = dist
        self._chunks = json.loads((dist / ".vite" / "manifest.json").read_text())

    @property
    def screens(self) -> list[str]:
        return [name for name in self._chunks if name.startswith("src/screens/")]

    def _with_imports(self, name: str, names: set[str]) -> set[str]:
        if name not in names:
            names.add(name)
            for imported in self._chunks[name].get("imports", []):
                self._with_imports(imported, names)
        return names

    def first_load(self, screen: str) -> tuple[int, int]:
        """The bytes (gzip) of the scripts and styles that this screen needs before it shows."""
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


# --- headers -----------------------------------------------------------------------------------------------------------


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
    for response in (page, asset):
        assert response.status_code == 200
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
        assert response.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"
    assert asset.headers["content-encoding"] == "gzip"
    assert "immutable" in asset.headers["cache-control"]
    assert missing.status_code == 404
    assert foreign.status_code in (400, 403, 421)
    assert not re.search(r"https?://(?!www\.w3\.org)", page.text)


# --- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("screen", "most"),
    [("overview", 4), ("run", 6)],
)
async def test_a_page_sends_few_requests(page_of: Pages, stack: Stack, screen: str, most: int):
    run_id, _ = await stack.refund("T-1015", reference=f"ref-{uuid.uuid4().hex[:8]}")
    place = stack.url() + ("/" if screen == "overview" else f"/runs/{run_id}")
    page = await page_of("operator", "/settings")
    last = page.locator("pre").first if screen == "run" else page.get_by_role("heading", name="Tools that act")
    # Load it once before: late events, such as the run's last log lines, cause requests beyond those of a page load.
    await page.goto(place)
    await expect(last).to_be_visible()
    requests: list[str] = []

    def note(request: Request) -> None:
        if "/api/" in request.url and "/logs?after=" not in request.url:  # the stream announces new lines at any time
            requests.append(request.url.partition("/api/v1")[2])

    page.on("request", note)
    await page.goto(place)
    await expect(last).to_be_visible()  # the value of the selected step
    await shown(page)
    assert len(requests) <= most, "\n".join(requests)


# --- accessibility -----------------------------------------------------------------------------------------------------


class Reader:
    """Checks pages with axe for people who can't see them, or see them badly."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.faults: list[str] = []

    async def begin(self) -> None:
        await self._page.evaluate(Axe().axe_script)

    async def go(self, path: str) -> None:
        await self._page.evaluate("path => void history.pushState({}, '', path)", path)  # the router listens
        await shown(self._page)

    async def read(self) -> None:
        """Check all rules in light, in dark only contrast, since nothing else differs, and whether the page fits."""
        rules: dict[Scheme, list[str]] = {"light": RULES, "dark": ["color-contrast"]}
        for scheme, only in rules.items():
            await show_in(self._page, scheme)
            options = {"runOnly": only, "resultTypes": ["violations"]}
            violations = await self._page.evaluate("async options => (await axe.run(options)).violations", options)
            self.faults += [
                f"{self._page.url} {scheme} {violation['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
                for violation in violations
                for node in violation["nodes"]
            ]
        self.faults += await faults_at_each_size(self._page, self._page.url)
        nested = await self._page.evaluate(
            "() => [...document.querySelectorAll(':is(a, button) :is(a, button)')].map(e => e.outerHTML)"
        )
        self.faults += [f"{self._page.url} one control inside another: {html[:160]}" for html in nested]


async def test_the_sign_in_page_is_accessible(page_of: Pages, stack: Stack):
    page = await (await page_of.context()).new_page()
    await page.goto(f"{stack.url()}/sign-in")
    await shown(page)
    reader = Reader(page)
    await reader.begin()
    await reader.read()
    assert not reader.faults, "\n".join(reader.faults)
    # The check detects a control without a name, unreadable text, and content wider than the window.
    await page.evaluate(
        """() => {
            const pale = document.createElement("p");
            pale.textContent = "pale";
            pale.style.color = "#aaa";
            pale.style.background = "#fff";
            const wide = document.createElement("div");
            wide.style.width = "2000px";
            document.querySelector("main").append(document.createElement("button"), pale, wide);
        }"""
    )
    await reader.read()
    for rule in ("light button-name", "light color-contrast", "dark color-contrast", "wider than its window"):
        assert any(rule in fault for fault in reader.faults), rule


SCREENS = {
    "operate": (
        "/",
        "/approvals",
        "/approvals?whose=all",
        "/approvals/{approval}",
        "/runs",
        "/runs/{run}",
        "/runs/gone",
    ),
    "catalog": (
        "/workflows",
        "/workflows/support_triage",
        "/agents",
        "/agents/triager",
        "/tools",
        "/tools/refund_ticket",
        "/tools?view=mcp",
    ),
    "system": (
        "/workers",
        "/audit",
        "/settings",
        "/settings?view=people",
        "/settings?view=keys",
        "/settings?view=signing",
        "/no/such/page",
    ),
}


def test_every_route_is_checked_for_accessibility():
    router = (ROOT / "console" / "src" / "router.tsx").read_text()
    routes = re.findall(r'\bat\("([^"]+)"', router)
    assert len(routes) > 10
    read = [path.partition("?")[0] for paths in SCREENS.values() for path in paths]
    for route in routes:
        pattern = re.sub(r"\$\w+", "[^/]+", route)
        assert any(re.fullmatch(pattern, path) for path in read), route


@pytest.mark.parametrize("part", SCREENS)
async def test_every_screen_is_accessible(page_of: Pages, stack: Stack, part: str):
    run_id, approval = await stack.refund("T-1015", reference=f"ref-{uuid.uuid4().hex[:8]}")
    page_of.expect(status(404))
    page = await page_of("admin")
    reader = Reader(page)
    await reader.begin()
    for path in SCREENS[part]:
        await reader.go(path.format(run=run_id, approval=approval["approval_id"]))
        await reader.read()
    for keys, dialog in (("?", "Keyboard shortcuts"), ("Control+k", "")) if part == "operate" else ():
        await page.keyboard.press(keys)
        await expect(page.get_by_role("dialog", name=dialog)).to_be_visible()
        await reader.read()
        await page.keyboard.press("Escape")
    assert not reader.faults, "\n".join(reader.faults)
