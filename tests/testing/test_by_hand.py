"""The provider as a process, its built-in script, and the cost of importing it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema_rs
import pytest
from pydantic import BaseModel, Field, TypeAdapter

from agentgrid.testing.ledger import read_log
from agentgrid.testing.provider import Provider
from agentgrid.testing.samples import sample
from tests.testing.clients import MODELS, model
from worker import grid


def in_fresh_process(code: str) -> Any:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_turns_and_the_package_load_no_server() -> None:
    code = (
        "import json, sys; import agentgrid.testing, agentgrid.testing.turns; "
        "print(json.dumps([m for m in ('uvicorn', 'starlette', 'fastapi', 'httpx') if m in sys.modules])); "
    )
    assert in_fresh_process(code) == []


async def test_a_provider_started_by_hand_answers_and_its_log_survives_a_kill(tmp_path: Path) -> None:
    from openai import AsyncOpenAI

    log = tmp_path / "log.jsonl"
    arguments = (sys.executable, "-m", "agentgrid.testing.provider", "--port", "0", "--log", str(log))
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            first, setting = [(await process.stdout.readline()).decode().strip() for _ in range(2)]
        assert first.startswith("Listening on http://127.0.0.1:")
        client = AsyncOpenAI(base_url=setting.removeprefix("export OPENAI_BASE_URL="), api_key="any", max_retries=0)
        tools: list[Any] = [
            {"type": "function", "function": {"name": tool.name, "parameters": tool.signature.input_schema}}
            for tool in grid.tools[:3]
        ]
        messages: list[Any] = [{"role": "user", "content": "begin"}]
        begun = await client.chat.completions.create(model="m", messages=messages, tools=tools)
        calls = begun.choices[0].message.tool_calls or []
        assert [call.function.name for call in calls if call.type == "function"] == [
            tool.name for tool in grid.tools[:2]
        ]
        messages += [
            begun.choices[0].message.model_dump(exclude_none=True),
            *({"role": "tool", "tool_call_id": call.id, "content": "it works"} for call in calls),
        ]
        ended = await client.chat.completions.create(model="m", messages=messages, tools=tools)
        assert (ended.choices[0].message.content or "").count("it works") == 2
    finally:
        process.kill()
        await process.wait()
    assert [(request.turn, request.answered) for request in read_log(log)] == [(0, True), (1, True)]


class Reply(BaseModel):
    text: Annotated[str, Field(min_length=10)]
    urgent: bool


@pytest.mark.parametrize("protocol", MODELS)
async def test_an_agent_works_with_the_built_in_script(protocol: str) -> None:
    from pydantic_ai import Agent

    called: list[int] = []

    def get_order(number: Annotated[int, Field(ge=1000)]) -> str:
        called.append(number)
        return "shipped"

    async with Provider() as provider:
        done = await Agent(model(provider, protocol), output_type=Reply, tools=[get_order]).run("Where is it?")
        assert (done.output, called) == (Reply(text="example...", urgent=False), [1000])
        assert done.usage.requests == len(provider.requests) == 2
        assert done.usage.input_tokens == provider.billed.input_tokens


class Line(BaseModel):
    sku: Annotated[str, Field(pattern=r"^[A-Z]\d+$")]
    quantity: Annotated[int, Field(gt=0, le=99, multiple_of=3)]
    price: Annotated[float, Field(gt=0, lt=0.5)]


class Order(BaseModel):
    kind: Literal["new", "old"]
    lines: Annotated[list[Line], Field(min_length=2)]
    parent: Order | None
    note: str | None
    code: Annotated[str, Field(min_length=12, max_length=12)]
    pair: tuple[int, bool]


@pytest.mark.parametrize(
    "schema",
    [*(tool.signature.input_schema for tool in grid.tools), TypeAdapter(Order).json_schema()],
    ids=[*(tool.name for tool in grid.tools), "order"],
)
def test_a_sample_fits_its_schema(schema: dict[str, Any]) -> None:
    jsonschema_rs.validate(schema, sample(schema), validate_formats=True)
