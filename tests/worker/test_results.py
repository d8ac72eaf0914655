"""Results of tools and workflows are checked against their annotations, without retries. A job ends like its attempt."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import Replayer, Worker

from agentgrid.domain.steps import JobStatus
from agentgrid.protocol import ToolCall, ToolOutcome
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from agentgrid.worker.telemetry import JobReport, Telemetry
from tests.worker import returning

GRID = Grid("returning", returning)
ACTIVITIES = [returning.plain_object, returning.plain_long, returning.handed_over, returning.plain_good]


@pytest.fixture
async def worker(client: Client, queue: str) -> Any:
    async with Worker(
        client,
        task_queue=queue,
        workflows=[returning.CallsPlain],
        activities=ACTIVITIES,
        plugins=[Governance().plugin(GRID)],
    ) as running:
        yield running


async def outcome(client: Client, queue: str, workflow: str, *args: str) -> Any:
    """A run's result, or the application error that ended it."""
    handle = await client.start_workflow(workflow, args=args, id=f"{workflow}-{queue}", task_queue=queue)
    try:
        async with asyncio.timeout(60):
            result: Any = await handle.result()
    except WorkflowFailureError as failure:
        cause = failure.cause.cause if isinstance(failure.cause, ActivityError) else failure.cause
        assert isinstance(cause, ApplicationError)
        result = cause
    replayer = Replayer(workflows=[], plugins=[Governance().plugin(GRID)], data_converter=client.data_converter)
    await replayer.replay_workflow(await handle.fetch_history())
    return result


@pytest.mark.parametrize(
    ("tool", "value"),
    [
        ("text", "nothing"),
        ("text", "number"),
        ("number", "words"),
        ("number", "digits"),
        ("number", "nothing"),
        ("fraction", "nan"),
        ("receipt", "wrong_dict"),
        ("receipt", "nothing"),
        ("receipt", "object"),
    ],
)
async def test_a_result_that_does_not_fit_the_tools_annotation_is_final_and_names_the_tool(
    worker: Any, client: Client, queue: str, tool: str, value: str
) -> None:
    error = await outcome(client, queue, "calls", tool, value)
    assert isinstance(error, ApplicationError), error
    assert (error.type, error.non_retryable, error.message.startswith(f"{tool}: ")) == ("ToolOutputInvalid", True, True)


@pytest.mark.parametrize(
    ("tool", "value", "expected"),
    [
        ("text", "words", "five"),
        ("number", "number", 5),
        ("fraction", "number", 5),
        ("receipt", "dict", {"number": 5, "note": ""}),
        ("receipt", "model", {"number": 5, "note": ""}),
    ],
)
async def test_a_result_that_decodes_as_the_annotation_passes(
    worker: Any, client: Client, queue: str, tool: str, value: str, expected: Any
) -> None:
    assert await outcome(client, queue, "calls", tool, value) == expected


async def test_a_result_from_a_worker_with_another_annotation_fails_the_call_too(client: Client, queue: str) -> None:
    """This happens during a deploy, or with another SDK. A plain error in workflow code would retry its task forever."""

    @activity.defn(name="tool.text")
    async def older(call: ToolCall) -> ToolOutcome:
        return ToolOutcome(result=None)

    plugin = Governance().plugin()
    async with Worker(client, task_queue=queue, workflows=[returning.Calls], activities=[older], plugins=[plugin]):
        error = await outcome(client, queue, "calls", "text", "words")
    assert (error.type, error.message.startswith("text: ")) == ("ToolOutputInvalid", True)


@pytest.mark.parametrize(
    ("workflow", "value"),
    [
        ("gives_number", "words"),
        ("gives_number", "digits"),
        ("gives_number", "nothing"),
        ("gives_number", "object"),
        ("gives_text", "number"),
        ("gives_text", "nothing"),
        ("gives_receipt", "wrong_dict"),
        ("gives_receipt", "nothing"),
        ("gives_receipt_or_nothing", "words"),
        ("gives_nothing", "number"),
    ],
)
async def test_a_workflow_result_that_does_not_fit_its_annotation_fails(
    worker: Any, client: Client, queue: str, workflow: str, value: str
) -> None:
    error = await outcome(client, queue, workflow, value)
    assert isinstance(error, ApplicationError), error
    assert (error.type, error.message.startswith(f"{workflow}: ")) == ("WorkflowOutputInvalid", True)


@pytest.mark.parametrize(
    ("workflow", "value", "expected"),
    [
        ("gives_number", "number", 5),
        ("gives_text", "words", "five"),
        ("gives_receipt", "model", {"number": 5, "note": ""}),
        ("gives_receipt", "dict", {"number": 5}),
        ("gives_receipt_or_nothing", "nothing", None),
        ("gives_nothing", "nothing", None),
    ],
)
async def test_a_workflow_result_that_fits_its_annotation_completes(
    worker: Any, client: Client, queue: str, workflow: str, value: str, expected: Any
) -> None:
    assert await outcome(client, queue, workflow, value) == expected


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[JobReport]:
    """The reports of attempts, in order."""
    reports: list[JobReport] = []
    monkeypatch.setattr(Telemetry, "job", lambda _, report: reports.append(report))
    return reports


async def test_the_job_of_an_attempt_with_an_unstorable_result_has_failed(
    worker: Any, client: Client, queue: str, jobs: list[JobReport]
) -> None:
    for name, kind in (("plain_object", None), ("plain_long", "PayloadTooLarge")):
        handle = await client.start_workflow("CallsPlain", name, id=f"{name}-{queue}", task_queue=queue)
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        last = jobs[-1]
        assert (last.activity_type, last.status, last.finished_at is not None) == (name, JobStatus.FAILED, True)
        assert last.error is not None
        assert kind in (None, last.error["type"])
    await client.execute_workflow("CallsPlain", "plain_good", id=f"good-{queue}", task_queue=queue)
    assert (jobs[-1].status, jobs[-1].error) == (JobStatus.COMPLETED, None)


async def test_an_attempt_completed_asynchronously_is_not_a_failed_job(
    worker: Any, client: Client, queue: str, jobs: list[JobReport]
) -> None:
    handle = await client.start_workflow("CallsPlain", "handed_over", id=f"handed-{queue}", task_queue=queue)
    token = await returning.TOKENS.get()
    await client.get_async_activity_handle(task_token=token).complete("by hand")
    assert await handle.result() == "by hand"
    assert [report.status for report in jobs] == [JobStatus.RUNNING]
