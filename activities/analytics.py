"""Analytics: daily metrics aggregated by week, compared, and saved as reports. A week is an ISO week such as `2026-W07`."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field
from temporalio.exceptions import ApplicationError

import agentgrid as ag
from activities.backoffice import Limit, Record, connection, effect_key, transaction

READ = timedelta(seconds=10)
WRITE = timedelta(seconds=20)
JUDGE = timedelta(seconds=5)

Week = Annotated[str, Field(pattern=r"^\d{4}-W\d{2}$", description="An ISO week, for example 2026-W07.")]
# Changes below this are noise.
STEADY_PERCENT = Decimal("2.0")


class Area(StrEnum):
    SALES = "sales"
    SUPPORT = "support"
    PRODUCT = "product"
    FINANCE = "finance"
    MARKETING = "marketing"


class Unit(StrEnum):
    COUNT = "count"
    CENTS = "cents"
    MINUTES = "minutes"
    PERCENT = "percent"


class Direction(StrEnum):
    UP = "up"
    DOWN = "down"


class Verdict(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    STEADY = "steady"


class MetricValue(Record):
    """One metric over a week: its sum, mean or last value, depending on the metric."""

    area: Area
    metric: str
    title: str
    unit: Unit
    better: Direction
    value: Decimal
    days: int


class WeekMetrics(Record):
    """The metrics of a week. Incomplete while days are missing."""

    week: str
    first_day: date
    last_day: date
    complete: bool
    metrics: tuple[MetricValue, ...]


class MetricChange(Record):
    """One metric compared with the previous week; no percentage if there is no previous value."""

    area: Area
    metric: str
    title: str
    unit: Unit
    value: Decimal
    before: Decimal | None
    change_percent: Decimal | None
    verdict: Verdict


class Comparison(Record):
    """Two weeks side by side."""

    week: str
    previous_week: str
    complete: bool
    changes: tuple[MetricChange, ...]


class ReportDraft(Record):
    """A report that is not stored yet. The body is Markdown."""

    week: str
    title: str
    body: str


class Report(Record):
    """A stored report."""

    id: str
    week: str
    title: str
    body: str
    saved_at: datetime


def week_of(day: date) -> str:
    """The ISO week of a day."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def week_before(week: str) -> str:
    """The ISO week before this one, also across years."""
    return week_of(_monday(week) - timedelta(days=7))


@ag.tool(title="Aggregate metrics", risk="read", timeout=READ, retries=5, idempotent=True, tags=("analytics",))
async def aggregate_metrics(week: Week, area: Area | None = None) -> WeekMetrics:
    """Aggregate the daily metrics of a week into one value each, for one area or for all."""
    first = _monday(week)
    last = first + timedelta(days=6)
    async with connection() as db:
        rows = await db.fetch(
            """
            SELECT d.area, d.metric, d.title, d.unit, d.better, count(*)::int AS days,
                   CASE d.fold WHEN 'sum' THEN sum(m.value) WHEN 'mean' THEN round(avg(m.value), 2)
                               ELSE (array_agg(m.value ORDER BY m.day DESC))[1] END AS value
            FROM backoffice.metrics m JOIN backoffice.metric_definitions d USING (area, metric)
            WHERE m.day BETWEEN $1 AND $2 AND ($3::text IS NULL OR d.area = $3)
            GROUP BY d.area, d.metric ORDER BY d.area, d.metric
            """,
            first,
            last,
            area,
        )
        if not rows:
            known = await db.fetchrow("SELECT min(day) AS first, max(day) AS last FROM backoffice.metrics")
            span = f"from {known['first']} to {known['last']}" if known and known["first"] else "for no days at all"
            raise ag.ToolError(f"there are no metrics for week {week}; the back office has metrics {span}")
    metrics = tuple(MetricValue.of(row) for row in rows)
    return WeekMetrics(
        week=week,
        first_day=first,
        last_day=last,
        complete=all(metric.days == 7 for metric in metrics),
        metrics=metrics,
    )


@ag.tool(
    title="Compare metrics", risk="read", timeout=JUDGE, retries=2, idempotent=True, local=True, tags=("analytics",)
)
async def compare_metrics(current: WeekMetrics, previous: WeekMetrics) -> Comparison:
    """Compare a week with the previous one: each metric's change, and whether it got better or worse."""
    before = {(metric.area, metric.metric): metric.value for metric in previous.metrics}
    return Comparison(
        week=current.week,
        previous_week=previous.week,
        complete=current.complete and previous.complete,
        changes=tuple(_change(metric, before.get((metric.area, metric.metric))) for metric in current.metrics),
    )


