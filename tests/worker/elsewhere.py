"""A toolset declared by hand, a Python tool, and a workflow that calls both with JSON."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

from temporalio import workflow

import agentgrid as ag
from agentgrid.sdk.json_tools import Declared, JsonTool
from agentgrid.sdk.toolsets import Toolset

DECLARED = Declared.at(sys._getframe(0))
SEEN: list[tuple[str, Any]] = []
"""Idempotency key and arguments of each call."""

TRANSFER = {
    "type": "object",
    "properties": {"to": {"type": "string"}, "cents": {"type": "integer", "minimum": 1}},
    "required": ["to", "cents"],
    "additionalProperties": False,
}


async def _transfer(arguments: dict[str, Any]) -> Any:
    SEEN.append((ag.idempotency_key(), arguments))
    return {"sent": arguments["cents"]} if arguments["to"] != "nobody" else "nothing"


def bank_tool(**over: Any) -> JsonTool:
    fields: dict[str, Any] = {
        "name": "bank_transfer",
        "title": "Transfer money",
        "description": "Sends it.",
        "input_schema": TRANSFER,
        "output_schema": {"type": "object"},
        "risk": "destructive",
        "timeout": timedelta(seconds=20),
        "retries": 0,
        "pin": {"path": "/transfers"},
        "declared": DECLARED,
    }
    return JsonTool(_transfer, **(fields | over))


bank = Toolset("bank", tools={"transfer": bank_tool()}, declared=DECLARED)


@ag.tool(title="Double", risk="read", timeout=timedelta(seconds=20), local=True)
async def double(number: int) -> dict[str, int]:
    return {"doubled": number * 2}


ARGUMENTS: dict[str, Any] = {
    "object": object(),
    "surrogate": {"to": "\ud800", "cents": 1},
    "nan": {"to": "a", "cents": float("nan")},
    "list": [1],
}


@ag.workflow(title="Calls with JSON")
class CallsWithJson:
    @workflow.run
    async def run(self, tool: str, arguments: Any) -> Any:
        called = double if tool == "double" else bank["transfer"]
        return await called.call(ARGUMENTS.get(arguments, arguments) if isinstance(arguments, str) else arguments)
