"""Counts what an agent call uses, from history, and enforces its budget. Workflow code."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from agentgrid.domain.agents import AgentSpec, Hold, ModelTurn, Spent, Usage, add
from agentgrid.sdk.approvals import approval
from agentgrid.sdk.holds import hold
from agentgrid.sdk.state import WorkflowState

RAISE_EXPIRES = timedelta(days=7)
"""How long people have to raise a budget."""


class Meter:
    """The usage of one agent call and of the agents that it calls, or of a session and its calls."""

    def __init__(
        self,
        spec: AgentSpec,
        state: WorkflowState,
        *,
        approvers: tuple[str, ...],
        within: Meter | None,
        spent: Spent | None = None,
    ) -> None:
        """spent: what a session used before this call, if the budget is the session's."""
        self.spec, self.approvers, self.within = spec, approvers, within
        self.depth: int = 0 if spent is not None else 1 if within is None else within.depth + 1
        self.usage = Usage()
        self.turns = self.tool_calls = 0
        self.in_flight = 0
        """Requests without an answer yet. Parallel agents share their caller's budget."""
        self.granted = 1
        """How many times the budget was granted: once by the agent's version, then by people."""
        self.may_be_unpriced = False
        """Whether a person let it continue although the limit in dollars can't be enforced."""
        self.refused: ApplicationError | None = None
        """Why the budget was not raised. This ends the agent, even if the request came from an agent that it calls."""
        self._state = state
        self.began = self._clock()
        self.of = ""
        if spent is not None:
            self.usage, self.tool_calls, self.granted = spent.usage, spent.tool_calls, spent.granted
            self.may_be_unpriced = spent.may_be_unpriced
            self.began -= spent.seconds
            self.of = " of the session"
        self.checking = asyncio.Lock()

    def count(self, turn: ModelTurn) -> None:
        """Add a model turn."""
        self.turns += 1
        for meter in self._all():
            meter.usage = add(meter.usage, turn.usage)

    async def before_request(self) -> None:
        """Return when there is budget for one more model request, which is then in flight. Until then, request an approval or hold the run."""
        await self._check("requests")
        for meter in self._all():
            meter.in_flight += 1

    def after_request(self) -> None:
        """Record the end of the request. If it was answered, `count` must follow immediately."""
        for meter in self._all():
            meter.in_flight -= 1

    async def before_call(self) -> None:
        """Count one more tool call, like `before_request`."""
        await self._check("tool_calls")
        for meter in self._all():
            meter.tool_calls += 1

    def _all(self) -> Iterator[Meter]:
        """This meter and the meters of its callers."""
        meter: Meter | None = self
        while meter is not None:
            yield meter
            meter = meter.within

    async def _check(self, about: str) -> None:
        if self.within is not None:
            await self.within._check(about)
        # Calls of one turn run in parallel: only one of them may ask people.
        async with self.checking:
            while (over := self._over(1.0, about)) is not None:
                await self._hold(over)
                self.granted += 1
            if (unpriced := self._unpriced()) is not None:
                await self._hold(unpriced)
                self.may_be_unpriced = True
            soft = self.spec.limits.soft
            if soft is not None and (over := self._over(soft, about)) is not None:
                await self._ask(over)
                self.granted += 1

    async def _ask(self, used: str) -> None:
        # Other calls that waited for the same answer must not ask again.
        if self.refused is not None:
            raise self.refused
        try:
            await approval(
                f"Raise the budget of {self.spec.agent}",
                show={"agent": self.spec.agent, "used": used, "limits_granted": self.granted},
                approvers=self.approvers,
                expires=RAISE_EXPIRES,
            )
        except ApplicationError as error:
            self.refused = error
            raise

    async def _hold(self, why: str) -> None:
        await hold(Hold(reason="budget_exceeded", detail=why, agent=self.spec.agent, call=self.spec.call))

    def _clock(self) -> float:
        return workflow.time() - self._state.paused_seconds

    @property
    def seconds(self) -> float:
        """The wall time counted against the budget: it excludes pauses, both by people and by the run itself."""
        return self._clock() - self.began

    def _over(self, share: float, about: str) -> str | None:
        """A description of the first limit that leaves no room for one more, or None."""
        limits, usage = self.spec.limits, self.usage
        used: list[tuple[str, float, float | None]] = [
            ("tokens", usage.input_tokens + usage.output_tokens, limits.tokens),
            ("US dollars", usage.usd or 0.0, limits.usd),
            ("seconds", self.seconds, limits.seconds),
        ]
        if about == "requests":
            used.append(("model requests", usage.requests + self.in_flight, limits.requests))
        else:
            used.append(("tool calls", self.tool_calls, limits.tool_calls))
        for name, amount, limit in used:
            if limit is not None and amount >= limit * self.granted * share:
                return f"{_shown(amount)} of {_shown(limit * self.granted)} {name}{self.of}"
        return None

    def _unpriced(self) -> str | None:
        """Why the limit in dollars can't be enforced, or None."""
        limit, unpriced = self.spec.limits.usd, self.usage.unpriced
        if limit is None or not unpriced or self.may_be_unpriced:
            return None
        requests = "1 request has" if unpriced == 1 else f"{unpriced:,} requests have"
        return f"{requests} no known price, so the limit of {_shown(limit)} US dollars can't be enforced"


def _shown(amount: float) -> str:
    return f"{amount:,.4f}".rstrip("0").rstrip(".")
