"""Whether a run began under the plugin: the worker of its first workflow task determines this, whichever worker continues the run.

Each run makes its first and last calls on different workers, and the last call needs an approval. A governed run opens the approval, others
can't; so a worker or replay that confuses the two doesn't match history.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowHistory
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.worker import Replayer, Worker, WorkerDeploymentConfig

from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from tests.worker import gated
from tests.worker.beginnings import GOVERNED_BUILD, ByHand, begun_governed, headed, marked, without_builds
from tests.worker.begins import CONFIG, Begins, Broken
from tests.worker.conftest import kinds, reset

KINDS = ("plain", "plugin", "grid", "own build", "versioned")
MARKS = ("own build", "versioned")
"""The workers whose user set the build id."""
PAIRS = [
    (first, second)
    for first, second in itertools.product(KINDS, repeat=2)
    if {first, second} & {"plain", "plugin"} or (first, second) in (("grid", "versioned"), ("own build", "grid"))
]
"""Each kind before and after a plain worker and one with the plugin: what differs between the other kinds is how they mark a run."""
GRID = Grid("begins", gated)
SHORT = timedelta(seconds=1)

Handle = WorkflowHandle[Any, Any]


@pytest.fixture
def governance() -> Governance:
    return Governance(rules=[Rule(rule_id="ask", tool="asked", effect=Effect.REQUIRE_APPROVAL)])


def made(client: Client, queue: str, kind: str, governance: Governance, cls: type = Begins) -> Worker:
    """A worker of this kind that caches no workflow between tasks."""
    config: dict[str, Any] = {"task_queue": queue, "workflows": [cls], **CONFIG}
    if kind != "plain":
        config["plugins"] = [governance.plugin(GRID if kind == "grid" else None)]
    if kind == "own build":
        config["build_id"] = "v1"
    elif kind == "versioned":
        version = WorkerDeploymentVersion(deployment_name=queue, build_id="v1")
        config["deployment_config"] = WorkerDeploymentConfig(
            version=version, use_worker_versioning=True, default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE
        )
    return Worker(client, **config)


@contextlib.asynccontextmanager
async def serving(
    client: Client, queue: str, kind: str, governance: Governance, cls: type = Begins
) -> AsyncIterator[None]:
    """Run only a worker of this kind."""
    async with made(client, queue, kind, governance, cls):
        if kind == "versioned":
            await route(client, queue, "v1")
        yield
        if kind == "versioned":
            await route(client, queue, "")


async def route(client: Client, deployment: str, build: str) -> None:
    """Route tasks to workers of this version, once the server knows it. Without a build id: to unversioned workers."""
    async with asyncio.timeout(30):
        while True:
            try:
                await client.workflow_service.set_worker_deployment_current_version(
                    SetWorkerDeploymentCurrentVersionRequest(
                        namespace=client.namespace,
                        deployment_name=deployment,
                        build_id=build,
                        ignore_missing_task_queues=True,
                    )
                )
                return
            except RPCError:
                await asyncio.sleep(0.1)


async def happened(handle: Handle, kind: str, times: int = 1) -> list[Any]:
    """Wait for this many events of this kind, and return them."""
    async with asyncio.timeout(40):
        while True:
            events = [event for event in (await handle.fetch_history()).events if kinds([event]) == [kind]]
            if len(events) >= times:
                return events
            await asyncio.sleep(0.05)


async def ends(handle: Handle, governance: Governance, kind: str, *, governed: bool) -> WorkflowHistory:
    """Complete the run on the current worker; check how it ended, and that it replays."""
    await handle.signal("go")
    if kind != "plain" and governed:
        await governance.approve(handle)
        assert (await handle.result()).endswith("asked")
    elif kind != "plain":
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
        assert getattr(getattr(caught.value.cause, "cause", None), "type", None) == "ApprovalUnsupported"
    else:
        assert (await handle.result()).endswith("asked")
    history = await handle.fetch_history()
    assert begun_governed(history) == governed
    assert headed(history, "asked") == ([True, True] if kind != "plain" and governed else [False])
    await replays(history, governance, plain=kind == "plain" or not governed)
    return history


async def replays(history: WorkflowHistory, governance: Governance, *, plain: bool = False) -> None:
    """Replay with the plugin and, if `plain`, also without it."""
    for plugins in [[governance.plugin()], []] if plain else [[governance.plugin()]]:
        replayer = Replayer(workflows=[Begins], plugins=plugins, data_converter=pydantic_data_converter)
        await replayer.replay_workflow(history)


async def begin(client: Client, queue: str, shape: str = "calls", **more: Any) -> Handle:
    return await client.start_workflow("Begins", shape, id=queue, task_queue=queue, result_type=str, **more)


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_the_worker_of_the_first_task_determines_whether_a_run_is_governed(
    client: Client, queue: str, governance: Governance, first: str, second: str
) -> None:
    governed = first != "plain"
    async with serving(client, queue, first, governance):
        handle = await begin(client, queue)
        await happened(handle, "WORKFLOW_TASK_COMPLETED", 2)
        await replays(await handle.fetch_history(), governance, plain=True)
    async with serving(client, queue, second, governance):
        history = await ends(handle, governance, second, governed=governed)
    assert headed(history, "free") == [governed]
    assert marked(history) == (first in MARKS)
    assert "WORKFLOW_TASK_FAILED" not in kinds(history.events)


@pytest.mark.parametrize(
    ("first", "second"),
    [("plain", "plugin"), ("plugin", "plain"), ("plugin", "grid"), ("own build", "plugin"), ("plugin", "own build")],
)
async def test_only_a_reset_to_the_first_task_determines_it_again(
    client: Client, queue: str, governance: Governance, first: str, second: str
) -> None:
    async with serving(client, queue, first, governance):
        handle = await begin(client, queue)
        tasks = [event.event_id for event in await happened(handle, "WORKFLOW_TASK_COMPLETED", 2)]
    base = handle.first_execution_run_id or ""
    async with serving(client, queue, second, governance):
        forked = await reset(client, handle, base, tasks[0])
        await happened(forked, "ACTIVITY_TASK_COMPLETED")
        history = await ends(forked, governance, second, governed=second != "plain")
        assert marked(history) == (second != "plain"), "history had more than three events"
        later = await reset(client, handle, base, tasks[1])
        history = await ends(later, governance, second, governed=first != "plain")
        assert marked(history) == (first in MARKS)


@pytest.mark.parametrize(("first", "second"), [("plain", "plugin"), ("plugin", "plain"), ("plugin", "own build")])
async def test_continued_runs_and_children_have_their_own_first_task(
    client: Client, queue: str, governance: Governance, first: str, second: str
) -> None:
    async with serving(client, queue, first, governance):
        continued = await client.start_workflow("Begins", "continues", id=f"c-{queue}", task_queue=queue)
        parent = await client.start_workflow("Begins", "child", id=f"p-{queue}", task_queue=queue)
        await happened(continued, "WORKFLOW_TASK_COMPLETED")
        await happened(parent, "WORKFLOW_TASK_COMPLETED")
    async with serving(client, queue, second, governance):
        for handle in (continued, parent):
            await handle.signal("go")
        child = client.get_workflow_handle(f"{parent.id}-child")
        begun = client.get_workflow_handle(continued.id, run_id=continued.first_execution_run_id)
        for now in (continued, child):
            async with asyncio.timeout(30):
                while True:
                    with contextlib.suppress(RPCError):
                        if "ACTIVITY_TASK_COMPLETED" in kinds((await now.fetch_history()).events):
                            break
                    await asyncio.sleep(0.05)
            history = await ends(now, governance, second, governed=second != "plain")
            assert marked(history) == (second in MARKS)
        await parent.result()
        for before in (begun, parent):
            history = await before.fetch_history()
            assert begun_governed(history)
            assert marked(history) == (first == "plain"), "it had made no call under the plain worker"
            await replays(history, governance, plain=True)


@pytest.mark.parametrize(("first", "second"), [("plain", "plugin"), ("plugin", "plain"), ("plugin", "grid")])
async def test_a_first_task_that_failed_does_not_count(
    client: Client, queue: str, governance: Governance, first: str, second: str
) -> None:
    async with serving(client, queue, first, governance, Broken):
        handle = await begin(client, queue, task_timeout=timedelta(seconds=3))
        await happened(handle, "WORKFLOW_TASK_FAILED")
    async with serving(client, queue, second, governance):
        await happened(handle, "ACTIVITY_TASK_COMPLETED")
        history = await ends(handle, governance, second, governed=second != "plain")
    assert marked(history) == (second != "plain")


@pytest.mark.parametrize(("first", "second"), [("by hand", "plugin"), (GOVERNED_BUILD, "plain")])
async def test_a_first_task_that_timed_out_does_not_count(
    client: Client, queue: str, governance: Governance, first: str, second: str
) -> None:
    handle = await begin(client, queue, task_timeout=SHORT)
    await ByHand(client, queue, first).takes()
    async with serving(client, queue, second, governance):
        await happened(handle, "ACTIVITY_TASK_COMPLETED")
        history = await ends(handle, governance, second, governed=second != "plain")
    assert "WORKFLOW_TASK_TIMED_OUT" in kinds(history.events)


@pytest.mark.parametrize(
    ("first", "second"), [("by hand", "plugin"), (GOVERNED_BUILD, "plain"), (GOVERNED_BUILD, "plugin")]
)
async def test_an_empty_first_task_counts_as_one_with_the_task_directly_after_it(
    client: Client, queue: str, governance: Governance, first: str, second: str
) -> None:
    """A worker completes such tasks during a long local activity; here the worker is gone before that activity ends."""
    handle = await begin(client, queue)
    await ByHand(client, queue, first).completes_empty()
    async with serving(client, queue, second, governance):
        await happened(handle, "WORKFLOW_TASK_COMPLETED", 3)
    governed = second != "plain"
    async with serving(client, queue, "grid", governance):
        history = await ends(handle, governance, "grid", governed=governed)
    assert headed(history, "free") == [governed]
    assert "WORKFLOW_TASK_FAILED" not in kinds(history.events)


@pytest.mark.parametrize(
    ("first", "second", "governed", "marks"),
    [
        ("plain", "plain", False, False),
        ("plain", "plugin", True, True),
        ("plugin", "plain", True, False),
        ("plugin", "grid", True, True),
        ("plugin", "own build", True, True),
    ],
)
async def test_an_update_directly_after_an_empty_first_task(
    client: Client, queue: str, governance: Governance, first: str, second: str, governed: bool, marks: bool
) -> None:
    """The worker that accepts the update sees one task, but a replay sees two: only a marker makes them agree."""
    async with serving(client, queue, first, governance):
        handle = await begin(client, queue, "waits")
        await happened(handle, "WORKFLOW_TASK_COMPLETED")
    async with serving(client, queue, second, governance):
        assert await handle.execute_update("nudge", "free", result_type=str) == "free"
        history = await handle.fetch_history()
        assert (begun_governed(history), marked(history)) == (governed, marks)
        await replays(history, governance, plain=True)
    async with serving(client, queue, "grid", governance):
        history = await ends(handle, governance, "grid", governed=governed)
    assert "WORKFLOW_TASK_FAILED" not in kinds(history.events)


async def test_a_run_open_before_the_plugin_is_governed_if_it_has_made_no_call_yet(
    client: Client, queue: str, governance: Governance
) -> None:
    async with serving(client, queue, "plain", governance):
        handle = await begin(client, queue, "waits")
        await happened(handle, "WORKFLOW_TASK_COMPLETED")
    async with serving(client, queue, "plugin", governance):
        history = await ends(handle, governance, "plugin", governed=True)
    assert marked(history)


@pytest.mark.parametrize("signal", ["go", "early"])
async def test_a_run_started_with_a_signal_gets_the_marker(
    client: Client, queue: str, governance: Governance, signal: str
) -> None:
    """The signal's handler makes a call before the workflow's main code runs."""
    async with serving(client, queue, "plugin", governance):
        handle = await begin(client, queue, start_signal=signal)
        await happened(handle, "ACTIVITY_TASK_COMPLETED", 2 if signal == "early" else 1)
        history = await ends(handle, governance, "plugin", governed=True)
    assert marked(history)
    assert all(headed(history, "free"))


@pytest.mark.parametrize("cache", [0, 100], ids=["uncached", "cached"])
async def test_runs_keep_their_beginning_while_workers_are_replaced_one_by_one(
    temporal_server: Any, client: Client, queue: str, governance: Governance, cache: int
) -> None:
    """Workers change from plain to governed and back, two at a time, while runs begin, wait and end."""
    config = CONFIG | {"task_queue": queue, "workflows": [Begins], "max_cached_workflows": cache}
    handles: list[Handle] = []

    async def worker(kind: str) -> Worker:
        # The SDK allows one worker of each kind per connection and queue.
        own = await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)
        plugins = [] if kind == "plain" else [governance.plugin(GRID if kind == "grid" else None)]
        return Worker(own, **config, plugins=plugins)

    serving_now = await worker("plain")
    running = asyncio.create_task(serving_now.run())
    for turn, kind in enumerate(["plain", "plugin", "grid", "plain", "plain"]):
        before, after = serving_now, await worker(kind)
        following = asyncio.create_task(after.run())
        new = [
            await client.start_workflow("Begins", shape, id=f"{turn}-{number}-{queue}", task_queue=queue)
            for number, shape in enumerate(["calls", "waits", "calls", "waits", "calls"])
        ]
        handles += new
        for handle in new:
            await happened(handle, "WORKFLOW_TASK_COMPLETED")
            if handle.id[2] in "13":
                assert await handle.execute_update("nudge", "free", result_type=str) == "free"
        await before.shutdown()
        await running
        serving_now, running = after, following
    governance.change(rules=())
    await asyncio.gather(*[handle.signal("go") for handle in handles])
    await asyncio.gather(*[handle.result() for handle in handles])
    histories = [await handle.fetch_history() for handle in handles]
    await serving_now.shutdown()
    await running
    governed = [begun_governed(history) for history in histories]
    assert 0 < sum(governed) < len(handles), "some runs began under each kind"
    for history, began in zip(histories, governed, strict=True):
        assert "WORKFLOW_TASK_FAILED" not in kinds(history.events)
        await replays(history, governance, plain=True)
        if history.workflow_id[2] not in "13":
            assert headed(history, "free") == [began]


async def test_the_first_call_of_a_plain_worker_refutes_its_forged_build(
    client: Client, queue: str, governance: Governance
) -> None:
    """A governed worker that takes over the plain worker's runs still requires approval."""
    async with Worker(client, task_queue=queue, workflows=[Begins], **CONFIG, build_id=GOVERNED_BUILD):
        handle = await begin(client, queue)
        await happened(handle, "WORKFLOW_TASK_COMPLETED", 2)
        assert not begun_governed(await handle.fetch_history())
    async with serving(client, queue, "plugin", governance):
        await handle.signal("go")
        await governance.approve(handle)
        assert await handle.result() == "free asked"
    assert not begun_governed(await handle.fetch_history())


async def test_every_run_gets_the_marker_if_the_server_keeps_no_builds(
    client: Client, queue: str, governance: Governance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simple test servers don't record builds."""

    async def not_recorded(_: Client) -> bool:
        return False

    async with serving(client, queue, "grid", governance):
        handle = await begin(client, queue)
        await happened(handle, "ACTIVITY_TASK_COMPLETED")
        history = without_builds(await ends(handle, governance, "grid", governed=True))
    with pytest.raises(Exception, match=r"(?i)nondeterminism"):
        await replays(history, governance)
    monkeypatch.setattr("agentgrid.worker.builds.are_recorded", not_recorded)
    other = f"{queue}-marking"
    async with serving(client, other, "grid", governance):
        handle = await begin(client, other)
        await happened(handle, "ACTIVITY_TASK_COMPLETED")
        history = without_builds(await ends(handle, governance, "grid", governed=True))
    assert marked(history)
    assert begun_governed(history)
    await replays(history, governance)
