"""Questions of approvals and subjects of runs, rendered by the projector from untrusted registrations and inputs."""

from __future__ import annotations

from typing import Any

import pytest

from agentgrid.projector.store import Store, asked, subjects
from agentgrid.projector.store.batch import Batch

TEMPLATE = "Refund {cents} for {order}"
DEEP = 3_000


def opened(**overrides: Any) -> dict[str, Any]:
    values = {"kind": "tool", "title": "Refund", "tool": "refund", "tool_version": "v1"}
    return {**values, "arguments": {"cents": 900, "order": "o-1"}, **overrides}


async def questions(store: Store, *rows: dict[str, Any]) -> list[str | None]:
    async with store.pool.acquire() as connection:
        templates = await asked.templates(Batch(db=connection, namespace="x", items=()), rows)
    return [asked.of_approval(row, templates) for row in rows]


async def registered(store: Store, template: str | None = TEMPLATE, schema: str = "{}", version: str = "v1") -> None:
    await store.pool.execute(
        "INSERT INTO tool_versions (name, version, title, asks, input_schema) VALUES ('refund', $1, 'Refund', $2, $3)",
        version,
        template,
        schema,
    )


async def test_the_question_comes_from_the_tools_version_and_an_explicit_approval_has_its_own_title(
    store: Store,
) -> None:
    await registered(store)
    await registered(store, "Pay back {cents}", version="v2")
    await registered(store, None, version="v3")
    rows = [opened(tool_version=version) for version in ("v1", "v2", "v3", "unknown", None)]
    explicit = opened(kind="explicit", title="Send it", tool=None, tool_version=None)
    assert await questions(store, *rows, explicit) == [
        "Refund 900 for o-1",
        "Pay back 900",
        None,
        None,
        None,
        "Send it",
    ]


@pytest.mark.parametrize(
    "overrides",
    [{"tool": "refund\x00"}, {"tool": "re\ud800fund"}, {"tool_version": "v1\x00"}, {"arguments": {"cents": 900}}],
    ids=["NUL", "lone surrogate", "NUL in the version", "missing argument"],
)
async def test_no_terms_of_a_worker_break_the_batch(store: Store, overrides: dict[str, Any]) -> None:
    await registered(store)
    assert await questions(store, opened(**overrides), opened()) == [None, "Refund 900 for o-1"]


@pytest.mark.parametrize(
    "schema",
    ["null", "[1]", '{"properties": {"cents": 7}}', "[" * DEEP + "]" * DEEP, "1" * 5_000, '{"\\u0000": "\\ud800"}'],
)
async def test_no_registered_schema_breaks_the_batch(store: Store, schema: str) -> None:
    await registered(store, schema=schema)
    assert await questions(store, opened()) == ["Refund 900 for o-1"]


OPEN = {
    "r": [
        ("newest", "Refund o-1", "pending", False, 3),
        ("oldest, without a template", None, "pending", False, 2),
        ("another", "Refund o-2", "pending", False, 4),
        ("decided", "Refund o-3", "approved", False, 1),
        ("a reset's copy", "Refund o-4", "pending", True, 0),
    ],
    "s": [("only", "Refund o-5", "pending", False, 0)],
    "t": [("of a run that is not requested", "Refund o-6", "pending", False, 0)],
}
"""The approvals of each run: id, question, status, whether it is inherited, minutes after the first."""


async def test_a_run_shows_the_question_of_its_oldest_open_approval_and_the_number_of_others(store: Store) -> None:
    async with store.pool.acquire() as connection:
        for run, approvals in OPEN.items():
            await connection.execute(
                "INSERT INTO runs (run_id, namespace, workflow_id, workflow, task_queue, status) VALUES ($1, 'n', $1, 'w', 'q', 'waiting')",
                run,
            )
            await connection.execute(
                "INSERT INTO executions (execution_id, first_execution_id, run_id, namespace, workflow_id, workflow, task_queue, status, kind, "
                "started_at) VALUES ($1, $1, $1, 'n', $1, 'w', 'q', 'running', 'first', now())",
                run,
            )
            await connection.executemany(
                "INSERT INTO approvals (execution_id, run_id, approval_id, step_event_id, opened_event_id, kind, title, digest, terms, asked, status, "
                "inherited, opened_at) VALUES ($1, $1, $2, 1, 1, 'tool', 'Refund', '', '{}', $3, $4, $5, to_timestamp(60 * $6))",
                [(run, *approval) for approval in approvals],
            )
        batch = Batch(db=connection, namespace="x", items=())
        assert await asked.of_runs(batch, ["r", "s", "unknown"]) == {"r": "Refund and 2 more", "s": "Refund o-5"}


async def subject_of(store: Store, template: str | None, stored: str | None, schema: str = "{}") -> str | None:
    """The subject of a run with this stored input."""
    async with store.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO workflow_versions (name, version, input_schema, build, subject) VALUES ('w', 'v1', $1, 'b', $2)",
            schema,
            template,
        )
        await connection.execute(
            "INSERT INTO runs (run_id, namespace, workflow_id, workflow, version, task_queue, status, input, subject) "
            "VALUES ('r', 'n', 'r', 'w', 'v1', 'q', 'running', $1, 'of an earlier version')",
            stored,
        )
        await subjects.write(Batch(db=connection, namespace="x", items=()), ["r"])
        row = await connection.fetchrow(
            "SELECT r.subject, s.subject AS searched FROM runs AS r JOIN run_search AS s USING (run_id)"
        )
    assert row is not None
    assert row["searched"] == (row["subject"] or None)
    return row["subject"]


@pytest.mark.parametrize(
    ("template", "stored", "expected"),
    [
        ("Ticket {id}", '{"size": 9, "value": {"id": "T-1"}}', "Ticket T-1"),
        ("Ticket {id}", '{"size": 9, "value": {"id": "T-1\\u0000 \\ud800"}}', "Ticket T-1"),
        ("Ticket {id}", '{"size": 9, "value": {"other": 1}}', ""),
        ("Ticket {id}", '{"size": 99999, "preview": "{"}', ""),
        ("Ticket {id}", '{"size": 9, "values": [{"id": "T-1"}, 2]}', ""),
        ("Ticket {id", '{"size": 9, "value": {"id": "T-1"}}', ""),
        ("Nightly", '{"size": 9, "value": {}}', "Nightly"),
        ("Ticket {id}", None, ""),
        (None, '{"size": 9, "value": {"id": "T-1"}}', None),
    ],
)
async def test_a_subject_is_the_versions_template_filled_with_fields_of_the_input(
    store: Store, template: str | None, stored: str | None, expected: str | None
) -> None:
    assert await subject_of(store, template, stored) == expected
