"""The fold compared with the oracle, an independent implementation, after every event of every recording."""

from __future__ import annotations

import pytest

from tests import oracle
from tests.projector.folding import folded, names, recorded

UNSUPPORTED = ("gated_policy_wait", "gated_policy_wait_explicit")
"""The oracle doesn't implement calls that wait for policy."""


@pytest.mark.parametrize("name", [name for name in names() if name not in UNSUPPORTED])
def test_the_steps_after_every_event_match_the_oracle(name: str) -> None:
    for execution in recorded(name):
        for cut in range(1, len(execution.events) + 1):
            rows = folded(execution.execution_id, [execution.events[:cut]])[1]
            steps = rows.steps.values()
            assert oracle.step_differences(execution.execution_id, execution.protos[:cut], steps) == [], f"cut at {cut}"
