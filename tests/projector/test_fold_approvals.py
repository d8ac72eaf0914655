"""Approvals, decisions and pauses in recorded histories, and the settlement of updates."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agentgrid.domain.commands import CommandStatus
from agentgrid.domain.runs import ExecutionKind, ExecutionStatus
from agentgrid.projector.history_events import Closed, Started, UpdateAccepted
from tests.projector.folding import folded, one_pass, recorded, shape

APPROVALS = {
    "gated_approved": [("approved", "reviewer")],
    "gated_rejected": [("rejected", "reviewer")],
    "gated_expired": [("expired", None)],
    "gated_cancelled": [("cancelled", None)],
    "gated_terminated": [("cancelled", None)],
    "gated_branch_cut": [("cancelled", None)],
    "gated_explicit": [("approved", "reviewer")],
    "gated_explicit_again": [("approved", "reviewer"), ("approved", "reviewer")],
    "gated_explicit_rejected": [("rejected", "reviewer")],
    "gated_local": [("approved", "reviewer")],
    "gated_plain": [("approved", "reviewer")],
    "gated_forged": [("approved", "reviewer"), ("approved", "reviewer")],
    "gated_paused": [("approved", "reviewer"), ("approved", "reviewer")],
}


@pytest.mark.parametrize("name", sorted(APPROVALS))
def test_approvals_end_as_the_history_records(name: str) -> None:
    rows = one_pass(recorded(name)[0])[1]
    approvals = sorted(rows.approvals.values(), key=lambda row: row["opened_event_id"])
    outcomes = [(row["status"], rows.claims.get(row.get("decision_event_id", 0))) for row in approvals]
    assert [(status, claim.principal if claim else None) for status, claim in outcomes] == APPROVALS[name]
    assert not any(row.get("decided_by") for row in approvals), "history alone confirms no sender"
    assert not any(row.get("decidable") for row in approvals)


def test_a_pause_and_a_resume_are_stored_with_their_claimed_sender() -> None:
    state, rows = one_pass(recorded("gated_paused")[0])
    assert [row["action"] for _, row in sorted(rows.controls.items())] == ["pause", "resume"]
    assert all(rows.claims[key].kind.value == f"run.{row['action']}" for key, row in rows.controls.items())
    assert not state.paused


def test_every_forged_decision_is_refused_with_its_reason_and_duplicates_are_superseded() -> None:
    rows = one_pass(recorded("gated_forged")[0])[1]
    judged = [(row["judged"], row["reason"]) for _, row in sorted(rows.decisions.items())]
    assert sorted(judged[:5], key=str) == sorted(
        [
            ("refused", "the signature is invalid"),
            ("refused", "for other arguments"),
            ("refused", "for an approval that is not open here"),
            ("refused", "not a signed decision"),
            ("refused", "2 payloads instead of one"),
        ],
        key=str,
    )
    assert [verdict for verdict, _ in judged[5:]].count("counted") == 2
    assert ("superseded", "the approval was already approved") in judged


def test_what_an_explicit_approval_shows_is_stored_in_its_row_and_not_in_the_state() -> None:
    execution = recorded("gated_explicit")[0]
    rows = one_pass(execution)[1]
    (approval,) = rows.approvals.values()
    assert approval["payload"]["value"] == {"text": "Dear customer"}
    assert approval["kind"] == "explicit"
    assert "Dear customer" not in str(folded(execution.execution_id, [execution.events[:8]])[0].dump())


def test_a_reset_voids_the_open_approval_and_the_call_needs_a_new_one_as_the_same_step() -> None:
    base, fork, *_ = recorded("gated_reset")
    base_rows, fork_rows = one_pass(base)[1], one_pass(fork)[1]
    (before,) = base_rows.approvals.values()
    assert before["status"] == "approved"
    copied, renewed = sorted(fork_rows.approvals.values(), key=lambda row: row["opened_event_id"])
    assert (copied["approval_id"], copied["status"], copied["inherited"]) == (
        before["approval_id"],
        "cancelled",
        True,
    )
    assert (renewed["status"], renewed["step_event_id"]) == ("approved", copied["step_event_id"])
    assert not renewed.get("inherited")
    assert shape(fork_rows)[0] == (7, "tool", "refund", "completed", 1, False)


@pytest.mark.parametrize(
    ("status", "continued_to", "settled"),
    [
        (ExecutionStatus.CONTINUED_AS_NEW, "next", True),
        (ExecutionStatus.FAILED, "retried", True),
        (ExecutionStatus.COMPLETED, "cron", True),
        (ExecutionStatus.FAILED, None, False),
    ],
)
def test_an_unfinished_update_is_superseded_by_the_next_execution(
    status: ExecutionStatus, continued_to: str | None, settled: bool
) -> None:
    """Nothing else would settle it before the run ends. Once the run has ended, the store does."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    history = [
        Started(
            event_id=1, at=at, workflow="w", task_queue="q", first_execution_id="e", kind=ExecutionKind.FIRST, input={}
        ),
        UpdateAccepted(event_id=2, at=at, update_id="u", name="nudge"),
        Closed(event_id=3, at=at, status=status, continued_to=continued_to),
    ]
    _, rows = folded("e", [history])
    settlements = [(settlement.command_id, settlement.status) for settlement in rows.settlements]
    assert settlements == ([("u", CommandStatus.SUPERSEDED)] if settled else [])


def test_settlements_name_only_decisions_of_the_same_execution() -> None:
    for execution in recorded("gated_reset"):
        state, rows = one_pass(execution)
        for settlement in rows.settlements:
            decision = next(
                (row for key, row in rows.decisions.items() if rows.claims[key].request_id == settlement.command_id),
                None,
            )
            if decision is not None and decision["judged"] == "counted":
                assert decision["event_id"] > (rows.fork.event_id if rows.fork else 0)
        assert state.governed
