"""Registration faults of a project's agents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from agentgrid.domain.agents import FINAL_ANSWER, OFFLINE, PROVIDERS
from agentgrid.errors import RegistrationError
from agentgrid.sdk.agents import Agent, Budget
from agentgrid.sdk.faults import NAME
from agentgrid.sdk.schema import SCHEMA_ERRORS
from agentgrid.sdk.tools import Tool


def agent_faults(agents: Sequence[Agent[Any]], tools: Sequence[Tool[..., Any]]) -> Iterator[RegistrationError]:
    """The faults of these agents. tools: the grid's tools, the only ones that its worker runs."""
    seen: dict[str, Agent[Any]] = {}
    for agent in agents:
        for message in _faults_of(agent, agents, tools):
            yield RegistrationError(f"agent {agent.name!r}: {message}", file=agent.file, line=agent.line)
        if (other := seen.get(str(agent.name))) is not None:
            yield RegistrationError(
                f"agent {agent.name!r} is already registered at {other.file}:{other.line}",
                file=agent.file,
                line=agent.line,
            )
        seen[str(agent.name)] = agent


def _faults_of(agent: Agent[Any], agents: Sequence[Agent[Any]], tools: Sequence[Tool[..., Any]]) -> Iterator[str]:
    if not isinstance(agent.name, str) or NAME.fullmatch(agent.name) is None:
        yield f"the name must match {NAME.pattern}"
    if not agent.instructions.strip():
        yield "has no instructions"
    for model in agent.models:
        provider, _, name = str(model).partition(":")
        if model != OFFLINE and (provider not in PROVIDERS or not name):
            supported = ", ".join(f"{provider}:…" for provider in PROVIDERS)
            yield f"{model!r} is not a known model: use {supported} or {OFFLINE}"
    yield from _tool_faults(agent, agents, tools)
    try:
        agent.adapter.json_schema()
    except SCHEMA_ERRORS as error:
        yield f"its output can't be represented in JSON: {str(error).splitlines()[0]}"
    if agent.budget is None:
        yield "has no budget: limit what one call may use, e.g. budget=Budget(usd=0.50, requests=12)"
    elif not isinstance(agent.budget, Budget):
        yield "its budget must be a Budget"
    else:
        yield from _budget_faults(agent.budget)
    if not isinstance(agent.timeout, timedelta) or agent.timeout <= timedelta(0):
        yield "its timeout must be a positive timedelta"
    if type(agent.retries) is not int or not 0 <= agent.retries <= 20:
        yield "its retries must be 0 to 20"


def _tool_faults(agent: Agent[Any], agents: Sequence[Agent[Any]], tools: Sequence[Tool[..., Any]]) -> Iterator[str]:
    names: set[str] = set()
    for tool in agent.tools:
        if not isinstance(tool, (Tool, Agent)):
            yield f"{tool!r} is not a tool: decorate the function with agentgrid.tool"
            continue
        if tool.name in names:
            yield f"it has two tools named {tool.name!r}"
        names.add(tool.name)
        if tool.name == FINAL_ANSWER:
            yield f"the name {FINAL_ANSWER!r} is reserved for its answer"
        if not any(tool is known for known in (*tools, *agents)):
            yield f"{tool.name!r} is not in the grid: pass its package to Grid"
        if tool is agent:
            yield "it can't call itself"


def _budget_faults(budget: Budget) -> Iterator[str]:
    limits = budget.limits()
    named = {
        "requests": limits.requests,
        "tool_calls": limits.tool_calls,
        "tokens": limits.tokens,
        "usd": limits.usd,
        "seconds": limits.seconds,
    }
    if all(limit is None for limit in named.values()):
        yield "its budget has no limit: set at least one"
    for name, limit in named.items():
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, (int, float)) or limit <= 0):
            yield f"its budget's {name} must be a positive number"
    if limits.soft is not None and not 0 < limits.soft < 1:
        yield "its budget's soft must be between 0 and 1"
    if not budget.approvers or isinstance(budget.approvers, str):
        yield "its budget's approvers must be a non-empty sequence of names"
