"""Analytics: aggregating by week, comparing, and drafting and storing reports. The seed ends on Sunday, 2026-03-01."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from temporalio.exceptions import ApplicationError

import agentgrid as ag
from activities.analytics import (
    Area,
    Direction,
    MetricValue,
    Unit,
    Verdict,
    WeekMetrics,
    aggregate_metrics,
    compare_metrics,
    draft_report,
    list_reports,
    save_report,
    week_before,
    week_of,
)
from tests.activities.conftest import OneCall


async def test_each_metric_of_a_week_is_aggregated_in_its_own_way(db: asyncpg.Connection) -> None:
    week = await aggregate_metrics("2026-W09")
    assert (week.first_day, week.last_day, week.complete) == (date(2026, 2, 23), date(2026, 3, 1), True)
    values = {(metric.area, metric.metric): metric.value for metric in week.metrics}
    assert len(values) == 18

    async def raw(metric: str, fold: str) -> Decimal:
        query = f"SELECT {fold} FROM backoffice.metrics WHERE metric = $1 AND day BETWEEN $2 AND $3"
        value: Decimal = await db.fetchval(query, metric, week.first_day, week.last_day)
        return value

    assert values[Area.SUPPORT, "tickets_opened"] == await raw("tickets_opened", "sum(value)")
    assert values[Area.SUPPORT, "satisfaction"] == await raw("satisfaction", "round(avg(value), 2)")
    assert values[Area.SALES, "pipeline_cents"] == await raw("pipeline_cents", "max(value) FILTER (WHERE day = $3)")


async def test_one_area_is_part_of_all_areas() -> None:
    everything = await aggregate_metrics("2026-W09")
    support = await aggregate_metrics("2026-W09", Area.SUPPORT)
    assert support.metrics == tuple(metric for metric in everything.metrics if metric.area is Area.SUPPORT)
    assert len(support.metrics) == 4


async def test_a_week_with_missing_days_is_not_complete(db: asyncpg.Connection) -> None:
    await db.execute("DELETE FROM backoffice.metrics WHERE day = '2026-02-27' AND metric = 'signups'")
    assert not (await aggregate_metrics("2026-W09")).complete


async def test_a_week_without_metrics_is_a_non_retryable_error_that_names_the_available_days() -> None:
    with pytest.raises(ag.ToolError, match=r"no metrics for week 2019-W01; .* from 2025-12-02 to 2026-03-01") as caught:
        await aggregate_metrics("2019-W01")
    assert not caught.value.retryable


@pytest.mark.parametrize("week", ["2026-W54", "2025-W53", "2026-W00", "2026-07", "W07", "next week", "0000-W01"])
async def test_an_invalid_iso_week_is_a_non_retryable_error(week: str) -> None:
    for call in (aggregate_metrics(week), save_report(week, "Title", "Body.")):
        with pytest.raises(ApplicationError, match="is not an ISO week") as caught:
            await call
        assert caught.value.non_retryable


def test_weeks_count_back_across_years() -> None:
    assert week_of(date(2027, 1, 1)) == "2026-W53"
    assert week_before("2027-W01") == "2026-W53"
    assert week_before("2026-W10") == "2026-W09"


def one_metric(week: str, value: str, *, better: Direction = Direction.UP) -> WeekMetrics:
    metric = MetricValue(
        area=Area.SUPPORT, metric="m", title="M", unit=Unit.COUNT, better=better, value=Decimal(value), days=7
    )
    return WeekMetrics(
        week=week, first_day=date(2026, 1, 1), last_day=date(2026, 1, 7), complete=True, metrics=(metric,)
    )


@pytest.mark.parametrize(
    ("before", "now", "better", "percent", "verdict"),
    [
        ("100", "110", Direction.UP, "10.0", Verdict.BETTER),
        ("100", "110", Direction.DOWN, "10.0", Verdict.WORSE),
        ("100", "90", Direction.DOWN, "-10.0", Verdict.BETTER),
        ("100", "101.9", Direction.UP, "1.9", Verdict.STEADY),
        ("3000", "2999", Direction.UP, "0.0", Verdict.STEADY),
        ("0", "5", Direction.UP, None, Verdict.BETTER),
        ("0", "0", Direction.UP, None, Verdict.STEADY),
    ],
)
async def test_a_change_is_judged_by_the_better_direction(
    before: str, now: str, better: Direction, percent: str | None, verdict: Verdict
) -> None:
    comparison = await compare_metrics(one_metric("2026-W02", now, better=better), one_metric("2026-W01", before))
    (change,) = comparison.changes
    assert (None if change.change_percent is None else str(change.change_percent)) == percent
    assert change.verdict is verdict


async def test_a_new_metric_has_nothing_to_compare_with() -> None:
    previous = one_metric("2026-W01", "1").model_copy(update={"metrics": ()})
    (change,) = (await compare_metrics(one_metric("2026-W02", "5"), previous)).changes
    assert (change.before, change.change_percent, change.verdict) == (None, None, Verdict.STEADY)


async def test_a_report_of_areas_read_in_parallel_covers_all_of_them() -> None:
    async def compare(area: Area) -> Any:
        current, previous = await asyncio.gather(
            aggregate_metrics("2026-W09", area), aggregate_metrics("2026-W08", area)
        )
        return await compare_metrics(current, previous)

    report = await draft_report(list(await asyncio.gather(*map(compare, Area))))
    assert report.title == "Week 2026-W09 against 2026-W08"
    assert [line for line in report.body.splitlines() if line.startswith("## ")] == [
        "## Sales",
        "## Support",
        "## Product",
        "## Finance",
        "## Marketing",
    ]
    # The seed contains an outage two weeks before its anchor and a campaign one week before it.
    assert "Better: Sign-ups +" in report.body
    assert "Failed payments -" in report.body


async def test_a_report_says_when_days_are_missing(db: asyncpg.Connection) -> None:
    await db.execute("DELETE FROM backoffice.metrics WHERE day = '2026-03-01'")
    comparison = await compare_metrics(await aggregate_metrics("2026-W09"), await aggregate_metrics("2026-W08"))
    assert "Days are missing" in (await draft_report([comparison])).body


async def test_a_report_is_about_one_week() -> None:
    one = await compare_metrics(one_metric("2026-W02", "1"), one_metric("2026-W01", "1"))
    other = await compare_metrics(one_metric("2026-W03", "1"), one_metric("2026-W02", "1"))
    for comparisons in ([], [one, other]):
        with pytest.raises(ag.ToolError, match="a report is about one week"):
            await draft_report(comparisons)


@pytest.mark.usefixtures("backoffice")
async def test_reports_are_stored_and_listed_newest_first() -> None:
    first = await save_report("2026-W08", "Week 8", "Quiet.")
    second = await save_report("2026-W09", "Week 9", "Busy.")
    assert await list_reports() == [second, first]
    assert await list_reports("2026-W08") == [first]


async def test_a_repeated_attempt_stores_one_report(one_call: OneCall) -> None:
    with one_call("report-1"):
        reports = await asyncio.gather(*(save_report("2026-W09", "Week 9", "Busy.") for _ in range(8)))
    assert len({report.id for report in reports}) == 1
    assert len(await list_reports()) == 1
