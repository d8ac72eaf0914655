"""Rows read through driver connections equal those read through sessions."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import inspect

from agentgrid.db import run_details, runs
from agentgrid.db.pool import direct, open_pool
from agentgrid.db.run_filter import RunFilter
from agentgrid.db.session import make_engine, reading
from agentgrid.db.tables import Control, ExecutionRow, Run, Step
from agentgrid.domain.scopes import EVERY_WORKFLOW
from tests.api import factories


def columns_of(row: object, *without: str) -> dict[str, object]:
    return {
        column.name: getattr(row, column.name) for column in inspect(type(row)).columns if column.name not in without
    }


async def test_a_run_and_its_details_equal_those_read_through_a_session(postgres_dsn: str) -> None:
    engine = make_engine(postgres_dsn)
    at = datetime(2026, 1, 2, 3, 4, 5, 120_000, UTC)
    run = factories.run(input={"size": 9, "value": {"n": 2**62, "u": "\u0000"}}, tags=["a"], note="ä", next_at=at)
    execution = factories.execution(run, live_checked_at=at, fold_state={"problem": "\u0000"}, taken=True)
    waiting = factories.step(run, 5, status="waiting", due_at=at, error={"type": "E", "message": "m"}, live_attempt=2)
    control = Control(
        execution_id=run.execution_id, event_id=7, run_id=run.run_id, action="pause", attributed=False, signalled_at=at
    )
    others = (
        factories.step(run, 3),
        factories.run(parent_run_id=run.run_id),
        factories.run(parent_run_id=run.run_id, workflow="hidden"),
    )
    try:
        await factories.insert(engine, run, execution, waiting, control, *others, factories.approval(run))
        async with open_pool(postgres_dsn) as pool, direct(pool) as connection:
            details = await run_details.get(connection, run.run_id, scope=EVERY_WORKFLOW)
            narrow = await run_details.get(connection, run.run_id, scope=frozenset({"ma?e"}))
            unseen = await run_details.get(connection, run.run_id, scope=frozenset({"hidden"}))
            listed = await runs.newest_in_order(
                connection, filters=RunFilter(workflow=("made",)), scope=EVERY_WORKFLOW, limit=10
            )
        async with reading(engine) as session:
            by_session = await session.get(Run, run.run_id)
            chain = await session.get(ExecutionRow, run.execution_id)
            step = await session.get(Step, (run.execution_id, 5))
            last = await session.get(Control, (run.execution_id, 7))
            listed_by_session = await runs.newest(
                session, filters=RunFilter(workflow=("made",)), scope=EVERY_WORKFLOW, limit=10
            )
    finally:
        await engine.dispose()
    assert details is not None
    assert narrow is not None
    assert unseen is None
    assert columns_of(details.run) == columns_of(by_session)
    assert [columns_of(row, "result", "error", "fold_state") for row in details.executions] == [
        columns_of(chain, "result", "error", "fold_state")
    ]
    assert [columns_of(row, "input", "output") for row in details.open_steps] == [columns_of(step, "input", "output")]
    assert columns_of(details.last_control) == columns_of(last)
    assert (details.taken, details.refused_signals, details.unattributed_signals) == (True, 0, 1)
    assert (len(details.children), len(narrow.children), len(details.approvals)) == (2, 1, 1)
    payloads = ("input", "result", "error")
    assert listed == [columns_of(row, *payloads) for row in listed_by_session]
