"""The activities of agents: a call's opening and closing, and its model turns.

Model output is checked here, not in workflow code, where an exception would make the workflow task fail and repeat. Nothing here needs a
provider's library: `worker/models.py` imports those, and is itself imported when an agent first uses a provider.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from temporalio import activity
from temporalio.exceptions import ApplicationError

from agentgrid.domain import nesting
from agentgrid.domain.agent_versions import CODE, AgentVersion, fitted
from agentgrid.domain.agents import (
    FINAL_ANSWER,
    OFFLINE,
    AgentEnd,
    AgentSpec,
    AskedCall,
    Hold,
    ModelCall,
    ModelTurn,
    OpenAgent,
)
from agentgrid.domain.asks import without_units
from agentgrid.domain.policies import Snapshot
from agentgrid.domain.switches import SwitchKind, Thing
from agentgrid.logging import get_logger
from agentgrid.protocol import ACTIVITY_CLOSE_AGENT, ACTIVITY_HOLD, ACTIVITY_OPEN_AGENT, ErrorType
from agentgrid.sdk.agents import PROMPT_SCHEMA, Agent
from agentgrid.sdk.schema import message_of
from agentgrid.sdk.tools import Tool
from agentgrid.worker.approvals import stale_policy
from agentgrid.worker.deltas import DeltaSender
from agentgrid.worker.governor import Governor
from agentgrid.worker.model_requests import Model, ModelAnswer, ModelTool, RawCall, model_fault, plain_message, streamed
from agentgrid.worker.offline import Offline

log = get_logger()

HEARTBEAT_SECONDS = 3.0
PROVIDERS = "agentgrid.worker.models"
MAX_ANSWER_BYTES = 500_000
"""A longer answer is dropped: history would store it again in every later turn."""
MAX_CALLS = 100
"""An answer with more calls is dropped: their results would fit neither the conversation nor one workflow task."""
MAX_FAULT = 1_000
"""How much of a fault the model is shown, in characters."""

Models = Callable[[str], Model]
"""Looks up a model by name."""


def model_named(name: str) -> Model:
    """The offline model, or a provider's model. Raises ApplicationError if the provider's library is not installed."""
    if name == OFFLINE:
        return Offline()
    try:
        # Not an import statement: a user's type checker would follow it into the providers' libraries, which takes minutes.
        model: Model = importlib.import_module(PROVIDERS).loaded(name)
    except ModuleNotFoundError as error:
        raise model_fault(
            f"{name} needs the extra `agents`: {error.name} is not installed. Install agentgrid[agents]",
            retryable=False,
        ) from None
    return model


async def load(model: str) -> None:
    """Import the provider's library in a thread: it takes seconds, and the worker's event loop must keep running."""
    if model == OFFLINE:
        return
    with contextlib.suppress(ModuleNotFoundError):
        providers = await asyncio.to_thread(importlib.import_module, PROVIDERS)
        await providers.load_library(model)


def agent_activities(
    agents: Sequence[Agent[Any]],
    tools: Sequence[Tool[..., Any]],
    governor: Governor,
    *,
    default_model: str,
    policy_wait_seconds: float,
    models: Models = model_named,
    deltas: DeltaSender | None = None,
) -> list[Any]:
    """The activities and local activities that a worker registers for its agents. deltas: sends answers to people watching the run."""
    registered = {agent.name: agent for agent in agents}
    known = {tool.name for tool in tools}

    @activity.defn(name=ACTIVITY_OPEN_AGENT)
    async def open_agent(request: OpenAgent) -> AgentSpec:
        agent = registered.get(request.agent)
        if agent is None:
            raise ApplicationError(
                f"the agent {request.agent} is not registered on this worker: add its package to the grid",
                type=ErrorType.AGENT_FAILED,
                non_retryable=True,
            )
        snapshot = governor.policy.snapshot
        if (stale := governor.stale(snapshot, writes=False)) is not None:
            raise stale_policy(stale.reason, request.call, activity.info().attempt, policy_wait_seconds)
        if snapshot is not None and (refusal := snapshot.refusal(Thing(SwitchKind.AGENT, agent.name))) is not None:
            raise ApplicationError(refusal, type=ErrorType.AGENT_DISABLED, non_retryable=True)
        spec = _version(agent, snapshot)
        return dataclasses.replace(
            spec,
            models=spec.models or [default_model],
            call=request.call,
            prompt=request.prompt,
            parent=request.parent,
            turn=request.turn,
        )

    @activity.defn(name=ACTIVITY_CLOSE_AGENT)
    async def close_agent(end: AgentEnd) -> AgentEnd:
        return end

    @activity.defn(name=ACTIVITY_HOLD)
    async def hold(why: Hold) -> Hold:
        return why

    return [open_agent, close_agent, hold, *(_turn_activity(agent, known, models, deltas) for agent in agents)]


def _version(agent: Agent[Any], snapshot: Snapshot | None) -> AgentSpec:
    """The agent's version for a new call: the one an operator chose, as far as this code allows it, or else the code's.

    Raises ApplicationError if the chosen version doesn't work with this code. Falling back could run the very version the operator replaced.
    """
    chosen = None if snapshot is None else snapshot.agents.get(agent.name)
    if chosen is None:
        return agent.spec()
    try:
        version = AgentVersion.model_validate(chosen)
        spec = fitted(agent.spec(), version)
    except ValueError as error:
        name = chosen.get("version")
        log.warning("agent_version_not_usable", agent=agent.name, version=name, error=message_of(error))
        raise ApplicationError(
            f"the version {name} of the agent {agent.name} can't be used with this worker's code: {message_of(error)}. Edit the agent, or go "
            f"back to the code's version with: agentgrid agent use {agent.name} {CODE}",
            type=ErrorType.AGENT_FAILED,
            non_retryable=True,
        ) from None
    if left_out := sorted(set(version.tools) - set(spec.tools)):
        log.warning("agent_tools_left_out", agent=agent.name, version=version.version, tools=left_out)
    return spec


def _turn_activity(
    agent: Agent[Any], known: set[str], models: Models, deltas: DeltaSender | None
) -> Callable[..., Any]:
    @activity.defn(name=agent.activity_type)
    async def turn(call: ModelCall) -> ModelTurn:
        began = time.perf_counter()
        offers = [_offer(tool) for tool in agent.tools if tool.name in call.tools]
        listener = deltas.begin(call) if deltas is not None else None
        try:
            async with _heartbeating():
                await load(call.model)
                answer = await streamed(models(call.model), call, offers, _final(call), listener)
        finally:
            if listener is not None:
                listener.end()
        return dataclasses.replace(
            _read(agent, call, answer, known),
            latency_ms=int((time.perf_counter() - began) * 1000),
            attempt=activity.info().attempt,
        )

    return turn


def _offer(tool: Tool[..., Any] | Agent[Any]) -> ModelTool:
    if isinstance(tool, Agent):
        return ModelTool(name=tool.name, description=tool.title, input_schema=PROMPT_SCHEMA)
    description = f"{tool.title}. {tool.description}".strip()
    schema = without_units(tool.signature.input_schema)
    return ModelTool(name=tool.name, description=description, input_schema=schema, risk=tool.risk)


def _final(call: ModelCall) -> ModelTool | None:
    if call.output_schema is None:
        return None
    schema = call.output_schema
    if not _is_object(schema):
        schema = {"type": "object", "properties": {"answer": schema}, "required": ["answer"]}
        if (definitions := call.output_schema.get("$defs")) is not None:
            schema["$defs"] = definitions
    return ModelTool(name=FINAL_ANSWER, description="Give the final answer.", input_schema=schema)


def _is_object(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "object"


def _read(agent: Agent[Any], call: ModelCall, answer: ModelAnswer, known: set[str]) -> ModelTurn:
    """Turn a model's answer into the loop's next step."""
    if (wrong := _unusable(answer)) is not None:
        # Temporal couldn't store it, or no provider would accept it in a later turn.
        return ModelTurn(
            message=plain_message([], f"(an answer that {wrong} was dropped)"),
            fault=f"Your answer {wrong}. Answer again, briefly.",
            usage=answer.usage,
            model=answer.model,
            provider=answer.provider,
            price=answer.price,
            finish=answer.finish,
        )
    turn = ModelTurn(
        message=answer.message,
        text=answer.text,
        usage=answer.usage,
        model=answer.model,
        provider=answer.provider,
        price=answer.price,
        finish=answer.finish,
    )
    if not answer.calls:
        if call.output_schema is None:
            return dataclasses.replace(turn, final=True, output=answer.text or "")
        return dataclasses.replace(turn, fault=f"Call {FINAL_ANSWER} to give the answer.")
    final = next((raw for raw in answer.calls if raw.name == FINAL_ANSWER and call.output_schema is not None), None)
    if final is not None and len(answer.calls) == 1:
        try:
            output = _final_output(agent, call, _arguments(final))
            return dataclasses.replace(turn, final=True, output=output, answer_id=final.id)
        except ValueError as error:
            fault = f"the answer does not fit: {message_of(error)}"[:MAX_FAULT]
            return dataclasses.replace(turn, calls=[AskedCall(id=final.id, name=final.name, fault=fault)])
    return dataclasses.replace(turn, calls=[_requested_call(agent, call, raw, known) for raw in answer.calls])


def _unusable(answer: ModelAnswer) -> str | None:
    """What is wrong with an answer as a whole, or None."""
    if len(answer.calls) > MAX_CALLS:
        return f"asks for {len(answer.calls):,} calls; at most {MAX_CALLS} at once are allowed"
    try:
        size = len(to_json([answer.message, answer.text], inf_nan_mode="strings"))
    except (ValueError, RecursionError):
        return "is not valid text"
    if size > MAX_ANSWER_BYTES:
        return f"has {size:,} bytes; at most {MAX_ANSWER_BYTES:,} are allowed"
    return "is nested too deeply" if nesting.is_deeper(answer.message, nesting.MAX_STORED - 10) else None


def _arguments(raw: RawCall) -> dict[str, Any]:
    """A call's arguments. Raises ValueError if they aren't a JSON object."""
    value = json.loads(raw.arguments) if isinstance(raw.arguments, str) else raw.arguments
    if not isinstance(value, dict):
        raise ValueError("the arguments must be a JSON object")
    if nesting.is_deeper(value, nesting.MAX_STORED - 20):
        raise ValueError("the arguments are nested too deeply")
    # NaN and lone surrogates aren't JSON: workflow code couldn't send them to the tool, and its task would fail again and again.
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    return value


def _final_output(agent: Agent[Any], call: ModelCall, value: dict[str, Any]) -> Any:
    """The answer as JSON, validated by the type in code and the version's schema. Raises ValueError."""
    from agentgrid.domain import schemas

    schema = call.output_schema or {}
    answer = value if _is_object(schema) else value.get("answer")
    if schema != agent.output_schema:
        faults = schemas.faults(schemas.compiled(schema), answer)
        if faults:
            raise ValueError("; ".join(f"{'.'.join(map(str, path)) or 'the value'}: {fault}" for path, fault in faults))
    return agent.adapter.dump_python(agent.adapter.validate_python(answer), mode="json")


