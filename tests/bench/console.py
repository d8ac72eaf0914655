"""How long a page of the console takes to load in a real Chromium, with a large database."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright

from agentgrid.db import migrate
from agentgrid.servers import PostgresServer, TemporalServer
from tests.bench import dataset
from tests.bench.page import median_range, percentile
from tests.bench.stand import Api, api
from tests.console.chromium import FLAGS, executable
from tests.console.stack import built_console

TITLE = "The console in a browser"
METHOD = (
    "Chromium, API and PostgreSQL on the same cores. A page is opened by its address in a browser profile that has only loaded the sign-in page. "
    "Shown: its content is in the page, measured from the navigation by the browser's clock. Interactive: shown, and the last task of over 50 ms "
    "has ended; half a second without such a task follows, which is not counted."
)
SIZE = 100_000
ROUNDS = 5
WINDOW: ViewportSize = {"width": 1440, "height": 900}
QUIET_MILLISECONDS = 500
TURNS = 120
"""Turns of the mouse wheel; together they scroll about 3,000 rows."""
TURN_PIXELS = 1_000

WATCH = """
(() => {
    const selector = SELECTOR;
    const seen = (window.__seen = { shown: 0, busy: 0 });
    const check = () => {
        if (!seen.shown && document.querySelector(selector)) seen.shown = performance.now();
    };
    new MutationObserver(check).observe(document, { childList: true, subtree: true });
    new PerformanceObserver((list) => {
        for (const task of list.getEntries()) seen.busy = Math.max(seen.busy, task.startTime + task.duration);
    }).observe({ type: "longtask", buffered: true });
})();
"""
LOADED = "quiet => window.__seen.shown && performance.now() - Math.max(window.__seen.shown, window.__seen.busy) > quiet ? window.__seen : null"
FRAMES = """
() => {
    const frames = (window.__frames = []);
    let last = performance.now();
    const next = (now) => {
        frames.push(now - last);
        last = now;
        requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
}
"""


@dataclass(frozen=True)
class Visit:
    """Milliseconds since the start of the navigation."""

    shown: float
    interactive: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this part."""
    parser.add_argument(
        "--console-size", type=int, default=SIZE, help=f"console: runs in the database (default {SIZE:,})"
    )
    parser.add_argument(
        "--console-rounds", type=int, default=ROUNDS, help=f"console: visits per page (default {ROUNDS})"
    )


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Measure each page, and scrolling through the list of runs."""
    built_console()
    async with TemporalServer(home, in_memory=True) as temporal, PostgresServer(home) as postgres:
        environment = {
            "AGENTGRID_TEMPORAL_ADDRESS": temporal.address,
            "AGENTGRID_HOME": str(home),
            "AGENTGRID_LOG_LEVEL": "error",
        }
        dsn = await postgres.create_database("console")
        await migrate.upgrade(dsn)
        await dataset.fill(dsn, arguments.console_size)
        connection = await asyncpg.connect(dsn)
        try:
            (longest,) = await connection.fetch(
                "SELECT run_id, count(*) AS steps FROM steps GROUP BY run_id ORDER BY count(*) DESC LIMIT 1"
            )
        finally:
            await connection.close()
        async with api(environment, dsn) as server, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=executable(), args=FLAGS)
            try:
                return await _figures(browser, server, arguments, longest)
            finally:
                await browser.close()


async def _figures(
    browser: Browser, server: Api, arguments: argparse.Namespace, longest: asyncpg.Record
) -> list[tuple[str, str]]:
    size = f"{arguments.console_size:,} runs"
    pages = {
        f"overview of {size}": ("/", "main a[href^='/runs/']"),
        f"list of {size}": ("/runs", "main a[href^='/runs/']"),
        f"run of {longest['steps']:,} steps": (f"/runs/{longest['run_id']}", "[role=treegrid] [role=row]"),
    }
    figures = []
    for name, (path, selector) in pages.items():
        visits = [await _visit(browser, server, path, selector) for _ in range(arguments.console_rounds)]
        figures.append((f"{name}, shown after (ms)", median_range([visit.shown for visit in visits], "{:.0f}")))
        figures.append(
            (f"{name}, interactive after (ms)", median_range([visit.interactive for visit in visits], "{:.0f}"))
        )
    context = await _signed_in(browser, server)
    rows, frames = await _scroll(await context.new_page(), server)
    await context.close()
    figures.append(
        (
            f"scrolling from run 1 to run {rows:,}: time between frames, p50 / p99 / longest (ms)",
            f"{percentile(frames, 0.5):.0f} / {percentile(frames, 0.99):.0f} / {max(frames):.0f}",
        )
    )
    return figures


async def _signed_in(browser: Browser, server: Api) -> BrowserContext:
    """A browser context that is signed in."""
    async with httpx.AsyncClient(base_url=server.url, headers=server.headers("operator")) as http:
        code = (await http.post("/api/v1/session/codes")).json()["code"]
    context = await browser.new_context(viewport=WINDOW, reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(f"{server.url}/sign-in?to=%2Fno%2Fsuch%2Fpage#{code}")
    await page.get_by_role("navigation", name="Console").wait_for()
    await page.close()
    return context


async def _visit(browser: Browser, server: Api, path: str, selector: str) -> Visit:
    context = await _signed_in(browser, server)
    page = await context.new_page()
    await page.add_init_script(WATCH.replace("SELECTOR", repr(selector)))
    await page.goto(server.url + path, wait_until="commit")
    seen = await _poll(page, LOADED, QUIET_MILLISECONDS)
    await context.close()
    return Visit(shown=seen["shown"], interactive=max(seen["shown"], seen["busy"]))


async def _poll(page: Page, expression: str, argument: Any) -> dict[str, float]:
    """Poll the expression until it is truthy. Playwright's `wait_for_function` evaluates text, which the console's content security policy forbids."""
    for _ in range(300):
        if value := await page.evaluate(expression, argument):
            return dict(value)
        await page.wait_for_timeout(100)
    raise RuntimeError(f"{page.url} did not finish loading")


async def _scroll(page: Page, server: Api) -> tuple[int, list[float]]:
    """Scroll the list of runs. Returns the number of rows scrolled, and the milliseconds between frames."""
    await page.goto(f"{server.url}/runs")
    row = page.locator("main a[href^='/runs/']")
    await row.first.wait_for()
    await row.first.hover()
    height = (await row.first.bounding_box() or {"height": 1})["height"]
    await page.evaluate(FRAMES)
    for _ in range(TURNS):
        await page.mouse.wheel(0, TURN_PIXELS)
        await page.wait_for_timeout(50)
    frames = await page.evaluate("() => window.__frames")
    top = await page.evaluate(
        "() => Math.max(...[...document.querySelectorAll('main *')].map((element) => element.scrollTop))"
    )
    return round(top / height), frames[1:]
