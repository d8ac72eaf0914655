"""Attempts to bypass the gate. Each is blocked in a real worker, without any effect."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog
from pydantic import SecretStr
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import RateLimit
from temporalio.api.workflowservice.v1 import UpdateTaskQueueConfigRequest
from temporalio.client import ActivityFailureError, Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import Worker

from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule, Snapshot
from agentgrid.errors import RegistrationErrors
from agentgrid.protocol import TIMER_POLICY
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from agentgrid.testing import Governance, open_approvals
from agentgrid.worker.plugin import AgentGridPlugin, governed_of
from tests.api import factories
from tests.api.conftest import Api, api, as_
from tests.security import sidestep
from tests.security.sidestep import EFFECTS
from tests.worker.conftest import client, queue

__all__ = ["api", "as_", "client", "queue"]

PLAIN = [sidestep.pay_plainly, sidestep.pay_in_a_thread, sidestep.post]


class Sloppy(Grid):
    """The grid of a developer who never ran `agentgrid check`."""

    def check(self) -> None:
        return


GRID = Sloppy("sidestep", sidestep)


def worker(client: Client, queue: str, plugin: AgentGridPlugin, threads: ThreadPoolExecutor) -> Worker:
    return Worker(client, task_queue=queue, activities=PLAIN, plugins=[plugin], activity_executor=threads)


@pytest.fixture(autouse=True)
def no_effects() -> None:
    EFFECTS.clear()


@pytest.fixture
def threads() -> Any:
    with ThreadPoolExecutor(2) as executor:
        yield executor


async def start(client: Client, queue: str, way: str) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(
        "sidesteps",
        args=[way, "I-1"],
        id=f"{way}-{uuid.uuid4().hex[:8]}",
        task_queue=queue,
        run_timeout=timedelta(seconds=60),
    )


async def refused(handle: WorkflowHandle[Any, Any]) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    failed = caught.value.cause
    cause = failed.cause if isinstance(failed, ActivityError) else failed
    assert isinstance(cause, ApplicationError)
    return cause


@pytest.mark.parametrize("way", ["tool", "local", "pay_plainly", "pay_in_a_thread"])
async def test_r37_a_tool_called_inside_an_activity_raises_and_pays_nothing(
    client: Client, queue: str, threads: ThreadPoolExecutor, way: str
) -> None:
    async with worker(client, queue, Governance().plugin(GRID), threads):
        error = await refused(await start(client, queue, way))
    assert (error.type, error.non_retryable) == ("ToolInsideActivity", True)
    assert "Call it from the workflow" in error.message
    assert EFFECTS == []


def test_r37_check_finds_a_tool_called_inside_an_activity_with_file_and_line() -> None:
    with pytest.raises(RegistrationErrors) as caught:
        Grid("sidestep", sidestep).check()
    lines = Path(sidestep.__file__).read_text().splitlines()
    faults = {(Path(fault.file).name, lines[fault.line - 1].strip()) for fault in caught.value.faults}
    assert faults == {
        ("sidestep.py", "return await pay(invoice)"),
        ("sidestep.py", "return (await asyncio.gather(pay(invoice)))[0]"),
    }


async def policy_waits(handle: WorkflowHandle[Any, Any]) -> None:
    """Wait until the run waits for a policy."""
    async with asyncio.timeout(30):
        while True:
            async for event in handle.fetch_history_events():
                if TIMER_POLICY.encode() in event.user_metadata.summary.data:
                    return
            await asyncio.sleep(0.05)


async def publish(dsn: str, *rules: Rule) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        snapshot = Snapshot(version=1, made_at=datetime.now(UTC), rules=rules)
        await connection.execute(
            "INSERT INTO policy_snapshots (version, document) VALUES (1, $1)", snapshot.model_dump_json()
        )
        await connection.execute("NOTIFY agentgrid_policy")
    finally:
        await connection.close()


@pytest.mark.parametrize("way", ["look", "post"])
async def test_r36_a_worker_without_a_policy_makes_no_call_that_a_rule_could_deny(
    client: Client, queue: str, threads: ThreadPoolExecutor, postgres_dsn: str, tmp_path: Path, way: str
) -> None:
    """A reading tool and a plain activity both wait for the first policy, which denies both."""
    settings = Settings(database_url=SecretStr(postgres_dsn), home=tmp_path, policy_refresh_seconds=0.1)
    async with worker(client, queue, AgentGridPlugin(GRID, settings=settings), threads):
        handle = await start(client, queue, way)
        await policy_waits(handle)
        assert EFFECTS == []
        await publish(postgres_dsn, Rule(rule_id="closed", tool="*", effect=Effect.DENY))
        error = await refused(handle)
    assert error.type == "PolicyDenied"
    assert EFFECTS == []


async def test_a_deployment_that_does_not_require_a_policy_reads_without_one(
    client: Client, queue: str, threads: ThreadPoolExecutor, postgres_dsn: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=SecretStr(postgres_dsn), home=tmp_path, policy_required=False)
    async with worker(client, queue, AgentGridPlugin(GRID, settings=settings), threads):
        assert await (await start(client, queue, "look")).result() == "I-1"


CALL = {"tool": "any", "version": "any", "args": {"invoice": "I-1"}}
SOON: Any = {"start_to_close_timeout": timedelta(seconds=10), "schedule_to_close_timeout": timedelta(seconds=20)}


async def test_r37_a_clients_own_activity_may_not_write_and_its_reads_are_counted_and_logged(
    client: Client, queue: str, threads: ThreadPoolExecutor
) -> None:
    governance = Governance(rules=[Rule(rule_id="free", tool="*", effect=Effect.ALLOW)])
    running = worker(client, queue, governance.plugin(GRID), threads)
    with structlog.testing.capture_logs() as logged:
        async with running:
            with pytest.raises(ActivityFailureError) as caught:
                await client.execute_activity("tool.pay", CALL, id=uuid.uuid4().hex, task_queue=queue, **SOON)
            assert isinstance(caught.value.cause, ApplicationError)
            assert (caught.value.cause.type, caught.value.cause.non_retryable) == ("PolicyDenied", True)
            assert "Start a workflow" in caught.value.cause.message
            assert EFFECTS == []
            read = await client.execute_activity("tool.look", CALL, id=uuid.uuid4().hex, task_queue=queue, **SOON)
            assert read == {"result": "I-1"}
            assert await client.execute_activity("post", "I-1", id=uuid.uuid4().hex, task_queue=queue, **SOON) == "I-1"
    entries = [entry for entry in logged if entry["event"] == "standalone_activity"]
    assert [(entry["activity_type"], entry["passed"], entry["count"]) for entry in entries] == [
        ("tool.pay", False, 1),
        ("tool.look", True, 2),
        ("post", True, 3),
    ]
    assert governed_of(running).telemetry.standalones == 3


async def approval_of(handle: WorkflowHandle[Any, Any]) -> str:
    """The tool that the run requests approval for."""
    async with asyncio.timeout(30):
        while not (opened := await open_approvals(handle)):
            await asyncio.sleep(0.05)
    return str(opened[0].tool)


async def until_workers_know(plugged: Worker, disabled: bool) -> None:
    policy = governed_of(plugged).governor.policy
    async with asyncio.timeout(5):
        while policy.snapshot is None or ("pay" in policy.snapshot.disabled_tools) != disabled:
            await asyncio.sleep(0.02)


async def test_r36_turning_off_a_kill_switch_changes_no_rule_and_the_next_payment_needs_approval(
    client: Client,
    queue: str,
    threads: ThreadPoolExecutor,
    api: Api,
    as_: Any,
    module_postgres_dsn: str,
    tmp_path: Path,
) -> None:
    await factories.insert(api.plane.engine, factories.tool("pay", risk="destructive"))
    rule = {"effect": "require_approval", "approvers": ["role:approver"], "expires_seconds": 600}
    place = "/api/v1/tools/pay"
    assert (await as_("admin").put(f"{place}/policy", json=rule)).status_code == 200
    settings = Settings(database_url=SecretStr(module_postgres_dsn), home=tmp_path)
    plugged = worker(client, queue, AgentGridPlugin(GRID, settings=settings), threads)
    async with plugged:
        assert await approval_of(await start(client, queue, "direct")) == "pay"

        assert (await as_("admin").post(f"{place}/disable", json={"reason": "wrong account"})).status_code == 200
        await until_workers_know(plugged, True)
        error = await refused(await start(client, queue, "direct"))
        assert (error.type, "kill switch" in error.message) == ("PolicyDenied", True)

        assert (await as_("admin").post(f"{place}/enable")).status_code == 200
        await until_workers_know(plugged, False)
        assert await approval_of(await start(client, queue, "direct")) == "pay"
    assert EFFECTS == []


async def test_r36_a_longer_glob_that_allows_does_not_override_a_shorter_one_that_denies(
    client: Client, queue: str, threads: ThreadPoolExecutor
) -> None:
    rules = [
        Rule(rule_id="closed", tool="p*", effect=Effect.DENY),
        Rule(rule_id="open", tool="pa[a-z]", effect=Effect.ALLOW),
    ]
    async with worker(client, queue, Governance(rules=rules).plugin(GRID), threads):
        error = await refused(await start(client, queue, "direct"))
    assert (error.type, "closed@1" in error.message) == ("PolicyDenied", True)
    assert EFFECTS == []


@pytest.mark.parametrize("eager", [False, True])
async def test_activities_pass_through_their_queue_and_its_limits_unless_configured_otherwise(
    client: Client, queue: str, threads: ThreadPoolExecutor, eager: bool
) -> None:
    """An activity dispatched eagerly, with the response to a workflow task, bypasses its queue."""
    await client.workflow_service.update_task_queue_config(
        UpdateTaskQueueConfigRequest(
            namespace=client.namespace,
            task_queue=queue,
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            update_queue_rate_limit=UpdateTaskQueueConfigRequest.RateLimitUpdate(
                rate_limit=RateLimit(requests_per_second=2)
            ),
        )
    )
    plugin = Governance().plugin(GRID, settings=Settings(eager_activities=eager))
    async with worker(client, queue, plugin, threads):
        handle = await start(client, queue, "again and again")
        await handle.result()
    times = [
        event.event_time.ToDatetime()
        for event in (await handle.fetch_history()).events
        if event.HasField("activity_task_started_event_attributes")
    ]
    assert len(times) == sidestep.CALLS
    assert (times[-1] - times[0] < timedelta(seconds=1)) is eager
