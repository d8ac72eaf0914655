"""Workflows of every kind that the SDK offers, unmodified: the plugin changes nothing of what they do, and all of them are mirrored.

Each case is played by a worker without the plugin and by one with it. What comes of it, and the commands in history, must be the same; the
histories must replay under the plugin, those recorded without it too; and the mirror must be what the oracle reads in Temporal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer

from agentgrid.settings import Settings
from agentgrid.testing import Governance
from tests import oracle
from tests.kinds import activities, ends, messages, others, running
from tests.kinds.case import Case, Played, Stage, play
from tests.kinds.conftest import PLUGGED, staged
from tests.projector.conftest import Tables

MODULES: list[Any] = [messages, others, activities, ends, running]
CASES: dict[str, Case] = {name: case for module in MODULES for name, case in module.CASES.items()}
WORKFLOWS = [workflow for module in MODULES for workflow in module.WORKFLOWS]
ACTIVITIES = [activity for module in MODULES for activity in getattr(module, "ACTIVITIES", ())]
SERVICES = [service for module in MODULES for service in getattr(module, "SERVICES", ())]

AT_ONCE = 30
"""Most cases wait for most of their time; more than these would only wait for each other."""
Plays = dict[str, dict[str, "asyncio.Task[Played]"]]


@pytest.fixture(scope="module")
async def plays(client: Client, settings: Settings, tables: Tables) -> AsyncIterator[Plays]:
    """All cases on all stages, many at once: each test waits for its own."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def in_turn(case: Case, name: str, stage: Stage) -> Played:
        async with turn:
            return await play(case, name, stage)

    async with staged(
        client,
        settings,
        workflows=WORKFLOWS,
        activities=ACTIVITIES,
        nexus_service_handlers=[each() for each in SERVICES],
    ) as stages:
        tasks = {
            name: {stage: asyncio.create_task(in_turn(case, name, at)) for stage, at in stages.items()}
            for name, case in CASES.items()
        }
        yield tasks
        for task in (task for played in tasks.values() for task in played.values()):
            task.cancel()


@pytest.mark.parametrize("name", CASES)
async def test_a_kind_of_workflow_is_the_same_with_and_without_the_plugin(name: str, plays: Plays) -> None:
    case = CASES[name]
    played = {stage: await task for stage, task in plays[name].items()}
    assert {stage: (each.ends, each.driven) for stage, each in played.items()} == dict.fromkeys(
        PLUGGED, (case.ends, case.driven)
    )
    if not case.other_events:
        assert {stage: each.events for stage, each in played.items()} == dict.fromkeys(PLUGGED, played["native"].events)


@pytest.fixture(scope="module")
async def replayed(plays: Plays) -> dict[tuple[str, str], Exception | None]:
    """What came of replaying each history, with the plugin, and without it where it was recorded without: by worker and run id."""
    tasks = [task for played in plays.values() for task in played.values()]
    done = [each for each in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(each, Played)]
    found: dict[tuple[str, str], Exception | None] = {}
    for worker, plugins, stages in (("plugin", [Governance().plugin()], set(PLUGGED)), ("none", [], {"native"})):
        replayer = Replayer(workflows=WORKFLOWS, plugins=plugins)
        histories = [history for each in done if each.stage in stages for history in each.histories]
        async with replayer.workflow_replay_iterator(_each(histories)) as results:
            async for result in results:
                found[worker, result.history.run_id] = result.replay_failure
    return found


async def _each(histories: list[WorkflowHistory]) -> AsyncIterator[WorkflowHistory]:
    for history in histories:
        yield history


@pytest.mark.parametrize("name", CASES)
async def test_its_histories_replay_also_those_recorded_without_the_plugin(
    name: str, plays: Plays, replayed: dict[tuple[str, str], Exception | None]
) -> None:
    for stage, task in plays[name].items():
        for history in (await task).histories:
            assert replayed["plugin", history.run_id] is None
            assert stage != "native" or replayed["none", history.run_id] is None


@pytest.mark.parametrize("name", CASES)
async def test_it_is_mirrored_as_the_oracle_reads_it(name: str, plays: Plays, client: Client, tables: Tables) -> None:
    await asyncio.gather(*[mirrored(await task, client, tables) for task in plays[name].values()])


async def mirrored(played: Played, client: Client, tables: Tables) -> None:
    await tables.run_in(played.workflow_id, *oracle.ENDS.values(), seconds=40)

    async def ask() -> tuple[Any, Any, Any]:
        run = await tables.run_of(played.workflow_id) or {}
        return run, await tables.steps(run["run_id"]), []

    await oracle.eventually(client, ask)
