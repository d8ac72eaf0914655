"""Recorded histories, folded: compared with expectations read by a person, and split at every event without effect on the rows."""

from __future__ import annotations

import pytest

from agentgrid.projector.fold.summary import summarise
from agentgrid.projector.history_events import Unknown
from tests.projector.folding import Recorded, Shape, folded, names, one_pass, recorded, shape

STEPS: dict[str, list[Shape]] = {
    "sequence": [[(5, "activity", "echo", "completed", 1, False)]],
    "mixed": [
        [
            (7, "activity", "flaky", "completed", 3, False),
            (13, "activity", "broken", "failed", 1, False),
            (19, "timer", "timer", "completed", 0, False),
            (24, "child", "Sequence", "completed", 0, False),
        ]
    ],
    "reset_in_flight": [
        [
            (5, "activity", "slow", "abandoned", 0, False),
            (6, "activity", "echo", "completed", 1, False),
            (12, "activity", "echo", "completed", 1, False),
            (18, "activity", "echo", "completed", 1, False),
        ],
        [
            (5, "activity", "slow", "completed", 1, False),
            (6, "activity", "echo", "completed", 1, True),
            (15, "activity", "echo", "completed", 1, False),
            (21, "activity", "echo", "completed", 1, False),
        ],
    ],
    "local": [
        [
            (5, "activity", "echo", "completed", 1, False),
            (6, "activity", "flaky", "completed", 3, False),
            (19, "activity", "broken", "failed", 1, False),
        ]
    ],
    "messages": [
        [
            (3, "signal", "note", "completed", 0, False),
            (6, "update", "ask", "completed", 0, False),
            (7, "timer", "timer", "completed", 0, False),
            (16, "update", "ask", "failed", 0, False),
            (17, "timer", "timer", "completed", 0, False),
            (23, "signal", "note", "completed", 0, False),
        ]
    ],
    "cancelled": [[(5, "activity", "slow", "abandoned", 0, False), (6, "timer", "timer", "cancelled", 0, False)]],
    "terminated": [[(5, "activity", "slow", "abandoned", 0, False), (6, "timer", "timer", "abandoned", 0, False)]],
    "timed_out": [[(5, "activity", "slow", "abandoned", 0, False), (6, "timer", "timer", "abandoned", 0, False)]],
    "poisoned": [[(5, "signal", "note", "completed", 0, False), (6, "signal", "note", "completed", 0, False)]],
    "parent": [
        [
            (5, "child", "Failing", "failed", 0, False),
            (14, "signal", "note", "completed", 0, False),
            (19, "signal", "cancel", "completed", 0, False),
            (24, "signal", "note", "failed", 0, False),
        ]
    ],
    "gated_approved": [[(7, "tool", "refund", "completed", 1, False)]],
    "gated_rejected": [[(7, "tool", "refund", "failed", 0, False)]],
    "gated_expired": [[(7, "tool", "refund", "timed_out", 0, False)]],
    "gated_cancelled": [[(7, "tool", "refund", "cancelled", 0, False)]],
    "gated_terminated": [[(7, "tool", "refund", "abandoned", 0, False)]],
    "gated_explicit": [[(7, "approval", "Send the reply", "completed", 0, False)]],
    "gated_explicit_again": [[(7, "approval", "Send the reply", "completed", 0, False)]],
    "gated_explicit_rejected": [[(7, "approval", "Send the reply", "failed", 0, False)]],
    "gated_local": [[(7, "tool", "lookup", "completed", 1, False)]],
    "gated_plain": [[(7, "activity", "plain", "completed", 1, False)]],
    "gated_policy_wait": [[(7, "tool", "refund", "completed", 1, False)]],
    "gated_policy_wait_explicit": [[(7, "approval", "Send the reply", "completed", 0, False)]],
    "gated_forged": [[(7, "tool", "refund", "completed", 1, False), (43, "tool", "refund", "completed", 1, False)]],
    "gated_paused": [[(7, "tool", "refund", "completed", 1, False), (33, "tool", "refund", "completed", 1, False)]],
    "gated_reset_in_flight": [
        [(7, "tool", "slow_refund", "abandoned", 0, False), (20, "signal", "wake", "completed", 0, False)],
        [(7, "tool", "slow_refund", "completed", 1, False), (20, "signal", "wake", "completed", 0, True)],
    ],
}


@pytest.mark.parametrize("name", sorted(STEPS))
def test_steps_match_what_a_person_reads_in_the_history(name: str) -> None:
    for execution, expected in zip(recorded(name), STEPS[name], strict=False):
        assert shape(one_pass(execution)[1])[: len(expected)] == expected


