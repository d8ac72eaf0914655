"""Weekly digest: a report that compares the week's numbers with those of the previous week."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel
from temporalio import workflow

import agentgrid as ag
from activities.analytics import Area, Week, aggregate_metrics, compare_metrics, draft_report, save_report, week_before


class DigestInput(BaseModel):
    """Which week, and which areas."""

    week: Week
    areas: list[Area] = list(Area)


class DigestResult(BaseModel):
    """Where the report is."""

    report_id: str
    title: str
    complete: bool


@ag.workflow(title="Weekly digest", tags=("analytics",), subject="Week {week}")
class WeeklyDigest:
    """Write the report of one week."""

    @workflow.run
    async def run(self, digest: DigestInput) -> DigestResult:
        previous = week_before(digest.week)
        weeks = await asyncio.gather(
            *[aggregate_metrics(week, area) for area in digest.areas for week in (digest.week, previous)]
        )
        comparisons = await asyncio.gather(
            *[compare_metrics(current, before) for current, before in zip(weeks[::2], weeks[1::2], strict=True)]
        )
        draft = await draft_report(list(comparisons))
        report = await save_report(digest.week, draft.title, draft.body)
        return DigestResult(report_id=report.id, title=report.title, complete=all(one.complete for one in comparisons))
