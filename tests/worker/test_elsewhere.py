"""Tools that aren't Python functions pass the same gate and are in the same catalog as all others."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import Replayer, Worker

from agentgrid.domain.canonical import digest
from agentgrid.errors import RegistrationError, RegistrationErrors
from agentgrid.sdk.grid import Grid
from agentgrid.sdk.toolsets import Toolset, tool_name
from agentgrid.testing import Governance
from agentgrid.worker import catalog
from tests.worker import elsewhere

GRID = Grid("elsewhere", elsewhere)
MONEY = {"to": "ann", "cents": 250}


async def started(client: Client, queue: str, *args: Any) -> Any:
    return await client.start_workflow("calls_with_json", args=args, id=f"json-{queue}", task_queue=queue)


async def test_a_destructive_tool_waits_for_approval_and_runs_with_the_approved_arguments(
    client: Client, queue: str
) -> None:
    governance = Governance()
    elsewhere.SEEN.clear()
    async with Worker(client, task_queue=queue, plugins=[governance.plugin(GRID)]):
        handle = await started(client, queue, "transfer", MONEY)
        terms = await governance.approve(handle)
        assert await handle.result() == {"sent": 250}
    version = elsewhere.bank["transfer"].version
    assert (terms.tool, terms.tool_version) == ("bank_transfer", version)
    assert terms.digest == digest(["bank_transfer", version, MONEY])
    assert [(terms.key, MONEY)] == elsewhere.SEEN
    replayer = Replayer(workflows=[], plugins=[governance.plugin(GRID)], data_converter=client.data_converter)
    await replayer.replay_workflow(await handle.fetch_history())


async def test_the_workers_log_names_a_toolset_that_fails_to_stop(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere.bank, "stop", AsyncMock(side_effect=OSError("stuck")))
    with capture_logs() as logged:
        async with Worker(client, task_queue=queue, plugins=[Governance().plugin(GRID)]):
            pass
    failures = [
        (entry["toolset"], str(entry["exc_info"])) for entry in logged if entry["event"] == "toolset_not_stopped"
    ]
    assert failures == [("bank", "stuck")]


@pytest.mark.parametrize(
    ("tool", "arguments", "kind", "message"),
    [
        ("transfer", {"to": "ann", "cents": 0, "more": 1}, "ToolInputInvalid", "cents: it is less than the minimum"),
        ("transfer", {"to": "nobody", "cents": 1}, "ToolOutputInvalid", 'it is not of type "object"'),
        ("transfer", "object", "ToolInputInvalid", "can't be represented in JSON"),
        ("transfer", "surrogate", "ToolInputInvalid", "can't be represented in JSON"),
        ("transfer", "nan", "ToolInputInvalid", "can't be represented in JSON"),
        ("transfer", "list", "ToolInputInvalid", "a JSON object"),
        ("double", {"number": "many"}, "ToolInputInvalid", "number: Input should be a valid integer"),
    ],
)
async def test_wrong_json_fails_the_call_at_once_and_never_wedges_the_run(
    client: Client, queue: str, tool: str, arguments: Any, kind: str, message: str
) -> None:
    governance = Governance()
    async with Worker(client, task_queue=queue, plugins=[governance.plugin(GRID)]):
        handle = await started(client, queue, tool, arguments)
        if kind == "ToolOutputInvalid":
            # Invalid arguments never open an approval.
            await governance.approve(handle)
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    cause = caught.value.cause.cause if isinstance(caught.value.cause, ActivityError) else caught.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.non_retryable) == (kind, True)
    assert message in cause.message


async def test_a_python_tool_can_be_called_with_json_and_never_runs_locally(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, plugins=[Governance().plugin(GRID)]):
        handle = await started(client, queue, "double", {"number": 4})
        assert await handle.result() == {"doubled": 8}
        events = [event async for event in handle.fetch_history_events()]
    scheduled = [event for event in events if event.HasField("activity_task_scheduled_event_attributes")]
    assert [event.activity_task_scheduled_event_attributes.activity_type.name for event in scheduled] == ["tool.double"]


def test_the_catalog_shows_its_schemas_and_its_version_follows_what_it_calls() -> None:
    entry = next(entry for entry in catalog.document(GRID, "queue")["tools"] if entry["name"] == "bank_transfer")
    assert (entry["input_schema"], entry["risk"], entry["description"]) == (
        elsewhere.TRANSFER,
        "destructive",
        "Sends it.",
    )
    versions = {
        elsewhere.bank_tool().version,
        elsewhere.bank_tool(pin={"path": "/other"}).version,
        elsewhere.bank_tool(input_schema={"type": "object", "maximum": 2**63}).version,
    }
    assert len(versions) == 3
    assert entry["version"] in versions


async def test_a_toolsets_faults_are_reported_with_the_place_of_its_declaration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = Toolset(
        "bank",
        tools={"transfer": elsewhere.bank_tool(title=" ", input_schema={"$ref": "#/$defs/missing"})},
        faults=["GET /: has no operationId"],
        declared=elsewhere.DECLARED,
    )
    monkeypatch.setattr(elsewhere, "bank", broken)
    with pytest.raises(RegistrationErrors) as caught:
        Grid("elsewhere", elsewhere).check()
    messages = [fault.message for fault in caught.value.faults]
    assert all(f"elsewhere.py:{elsewhere.DECLARED.line}" in message for message in messages)
    for part in ("GET /: has no operationId", "has no title", "its input schema can't be used"):
        assert any(part in message for message in messages), messages
    with pytest.raises(RegistrationError, match=r"has no tool 'nothing'; it has: transfer"):
        _ = broken["nothing"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("getCustomer", "crm_get_customer"), ("list-v2.Things", "crm_list_v2_things"), ("HTTPGet", "crm_http_get")],
)
def test_generated_names_are_valid_tool_names(name: str, expected: str) -> None:
    assert tool_name("crm", name) == expected


async def test_a_direct_call_checks_the_arguments_too() -> None:
    assert await elsewhere.bank["transfer"](MONEY) == {"sent": 250}
    with pytest.raises(ApplicationError, match='"to" is a required property'):
        await elsewhere.bank["transfer"]({"cents": 1})
