"""One-line questions of approvals, rendered from the registered template of the tool's version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentgrid.db.tables.columns import read_registered
from agentgrid.domain import asks
from agentgrid.domain.approval_status import ApprovalStatus
from agentgrid.domain.approvals import ApprovalKind
from agentgrid.domain.shapes import cut
from agentgrid.projector import rows
from agentgrid.projector.store.batch import Batch

Templates = dict[tuple[str, str], tuple[str, Any]]
"""Template and input schema of tool versions, by name and version."""


async def templates(batch: Batch, opened: Sequence[dict[str, Any]]) -> Templates:
    """The templates of the tool versions that these approvals are about."""
    versions = sorted({(row["tool"], row["tool_version"]) for row in opened if row["tool"] and row["tool_version"]})
    if not versions:
        return {}
    records = await batch.db.fetch(
        "SELECT v.name, v.version, v.asks, v.input_schema FROM unnest($1::text[], $2::text[]) AS k(name, version) "
        "JOIN tool_versions AS v ON v.name = k.name AND v.version = k.version WHERE v.asks IS NOT NULL",
        # Names with characters that a text column can't store match no registered tool.
        [rows.text(name) for name, _ in versions],
        [rows.text(version) for _, version in versions],
    )
    return {
        (record["name"], record["version"]): (record["asks"], read_registered(record["input_schema"]))
        for record in records
    }


def of_approval(row: dict[str, Any], by_version: Templates) -> str | None:
    """The question of this approval. row: including its small arguments."""
    if row["kind"] == ApprovalKind.EXPLICIT.value:
        return str(row["title"])
    template, schema = by_version.get((row["tool"], row["tool_version"]), (None, None))
    return None if template is None else asks.title(template, row["arguments"], schema)


async def of_runs(batch: Batch, run_ids: Sequence[str]) -> dict[str, str]:
    """The question of each run's open approvals: that of the first one, and how many more there are."""
    if not run_ids:
        return {}
    records = await batch.db.fetch(
        "SELECT DISTINCT ON (run_id) run_id, coalesce(asked, title) AS first, count(*) OVER (PARTITION BY run_id) AS count "
        "FROM approvals WHERE run_id = ANY($1) AND status = $2 AND NOT inherited ORDER BY run_id, opened_at, approval_id",
        list(run_ids),
        ApprovalStatus.PENDING.value,
    )
    return {record["run_id"]: asks.several(cut(record["first"], asks.MAX_TITLE), record["count"]) for record in records}
