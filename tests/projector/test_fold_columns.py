"""The fold's rows have no column that their tables lack."""

from __future__ import annotations

import pytest

from agentgrid.projector import rows
from agentgrid.projector.fold import columns


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("steps", columns.StepColumns),
        ("approvals", columns.ApprovalColumns),
        ("decisions", columns.DecisionColumns),
        ("controls", columns.ControlColumns),
    ],
)
def test_each_column_of_the_fold_is_one_of_its_table(table: str, row: type) -> None:
    assert set(row.__annotations__) <= set(rows.columns_of(table))
