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
from tests.kinds.case import PLAY_SECONDS, Case, Played, Stage, play
from tests.kinds.conftest import PLUGGED, staged
from tests.projector.conftest import Tables

MODULES: list[Any] = [messages, others, activities, ends, running]
CASES: dict[str, Case] = {name: case for module in MODULES for name, case in module.CASES.items()}
WORKFLOWS = [workflow for module in MODULES for workflow in module.WORKFLOWS]
ACTIVITIES = [activity for module in MODULES for activity in getattr(module, "ACTIVITIES", ())]
SERVICES = [service for module in MODULES for service in getattr(module, "SERVICES", ())]

AHEAD = 14
"""How many cases are played ahead of the current one: most of them mainly wait."""
AT_ONCE = 10
"""Maximum concurrent plays. The timeout of each counts from its start. Without a limit, a busy machine would make all of them late."""


class Plays:
    """Plays cases on all stages, each once, in the order in which the tests ask for them."""

    def __init__(self, stages: dict[str, Stage]) -> None:
        self._stages = stages
        self._tasks: dict[str, dict[str, asyncio.Task[Played]]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    async def of(self, name: str) -> dict[str, Played]:
        """What came of the case on each stage."""
        names = list(CASES)
        for each in names[names.index(name) :][: AHEAD + 1]:
            if each not in self._tasks:
                self._tasks[each] = {
                    stage: asyncio.create_task(self._play(each, at)) for stage, at in self._stages.items()
                }
        return {stage: await task for stage, task in self._tasks[name].items()}

    async def _play(self, name: str, stage: Stage) -> Played:
        async with self._places:
            return await play(CASES[name], name, stage)

    async def end(self) -> None:
        """Give up what nobody has asked for."""
        tasks = [task for tasks in self._tasks.values() for task in tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(scope="module")
async def plays(client: Client, settings: Settings, tables: Tables) -> AsyncIterator[Plays]:
    """Both stages, for as long as the module runs."""
    services = [each() for each in SERVICES]
    async with staged(
        client, settings, workflows=WORKFLOWS, activities=ACTIVITIES, nexus_service_handlers=services
    ) as stages:
        playing = Plays(stages)
        yield playing
        await playing.end()


# As a fixture's parameter, so that pytest runs the tests of a case together, and a process plays only the cases that it tests.
@pytest.fixture(scope="module", params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_kind_of_workflow_is_the_same_with_and_without_the_plugin(name: str, plays: Plays) -> None:
    case, played = CASES[name], await plays.of(name)
    assert {stage: (each.ends, each.driven) for stage, each in played.items()} == dict.fromkeys(
        PLUGGED, (case.ends, case.driven)
    )
    if not case.other_events:
        assert {stage: each.events for stage, each in played.items()} == dict.fromkeys(PLUGGED, played["native"].events)


async def test_its_histories_replay_also_those_recorded_without_the_plugin(name: str, plays: Plays) -> None:
    played = await plays.of(name)
    await replay([history for each in played.values() for history in each.histories], [Governance().plugin()])
    await replay(played["native"].histories, [])


async def replay(histories: list[WorkflowHistory], plugins: list[Any]) -> None:
    """Replay them. Raises what a replay fails with."""
    types = {history.events[0].workflow_execution_started_event_attributes.workflow_type.name for history in histories}
    # Every workflow that a replayer knows is built in a sandbox first: the others would cost more than the replay.
    known = [cls for cls in WORKFLOWS if cls.__name__ in types] or [running.Anything]

    async def each() -> AsyncIterator[WorkflowHistory]:
        for history in histories:
            yield history

    replayer = Replayer(workflows=known, plugins=plugins)
    async with replayer.workflow_replay_iterator(each()) as results:
        failures = [result.replay_failure async for result in results]
    assert failures == [None] * len(histories)


async def test_it_is_mirrored_as_the_oracle_reads_it(name: str, plays: Plays, client: Client, tables: Tables) -> None:
    await asyncio.gather(*[mirrored(played, client, tables) for played in (await plays.of(name)).values()])


async def mirrored(played: Played, client: Client, tables: Tables) -> None:
    await tables.run_in(played.workflow_id, *oracle.ENDS.values(), seconds=PLAY_SECONDS)

    async def ask() -> tuple[Any, Any, Any]:
        run = await tables.run_of(played.workflow_id) or {}
        return run, await tables.steps(run["run_id"]), []

    await oracle.eventually(client, ask, seconds=PLAY_SECONDS)
