"""How a worker applies the version of an agent that an operator chose."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agentgrid.testing import Turn
from tests.agents import desk
from tests.agents.conftest import UNCACHED_TOO, Desk, final, look
from tests.agents.test_conversations import DONE, REFUND, failure, history_names, seen

CODE = desk.desk.spec()


@contextmanager
def chosen(running: Desk, **fields: Any) -> Iterator[None]:
    """An operator's version of the agent `desk`, as workers receive it."""
    version = {
        "version": "edit-1",
        "made_for": CODE.version,
        "models": ["openai:other"],
        "instructions": "Refund nobody.",
        "tools": ["get_order"],
        "output_schema": CODE.output_schema,
        "limits": {"requests": 5},
    }
    running.governance.change(agents={"desk": version | fields})
    try:
        yield
    finally:
        running.governance.change(agents={})


@UNCACHED_TOO
async def test_a_new_call_uses_the_operators_version_and_an_open_one_keeps_its_own(running: Desk):
    opened = await running.start("help_desk", [look_and_refund(), final(**DONE)])
    await running.governance.pending(opened)
    with chosen(running):
        later = await running.start("help_desk", [Turn(calls=[look()]), final(**DONE)])
        await later.result()
        await running.governance.approve(opened)
        await opened.result()
        # A replay under the edit: history records the version that each call is pinned to.
        await running.replays(opened)
    for request in running.requests_of(opened):
        assert request.messages[0].text == CODE.instructions
        assert {"get_order", "refund_order"} < {tool.name for tool in request.tools}
    for request in running.requests_of(later):
        assert (request.messages[0].text, request.model) == ("Refund nobody.", "openai:other")
        assert {tool.name for tool in request.tools} == {"get_order", "final_answer"}
    await running.replays(later)


def look_and_refund() -> Turn:
    return Turn(calls=[look(), REFUND])


async def test_a_tool_missing_from_the_version_is_denied_although_the_code_has_it(running: Desk):
    refunds = len(desk.REFUNDS)
    with chosen(running):
        handle = await running.start("help_desk", [Turn(calls=[REFUND]), final(**DONE)])
        await handle.result()
    assert seen(running.requests_of(handle)[1]) == [
        "PolicyDenied: the version edit-1 of the agent desk may not use refund_order"
    ]
    assert (await history_names(handle, "tool.refund_order"), len(desk.REFUNDS)) == (1, refunds)


async def test_a_narrower_output_is_enforced_and_the_model_is_told_the_mismatch(running: Desk):
    schema = copy.deepcopy(CODE.output_schema)
    assert schema is not None
    schema["properties"]["refunded"] = {"const": False}
    with chosen(running, output_schema=schema):
        handle = await running.start("help_desk", [final(**DONE), final(**{**DONE, "refunded": False})])
        assert (await handle.result())["refunded"] is False
    assert seen(running.requests_of(handle)[1])[0].startswith("the answer does not fit: refunded:")


async def test_a_version_never_gives_more_than_this_workers_code(running: Desk):
    """The snapshot may be meant for newer code, or the database may have been tampered with."""
    with chosen(running, tools=["get_order", "delete_customer"], limits={"requests": 10_000, "usd": None}):
        handle = await running.start("help_desk", [final(**DONE)])
        await handle.result()
        (request,) = running.requests_of(handle)
        assert {tool.name for tool in request.tools} == {"get_order", "final_answer"}


async def test_a_version_unusable_with_this_workers_code_fails_the_call_before_any_model_request(running: Desk):
    for fields in ({"output_schema": {"type": "object"}}, {"limits": "unlimited"}):
        with chosen(running, **fields):
            handle = await running.start("help_desk", [final(**DONE)])
            error = await failure(handle)
        assert error.type == "AgentFailed"
        assert "the version edit-1 of the agent desk can't be used with this worker's code" in error.message
        assert "agentgrid agent use desk code" in error.message
        assert running.requests_of(handle) == []
