"""The recorded histories of the reference workflows, folded: the expected rows, and the same ones however they are split."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projector.folding import Recorded, folded, one_pass
from tests.replay.golden import load, recorded

PATHS = recorded("reference")
APPROVALS = {
    "content_publish": ["approved"],
    "content_publish-rolled_back": ["approved"],
    "support_triage-approved": ["approved"],
    "support_triage-refund": ["approved"],
    "support_triage-rejected": ["rejected"],
}


def execution(path: Path) -> Recorded:
    history = load(path)
    return Recorded(workflow_id=history.workflow_id, execution_id=path.stem, protos=tuple(history.events))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_reference_history_split_anywhere_gives_the_same_rows_and_state(path: Path) -> None:
    events = execution(path).events
    state, rows = one_pass(execution(path))
    splits = [[[event] for event in events], *([events[:cut], events[cut:]] for cut in range(1, len(events)))]
    for passes in splits:
        cut_state, cut_rows = folded(path.stem, passes)
        assert cut_rows.plain() == rows.plain()
        assert cut_state.dump() == state.dump()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_reference_history_gives_the_expected_rows(path: Path) -> None:
    state, rows = one_pass(execution(path))
    assert state.status == "completed"
    assert state.governed
    assert state.opaque == 0
    assert [row["status"] for row in rows.approvals.values()][-1:] == APPROVALS.get(path.stem, [])
    assert {row["kind"] for row in rows.steps.values()} <= {"tool", "approval", "timer", "child", "agent", "model"}
    failed = [row["name"] for row in rows.steps.values() if row["status"] != "completed"]
    assert failed == (["refund_ticket"] if path.stem == "support_triage-rejected" else [])
