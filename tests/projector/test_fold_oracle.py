"""The fold against the oracle, at every event of every recording: two readings of a history that share no code."""

from __future__ import annotations

import pytest

from tests import oracle
from tests.projector.folding import folded, names, recorded

NO_WORD = ("gated_policy_wait", "gated_policy_wait_explicit")
"""The oracle doesn't know how a call waits for policy."""


@pytest.mark.parametrize("name", [name for name in names() if name not in NO_WORD])
def test_the_steps_of_a_history_cut_anywhere_are_what_the_oracle_reads(name: str) -> None:
    for execution in recorded(name):
        for cut in range(1, len(execution.events) + 1):
            rows = folded(execution.execution_id, [execution.events[:cut]])[1]
            steps = rows.steps.values()
            assert oracle.step_differences(execution.execution_id, execution.protos[:cut], steps) == [], f"cut at {cut}"