@ag.tool(title="Draft report", risk="read", timeout=JUDGE, retries=2, idempotent=True, local=True, tags=("analytics",))
async def draft_report(comparisons: list[Comparison]) -> ReportDraft:
    """Draft the weekly report from the comparisons of one week. This saves nothing."""
    weeks = {(comparison.week, comparison.previous_week) for comparison in comparisons}
    if len(weeks) != 1:
        raise ag.ToolError(f"a report is about one week and the previous one, not about {sorted(weeks)}")
    ((week, previous),) = weeks
    changes = [change for comparison in comparisons for change in comparison.changes]
    sections = [_headline(changes)]
    if not all(comparison.complete for comparison in comparisons):
        sections.append("Days are missing: these numbers will still change.")
    for area in Area:
        if rows := [change for change in changes if change.area is area]:
            sections.append(_table(area, rows))
    return ReportDraft(week=week, title=f"Week {week} against {previous}", body="\n\n".join(sections))


@ag.tool(
    title="Save report",
    risk="write",
    timeout=WRITE,
    retries=5,
    idempotent=True,
    tags=("analytics",),
    reach=("Everybody in the company",),
    asks="Save the report {title}",
)
async def save_report(week: Week, title: str, body: str) -> Report:
    """Save a report where the whole company can read it."""
    _monday(week)
    key = effect_key()
    async with transaction() as db:
        row = await db.fetchrow(
            """
            INSERT INTO backoffice.reports (week, title, body, idempotency_key)
            VALUES ($1, $2, $3, $4) ON CONFLICT (idempotency_key) DO NOTHING RETURNING *
            """,
            week,
            title,
            body,
            key,
        )
        if row is None:
            row = await db.fetchrow("SELECT * FROM backoffice.reports WHERE idempotency_key = $1", key)
    return Report.of(row)


@ag.tool(title="List reports", risk="read", timeout=READ, retries=5, idempotent=True, tags=("analytics",))
async def list_reports(week: Week | None = None, limit: Limit = 20) -> list[Report]:
    """List the stored reports, newest first, of one week or of all weeks."""
    async with connection() as db:
        rows = await db.fetch(
            """
            SELECT * FROM backoffice.reports WHERE $1::text IS NULL OR week = $1
            ORDER BY saved_at DESC, id DESC LIMIT $2
            """,
            week,
            limit,
        )
    return [Report.of(row) for row in rows]


def _monday(week: str) -> date:
    year, _, number = week.partition("-W")
    try:
        return date.fromisocalendar(int(year), int(number), 1)
    except ValueError:
        # Workflow code uses this too. There, a ToolError would fail the task, which Temporal retries, instead of the run.
        raise ApplicationError(
            f"{week!r} is not an ISO week such as 2026-W07", type="NoSuchWeek", non_retryable=True
        ) from None


def _change(metric: MetricValue, before: Decimal | None) -> MetricChange:
    # Adding zero turns the -0.0 of a tiny decrease into 0.0.
    percent = None if not before else ((metric.value - before) * 100 / before).quantize(Decimal("0.1")) + 0
    rose = before is not None and metric.value > before
    if before is None or metric.value == before or (percent is not None and abs(percent) < STEADY_PERCENT):
        verdict = Verdict.STEADY
    else:
        verdict = Verdict.BETTER if rose == (metric.better is Direction.UP) else Verdict.WORSE
    return MetricChange(
        area=metric.area,
        metric=metric.metric,
        title=metric.title,
        unit=metric.unit,
        value=metric.value,
        before=before,
        change_percent=percent,
        verdict=verdict,
    )


def _headline(changes: Iterable[MetricChange]) -> str:
    """The two largest changes in each direction."""
    lines = []
    for verdict in (Verdict.BETTER, Verdict.WORSE):
        moved = [change for change in changes if change.verdict is verdict and change.change_percent is not None]
        moved.sort(key=lambda change: abs(change.change_percent or Decimal()), reverse=True)
        named = [f"{change.title} {change.change_percent:+}%" for change in moved[:2]]
        lines.append(f"{verdict.capitalize()}: {'; '.join(named) or 'nothing much'}.")
    return "\n".join(lines)


def _table(area: Area, changes: Iterable[MetricChange]) -> str:
    rows = [f"## {area.capitalize()}", "", "| metric | week | before | change | |", "|---|---:|---:|---:|---|"]
    for change in changes:
        before = "" if change.before is None else _shown(change.before, change.unit)
        percent = "" if change.change_percent is None else f"{change.change_percent:+}%"
        rows.append(
            f"| {change.title} | {_shown(change.value, change.unit)} | {before} | {percent} | {change.verdict} |"
        )
    return "\n".join(rows)


def _shown(value: Decimal, unit: Unit) -> str:
    match unit:
        case Unit.CENTS:
            return f"${value / 100:,.2f}"
        case Unit.PERCENT:
            return f"{value:.1f}%"
        case Unit.MINUTES:
            return f"{value:,.0f} min"
        case Unit.COUNT:
            return f"{value:,.0f}"