def _requested_call(agent: Agent[Any], call: ModelCall, raw: RawCall, known: set[str]) -> AskedCall:
    requested = AskedCall(id=raw.id, name=raw.name)
    if raw.name == FINAL_ANSWER and call.output_schema is not None:
        return dataclasses.replace(requested, fault="The other calls come first: answer when you have their results.")
    tool = next((tool for tool in agent.tools if tool.name == raw.name and raw.name in call.tools), None)
    try:
        arguments = _arguments(raw)
        if tool is None:
            barred = raw.name in known
            fault = None if barred else f"there is no tool {raw.name!r}"[:MAX_FAULT]
            return dataclasses.replace(requested, args=arguments if barred else {}, fault=fault, barred=barred)
        _check(tool, arguments)
    except (ValidationError, ValueError, RecursionError) as error:
        return dataclasses.replace(requested, fault=f"wrong arguments: {message_of(error)}"[:MAX_FAULT])
    return dataclasses.replace(requested, args=arguments)


def _check(tool: Tool[..., Any] | Agent[Any], arguments: dict[str, Any]) -> None:
    if isinstance(tool, Agent):
        if not isinstance(arguments.get("prompt"), str) or len(arguments) != 1:
            raise ValueError("an agent takes one text, `prompt`")
        return
    tool.signature.load_arguments(arguments)


@contextlib.asynccontextmanager
async def _heartbeating() -> AsyncIterator[None]:
    """Heartbeat, so that a worker's death is noticed long before the request times out."""

    async def beat() -> None:
        while True:
            # Sleep first: each heartbeat is a request to Temporal, and most turns end before one is due.
            await asyncio.sleep(HEARTBEAT_SECONDS)
            activity.heartbeat()

    task = asyncio.create_task(beat(), name="agentgrid-model-heartbeat")
    try:
        yield
    finally:
        task.cancel()
