"""A new kind of activity needs only one row in `domain.activities.KINDS`: steps, rules and kill switch follow from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from agentgrid.domain import activities
from agentgrid.domain.activities import ActivityKind
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.domain.steps import StepKind
from agentgrid.settings import Settings
from agentgrid.testing import Governance
from tests.projector.conftest import Tables, unique

PROBE = ActivityKind(prefix="probe.", step=StepKind.NEXUS, switch="probe")


@activity.defn(name="probe.triager")
async def probe() -> str:
    return "an answer"


@workflow.defn(sandboxed=False)
class Probing:
    @workflow.run
    async def run(self, local: bool) -> str:
        call = workflow.execute_local_activity if local else workflow.execute_activity
        answer: str = await call(probe, schedule_to_close_timeout=timedelta(seconds=9))
        return answer


@pytest.fixture
def probe_kind(monkeypatch: pytest.MonkeyPatch) -> ActivityKind:
    monkeypatch.setattr(activities, "KINDS", (*activities.KINDS, PROBE))
    return PROBE


@pytest.fixture
def governance() -> Governance:
    return Governance()


@pytest.fixture
async def queue(client: Client, settings: Settings, governance: Governance) -> AsyncIterator[str]:
    plugin = governance.plugin(settings=settings)
    async with Worker(
        client, task_queue=(name := unique("probes")), workflows=[Probing], activities=[probe], plugins=[plugin]
    ):
        yield name


async def outcome(client: Client, queue: str) -> str:
    """The activity's answer, or the gate's error."""
    try:
        answer: str = await client.execute_workflow(Probing.run, False, id=unique(), task_queue=queue)
    except WorkflowFailureError as failure:
        cause = failure.cause.cause  # type: ignore[union-attr]
        assert isinstance(cause, ApplicationError)
        return f"{cause.type}: {cause.message}"
    return answer


async def test_its_steps_have_its_kind_and_the_name_after_its_prefix(
    probe_kind: ActivityKind,
    projector: asyncio.Task[None],
    client: Client,
    queue: str,
    tables: Tables,
) -> None:
    for local in (False, True):
        handle = await client.start_workflow(Probing.run, local, id=unique(), task_queue=queue)
        await handle.result()
        run = await tables.run_in(handle.id, "completed")
        steps = await tables.steps(run["run_id"])
        assert [(step["kind"], step["name"], step["local"]) for step in steps] == [("nexus", "triager", local)]
        assert run["tools"] == []


async def test_its_kill_switch_stops_it_and_other_kinds_of_the_same_name_do_not(
    probe_kind: ActivityKind, client: Client, queue: str, governance: Governance
) -> None:
    governance.change(disabled={"tool": frozenset({"triager", "probe.triager"})})
    assert await outcome(client, queue) == "an answer"
    governance.change(disabled={"probe": frozenset({"triager"})})
    assert await outcome(client, queue) == "PolicyDenied: the probe triager is disabled by its kill switch"


async def test_only_rules_that_name_its_kind_apply_to_it(
    probe_kind: ActivityKind, client: Client, queue: str, governance: Governance
) -> None:
    everything = Rule(rule_id="everything", tool="*", effect=Effect.DENY)
    governance.change(rules=(everything,))
    assert await outcome(client, queue) == "an answer"
    probes = Rule(rule_id="probes", kind=StepKind.NEXUS, tool="tri*", effect=Effect.DENY, reason="too expensive")
    governance.change(rules=(everything, probes))
    assert await outcome(client, queue) == "PolicyDenied: triager is denied by the rule probes@1: too expensive"
