"""Writes the subjects of runs, rendered from the subject template of their workflow's version and their input.

A run's version is known once a worker has taken it, and only if that version is registered. So the subject is written when its version is
found or changes, and always matches the version shown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from agentgrid.db.tables.columns import read_registered
from agentgrid.domain import asks
from agentgrid.projector.store.batch import Batch

DUE = """
    t.version IS NOT NULL AND (t.subject IS NULL OR old.version IS DISTINCT FROM t.version) AND (t.subject IS NOT NULL OR EXISTS (
        SELECT FROM workflow_versions AS v WHERE v.name = t.workflow AND v.version = t.version AND v.subject IS NOT NULL
    ))"""
"""Whether the subject of a run that was just patched must be rendered. One lookup by key."""

_READ = """
    SELECT r.run_id, r.input::text AS input, v.subject AS template, v.input_schema::text AS schema
    FROM runs AS r LEFT JOIN workflow_versions AS v ON v.name = r.workflow AND v.version = r.version
    WHERE r.run_id = ANY($1)
"""
_WRITE = """
    UPDATE runs AS r SET subject = s.subject FROM unnest($1::text[], $2::text[]) AS s(run_id, subject) WHERE r.run_id = s.run_id
"""


async def write(batch: Batch, run_ids: Sequence[str]) -> None:
    """Render and write the subjects of these runs. A subject is empty if the input doesn't fill the template."""
    if not run_ids:
        return
    subjects: dict[str, str | None] = {}
    for record in await batch.db.fetch(_READ, list(run_ids)):
        template, text = record["template"], record["input"]
        stored = json.loads(text) if text is not None else None
        schema = read_registered(record["schema"])
        subjects[record["run_id"]] = None if template is None else asks.subject(template, stored, schema) or ""
    await batch.db.execute(_WRITE, list(subjects), list(subjects.values()))
