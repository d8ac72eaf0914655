"""The fold with events split, duplicated, reordered and lost in restarts: the rows always equal those of a single pass."""

from __future__ import annotations

import itertools
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgrid.projector.fold import HistoryGap, fold
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.fold.summary import summarise
from agentgrid.projector.history_events import DecodedEvent
from tests.projector.folding import Rows, folded, through_json
from tests.projector.histories_made import EXECUTION, history

SEEDS = st.integers(min_value=0, max_value=2**32)
LENGTHS = st.integers(min_value=2, max_value=90)


def clean(events: list[DecodedEvent]) -> tuple[FoldState, Rows]:
    return folded(EXECUTION, [events])


@settings(max_examples=150)
@given(SEEDS, LENGTHS)
def test_folding_event_by_event_equals_one_pass(seed: int, length: int) -> None:
    events = history(seed, length)
    state, rows = clean(events)
    slow_state, slow_rows = folded(EXECUTION, [[event] for event in events])
    assert slow_rows.plain() == rows.plain()
    assert slow_state.dump() == state.dump()


@settings(max_examples=100)
@given(SEEDS, LENGTHS, st.lists(st.integers(min_value=0, max_value=90), max_size=6))
def test_any_split_into_passes_equals_one_pass(seed: int, length: int, cuts: list[int]) -> None:
    events = history(seed, length)
    edges = [0, *sorted(cut for cut in cuts if cut < len(events)), len(events)]
    passes = [events[left:right] for left, right in itertools.pairwise(edges)]
    assert folded(EXECUTION, passes)[1].plain() == clean(events)[1].plain()


@settings(max_examples=100)
@given(SEEDS, LENGTHS, SEEDS)
def test_duplicated_reordered_and_lost_events_equal_one_pass(seed: int, length: int, chaos: int) -> None:
    """The projector gets arbitrary events, rejects gaps, may crash before any commit, and reads again."""
    events = history(seed, length)
    dice = random.Random(chaos)
    state, rows = FoldState(execution_id=EXECUTION), Rows()
    while state.last_event_id < len(events):
        begin = dice.randint(0, len(events) - 1)
        delivered = events[begin : begin + dice.randint(1, 25)]
        delivered = [*delivered, *dice.sample(delivered, k=dice.randint(0, len(delivered)))]
        dice.shuffle(delivered)
        try:
            new_state, changes = fold(state, delivered)
        except HistoryGap:
            continue
        if dice.random() < 0.2:
            continue  # it crashed before the commit: this pass is lost
        rows.apply(changes)
        state = through_json(new_state)
    assert rows.plain() == clean(events)[1].plain()


@settings(max_examples=80)
@given(SEEDS, LENGTHS)
def test_invariants_hold_after_every_event(seed: int, length: int) -> None:
    state, rows = FoldState(execution_id=EXECUTION), Rows()
    for event in history(seed, length):
        before = json.dumps(state.dump())
        new_state, changes = fold(state, [event])
        assert json.dumps(state.dump()) == before, "the fold changed its input state"
        rows.apply(changes)
        state = new_state
        opened = {key for key, row in rows.steps.items() if row.get("closed_event_id") is None}
        assert opened == set(state.steps)
        assert all(row["status"] in ("scheduled", "running", "waiting") for row in map(rows.steps.get, opened) if row)
        pending = {key for key, row in rows.approvals.items() if row["status"] == "pending"}
        assert pending == set(state.approvals)
        counted = [row for row in rows.decisions.values() if row["judged"] == "counted" and not row.get("inherited")]
        assert len({row["approval_id"] for row in counted}) == len(counted), "two decisions counted for one approval"
        for row in rows.approvals.values():
            if row["status"] in ("approved", "rejected"):
                assert row["decision_event_id"] in rows.decisions
        assert state.step_count == len(rows.steps)
        done = [
            row
            for row in rows.steps.values()
            if row.get("closed_event_id") is not None and row["status"] != "abandoned"
        ]
        assert state.steps_done == len(done)
        if not state.closed:
            summarise(state)
    assert len(json.dumps(state.dump())) < 60_000


def test_a_gap_is_rejected() -> None:
    events = history(1, 20)
    with pytest.raises(HistoryGap):
        fold(FoldState(execution_id=EXECUTION), events[1:])
