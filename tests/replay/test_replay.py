"""The current code replays every recorded history: those of the reference workflows, and of plain workflows recorded without the plugin.

If a history no longer replays, open runs of that version would get stuck: put the workflow's change behind `workflow.patched` or, for the
gate's own commands, use a new patch id. Re-record only versions that were never released.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from agentgrid.testing import Governance
from tests.replay.golden import load, recorded
from tests.worker.plain import CANCELLATIONS, SHAPES, Cancellations, Child, Shapes
from worker import grid

PLAIN = [Shapes, Child, Cancellations]


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", recorded("reference"), ids=name_of)
async def test_a_reference_workflow_replays_its_recorded_history(path: Path) -> None:
    replayer = Replayer(workflows=[], plugins=[Governance().plugin(grid)], data_converter=pydantic_data_converter)
    await replayer.replay_workflow(load(path))


def test_every_reference_workflow_has_a_recorded_history() -> None:
    covered = {path.stem.split("-")[0] for path in recorded("reference")}
    assert {registered.spec.name for registered in grid.workflows} - covered == {"account_update"}


@pytest.mark.parametrize("path", recorded("plain"), ids=name_of)
async def test_a_history_recorded_without_the_plugin_replays_with_it(path: Path) -> None:
    await Replayer(workflows=PLAIN, plugins=[Governance().plugin()]).replay_workflow(load(path))
    await Replayer(workflows=PLAIN).replay_workflow(load(path))


def test_the_plain_histories_cover_every_shape() -> None:
    assert {path.stem for path in recorded("plain")} >= {*SHAPES, *(case.replace("/", "-") for case in CANCELLATIONS)}


async def test_replay_detects_a_changed_workflow() -> None:
    """Proves that the tests can fail: another workflow's history under this name doesn't replay."""
    history = load(next(path for path in recorded("plain") if path.stem == "sequence"))
    for event in history.events:
        if event.HasField("activity_task_scheduled_event_attributes"):
            event.activity_task_scheduled_event_attributes.activity_type.name = "other"
    with pytest.raises(Exception, match=r"(?i)nondeterminism"):
        await Replayer(workflows=PLAIN, plugins=[Governance().plugin()]).replay_workflow(history)
