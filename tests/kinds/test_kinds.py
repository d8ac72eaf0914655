"""Unmodified workflows of every kind that the SDK supports: the plugin doesn't change their behaviour, and all of them are mirrored.

Each case runs on a worker without the plugin and on one with it. The outcome and the commands in history must be the same; the histories must
replay under the plugin, including those recorded without it; and the mirror must match what the oracle reads from Temporal.
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
"""How many cases are run ahead of the current one, because most of them mainly wait."""
AT_ONCE = 10
"""Maximum number of concurrent cases. The timeout of each counts from its start: without a limit, a busy machine would delay all of them."""


class Plays:
    """Runs each case once on all stages, in the order in which the tests request them."""

    def __init__(self, stages: dict[str, Stage]) -> None:
        self._stages = stages
        self._tasks: dict[str, dict[str, asyncio.Task[Played]]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    async def of(self, name: str) -> dict[str, Played]:
        """The outcome of the case on each stage."""
        names = list(CASES)
        for case in names[names.index(name) :][: AHEAD + 1]:
            if case not in self._tasks:
                self._tasks[case] = {
                    stage: asyncio.create_task(self._play(case, at)) for stage, at in self._stages.items()
                }
        return {stage: await task for stage, task in self._tasks[name].items()}

    async def _play(self, name: str, stage: Stage) -> Played:
        async with self._places:
            return await play(CASES[name], name, stage)

    async def end(self) -> None:
        """Cancel what no test requested."""
        tasks = [task for tasks in self._tasks.values() for task in tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(scope="module")
async def plays(client: Client, settings: Settings, tables: Tables) -> AsyncIterator[Plays]:
    """Both stages, while the module runs."""
    services = [service() for service in SERVICES]
    async with staged(
        client, settings, workflows=WORKFLOWS, activities=ACTIVITIES, nexus_service_handlers=services
    ) as stages:
        playing = Plays(stages)
        yield playing
        await playing.end()


# A fixture parameter, so that pytest runs the tests of a case together, and a process runs only the cases that it tests.
@pytest.fixture(scope="module", params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_workflow_behaves_the_same_with_and_without_the_plugin(name: str, plays: Plays) -> None:
    case, played = CASES[name], await plays.of(name)
    assert {stage: (each.ends, each.driven) for stage, each in played.items()} == dict.fromkeys(
        PLUGGED, (case.ends, case.driven)
    )
    if not case.other_events:
        assert {stage: each.events for stage, each in played.items()} == dict.fromkeys(PLUGGED, played["native"].events)


async def test_histories_replay_including_those_recorded_without_the_plugin(name: str, plays: Plays) -> None:
    played = await plays.of(name)
    await replay([history for each in played.values() for history in each.histories], [Governance().plugin()])
    await replay(played["native"].histories, [])


async def replay(histories: list[WorkflowHistory], plugins: list[Any]) -> None:
    """Replay the histories, and fail if any of them doesn't replay."""
    types = {history.events[0].workflow_execution_started_event_attributes.workflow_type.name for history in histories}
    # A replayer first builds every workflow that it knows in a sandbox, which would cost more than the replay.
    known = [cls for cls in WORKFLOWS if cls.__name__ in types] or [running.Anything]

    async def each() -> AsyncIterator[WorkflowHistory]:
        for history in histories:
            yield history

    replayer = Replayer(workflows=known, plugins=plugins)
    async with replayer.workflow_replay_iterator(each()) as results:
        failures = [result.replay_failure async for result in results]
    assert failures == [None] * len(histories)


async def test_the_mirror_matches_the_oracle(name: str, plays: Plays, client: Client, tables: Tables) -> None:
    await asyncio.gather(*[mirrored(played, client, tables) for played in (await plays.of(name)).values()])


async def mirrored(played: Played, client: Client, tables: Tables) -> None:
    await tables.run_in(played.workflow_id, *oracle.ENDS.values(), seconds=PLAY_SECONDS)

    async def ask() -> tuple[Any, Any, Any]:
        run = await tables.run_of(played.workflow_id) or {}
        return run, await tables.steps(run["run_id"]), []

    await oracle.eventually(client, ask, seconds=PLAY_SECONDS)
