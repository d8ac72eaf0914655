"""The audit log: filtered by kind and by day in the viewer's zone, and exported with the same filter."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime, timedelta
from urllib.parse import urljoin
from zoneinfo import ZoneInfo

from playwright.async_api import expect

from tests.console.conftest import Pages
from tests.console.stack import Stack

ZONE = "Asia/Tokyo"


async def test_the_log_is_filtered_by_day_and_exported_with_its_filter(page_of: Pages, stack: Stack):
    run_id = await stack.loop.start("support_triage", {"ticket_id": "T-9999"}, note="for the auditor")
    page = await page_of("auditor", "/audit", timezone_id=ZONE)
    rows = page.get_by_role("listitem").filter(has_text="started Support triage")
    await expect(rows.first).to_be_visible()
    await expect(page.get_by_text("signed in").first).to_be_visible()
    await page.get_by_role("button", name="Runs", exact=True).click()
    await expect(page.get_by_text("signed in")).to_have_count(0)

    await page.get_by_role("button", name="Any day").click()
    await page.get_by_role("button", name="Today", exact=True).click()
    today = datetime.now(ZoneInfo(ZONE)).replace(hour=0, minute=0, second=0, microsecond=0)
    midnight = today.astimezone(ZoneInfo("UTC"))
    days = page.get_by_role("dialog")
    await expect(days).to_contain_text(f"Whole days in {ZONE}")
    await expect(days).to_contain_text(f"From {midnight:%Y-%m-%d %H:%M:%S} UTC")
    await expect(page).to_have_url(re.compile(f"since={midnight:%Y-%m-%dT%H}"))
    await days.press("Escape")
    await expect(page.get_by_role("link", name=run_id[-8:]).first).to_be_visible()

    exports = {}
    await page.get_by_role("button", name="Export").click()
    for word in ("CSV", "NDJSON"):
        href = await page.get_by_role("menuitem", name=word).get_attribute("href")
        assert href
        exports[word] = await (await page.request.get(urljoin(page.url, href))).text()
    kinds = {row["kind"] for row in csv.DictReader(io.StringIO(exports["CSV"]))}
    assert "run.start" in kinds
    assert all(kind.startswith(("run.", "view.")) for kind in kinds)
    assert run_id in {json.loads(line)["run_id"] for line in exports["NDJSON"].splitlines()}
    await page.keyboard.press("Escape")

    await page.goto(f"{stack.url()}/audit?until={(today - timedelta(days=2)).isoformat().replace('+', '%2B')}")
    await expect(page.get_by_text("No matches")).to_be_visible()
    await page.get_by_role("button", name="Clear filters").last.click()
    await expect(rows.first).to_be_visible()

    own = await page_of("viewer", "/audit")
    await expect(own.get_by_text("You only see your own commands.")).to_be_visible()
    await expect(own.get_by_text("started Support triage")).to_have_count(0)
