"""What approvals ask, in one line: made from the template of the tool's version that asked, as it is registered."""

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
"""The template and the input schema of a tool's version, by its name and version."""


async def templates(batch: Batch, opened: Sequence[dict[str, Any]]) -> Templates:
    """The templates of the tools' versions that open these approvals."""
    wanted = sorted({(row["tool"], row["tool_version"]) for row in opened if row["tool"] and row["tool_version"]})
    if not wanted:
        return {}
    records = await batch.db.fetch(
        "SELECT v.name, v.version, v.asks, v.input_schema FROM unnest($1::text[], $2::text[]) AS k(name, version) "
        "JOIN tool_versions AS v ON v.name = k.name AND v.version = k.version WHERE v.asks IS NOT NULL",
        # No tool is registered under a name with what a text column can't hold.
        [rows.text(name) for name, _ in wanted],
        [rows.text(version) for _, version in wanted],
    )
    return {(each["name"], each["version"]): (each["asks"], read_registered(each["input_schema"])) for each in records}


def of_approval(row: dict[str, Any], known: Templates) -> str | None:
    """What this approval asks. row: with its small arguments."""
    if row["kind"] == ApprovalKind.EXPLICIT.value:
        return str(row["title"])
    template, schema = known.get((row["tool"], row["tool_version"]), (None, None))
    return None if template is None else asks.title(template, row["arguments"], schema)


async def of_runs(batch: Batch, run_ids: Sequence[str]) -> dict[str, str]:
    """What the open approvals of these runs ask: the first one, and how many more there are."""
    if not run_ids:
        return {}
    records = await batch.db.fetch(
        "SELECT DISTINCT ON (run_id) run_id, coalesce(asked, title) AS first, count(*) OVER (PARTITION BY run_id) AS count "
        "FROM approvals WHERE run_id = ANY($1) AND status = $2 AND NOT inherited ORDER BY run_id, opened_at, approval_id",
        list(run_ids),
        ApprovalStatus.PENDING.value,
    )
    return {each["run_id"]: asks.several(cut(each["first"], asks.MAX_TITLE), each["count"]) for each in records}