ENDS = {
    "sequence": ["completed"],
    "mixed": ["completed", "completed"],
    "reset": ["completed", "completed", "completed"],
    "reset_in_flight": ["terminated", "completed"],
    "continued": ["continued_as_new", "continued_as_new", "completed"],
    "retried": ["failed", "failed", "completed"],
    "cron": ["completed", "completed", "terminated"],
    "cancelled": ["canceled"],
    "terminated": ["terminated"],
    "timed_out": ["timed_out"],
    "parent": ["completed", "failed", "canceled"],
    "gated_rejected": ["completed"],
    "gated_expired": ["failed"],
    "gated_cancelled": ["canceled"],
}


@pytest.mark.parametrize("name", sorted(ENDS))
def test_executions_end_with_temporals_status(name: str) -> None:
    ends = [one_pass(execution)[0].status for execution in recorded(name)]
    assert ends == ENDS[name]


OPAQUE = {"typescript_calls": [50]}
"""Events with a payload that can't be shown: bytes that aren't text."""


@pytest.mark.parametrize("name", names())
def test_no_event_of_a_recorded_history_is_unknown(name: str) -> None:
    for execution in recorded(name):
        unreadable = [event.event_id for event in execution.events if isinstance(event, Unknown) or event.opaque]
        assert unreadable == OPAQUE.get(name, [])


@pytest.mark.parametrize("name", names())
def test_a_history_split_anywhere_gives_the_same_rows_and_state(name: str) -> None:
    for execution in recorded(name):
        events = execution.events
        state, rows = one_pass(execution)
        for cut in range(1, len(events)):
            cut_state, cut_rows = folded(execution.execution_id, [events[:cut], events[cut:]])
            assert cut_rows.plain() == rows.plain(), f"cut at {cut}"
            assert cut_state.dump() == state.dump(), f"cut at {cut}"


@pytest.mark.parametrize("name", names())
def test_a_history_folded_event_by_event_gives_the_same_rows_and_state(name: str) -> None:
    for execution in recorded(name):
        state, rows = one_pass(execution)
        slow_state, slow_rows = folded(execution.execution_id, [[event] for event in execution.events])
        assert slow_rows.plain() == rows.plain()
        assert slow_state.dump() == state.dump()


@pytest.mark.parametrize("name", names())
def test_the_state_of_an_ended_execution_is_small(name: str) -> None:
    for execution in recorded(name):
        state = one_pass(execution)[0]
        assert not state.steps
        assert not state.approvals
        assert len(str(state.dump())) < 1500


# --- what an open execution waits for -------------------------------------------------------------------------------


def status_at(execution: Recorded, event_id: int) -> tuple[str, str | None]:
    state = folded(execution.execution_id, [execution.events[:event_id]])[0]
    summary = summarise(state)
    return summary.status.value, summary.waiting_on.value if summary.waiting_on is not None else None


@pytest.mark.parametrize(
    ("name", "index", "event_id", "expected"),
    [
        ("sequence", 0, 2, ("running", None)),
        ("sequence", 0, 5, ("running", None)),
        ("mixed", 0, 19, ("waiting", "timer")),
        ("mixed", 0, 25, ("waiting", "child")),
        ("messages", 0, 22, ("waiting", "signal")),
        ("local", 0, 7, ("waiting", "retry")),
        ("retried", 1, 1, ("waiting", "retry")),
        ("cron", 0, 1, ("waiting", "timer")),
        ("poisoned", 0, 6, ("waiting", "retry")),
        ("cancelled", 0, 9, ("cancelling", None)),
        ("gated_approved", 0, 13, ("waiting", "approval")),
        ("gated_paused", 0, 14, ("paused", None)),
        ("gated_policy_wait", 0, 13, ("waiting", "policy")),
        ("gated_policy_wait_explicit", 0, 8, ("waiting", "policy")),
        ("gated_policy_wait_explicit", 0, 14, ("waiting", "approval")),
    ],
)
def test_an_open_execution_shows_what_it_waits_for(
    name: str, index: int, event_id: int, expected: tuple[str, str | None]
) -> None:
    assert status_at(recorded(name)[index], event_id) == expected


def test_the_current_step_of_an_explicit_approval_has_its_kind_whatever_the_run_waits_for() -> None:
    waits = set()
    for name in ("gated_explicit", "gated_policy_wait_explicit"):
        (execution,) = recorded(name)
        for end in range(1, len(execution.events) + 1):
            summary = summarise(folded(execution.execution_id, [execution.events[:end]])[0])
            if summary.current_step == "Send the reply":
                waits.add(summary.waiting_on)
                assert summary.current_kind == "approval", (name, end)
    assert waits == {None, "approval", "policy", "signal"}


def test_a_pending_approval_is_the_current_step_with_its_expiry() -> None:
    execution = recorded("gated_approved")[0]
    state = folded(execution.execution_id, [execution.events[:13]])[0]
    summary = summarise(state)
    assert (summary.current_step in ("Refund an order", "refund"), summary.current_kind) == (True, "tool")
    assert summary.next_at is not None
