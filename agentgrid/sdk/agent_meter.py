"""What a call of an agent has used, counted from history, and the one place where its budget is enforced. Workflow code."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow

from agentgrid.domain.agents import AgentSpec, Hold, ModelTurn, Spent, Usage, add
from agentgrid.sdk.approvals import approval
from agentgrid.sdk.holds import hold

RAISE_EXPIRES = timedelta(days=7)
"""How long people may take to raise a budget."""


class Meter:
    """The usage of one call, and of the agents that it calls; or of a session, and its calls."""

    def __init__(
        self, spec: AgentSpec, *, approvers: tuple[str, ...], within: Meter | None, spent: Spent | None = None
    ) -> None:
        """spent: what the session has used before this call, if the budget is a session's."""
        self.spec, self.approvers, self.within = spec, approvers, within
        self.depth: int = 0 if spent is not None else 1 if within is None else within.depth + 1
        self.usage = Usage()
        self.turns = self.tool_calls = 0
        self.granted = 1
        """How often the budget was granted: once by the agent's version, then by people."""
        self.began = workflow.time()
        self.of = ""
        if spent is not None:
            self.usage, self.tool_calls, self.granted = spent.usage, spent.tool_calls, spent.granted
            self.began -= spent.seconds
            self.of = " of the session"
        self.checking = asyncio.Lock()

    def count(self, turn: ModelTurn) -> None:
        """Add a model turn."""
        self.turns += 1
        self._add(turn.usage)

    def _add(self, usage: Usage) -> None:
        self.usage = add(self.usage, usage)
        if self.within is not None:
            self.within._add(usage)

    async def before_request(self) -> None:
        """Return while there is budget for one more model request; otherwise ask people, or hold the run."""
        await self._check("requests")

    async def before_call(self) -> None:
        """Count one more call of a tool, as `before_request` does."""
        await self._check("tool_calls")
        meter: Meter | None = self
        while meter is not None:
            meter.tool_calls += 1
            meter = meter.within

    async def held(self, why: Hold) -> None:
        """Hold the run. The time until it is resumed does not count, nor for the agents that called this one."""
        began = workflow.time()
        try:
            await hold(why)
        except asyncio.CancelledError:
            self._away(workflow.time() - began)
            raise
        self._away(workflow.time() - began)

    def _away(self, seconds: float) -> None:
        self.began += seconds
        if self.within is not None:
            self.within._away(seconds)

    async def _check(self, about: str) -> None:
        if self.within is not None:
            await self.within._check(about)
        # Calls of one turn run in parallel: one of them asks for all.
        async with self.checking:
            while (over := self._over(1.0, about)) is not None:
                await self.held(Hold(reason="budget_exceeded", detail=over, agent=self.spec.agent, call=self.spec.call))
                self.granted += 1
            soft = self.spec.limits.soft
            if soft is not None and (over := self._over(soft, about)) is not None:
                await approval(
                    f"Raise the budget of {self.spec.agent}",
                    show={"agent": self.spec.agent, "used": over, "limits_granted": self.granted},
                    approvers=self.approvers,
                    expires=RAISE_EXPIRES,
                )
                self.granted += 1

    @property
    def seconds(self) -> float:
        """The wall time that counts."""
        return workflow.time() - self.began

    def _over(self, share: float, about: str) -> str | None:
        """Which limit has no room for one more, as text, or None."""
        limits, usage = self.spec.limits, self.usage
        used: list[tuple[str, float, float | None]] = [
            ("tokens", usage.input_tokens + usage.output_tokens, limits.tokens),
            ("US dollars", usage.usd or 0.0, limits.usd),
            ("seconds", self.seconds, limits.seconds),
        ]
        if about == "requests":
            used.append(("model requests", usage.requests, limits.requests))
        else:
            used.append(("tool calls", self.tool_calls, limits.tool_calls))
        for name, taken, limit in used:
            if limit is not None and taken >= limit * self.granted * share:
                return f"{taken:g} of {limit * self.granted:g} {name}{self.of}"
        if limits.usd is not None and usage.unpriced and share == 1.0 and self.granted == 1:
            return f"{usage.unpriced} requests have no known price, so the limit of {limits.usd:g} US dollars can't be kept"
        return None
