"""What the workflow half of the interceptors knows of one execution: whether it is paused, and its open gates.

The state lives in the inbound interceptor, never on the user's instance, and holds nothing that replay can't make again: no run id, no
clock but the workflow's, no environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Literal

from pydantic import ValidationError
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from agentgrid.domain.approvals import Decision, Terms, Verdict, judge
from agentgrid.protocol import (
    HEADER_RUN,
    SIGNAL_CONTROL,
    SIGNAL_DECIDE,
    TIMER_APPROVAL,
    ControlSignal,
    RunHeader,
)

KEY_BITS = 96
"""An idempotency key is unique among the calls of all runs."""

MAX_SIGNAL_BYTES = 8192


@dataclass(kw_only=True)
class Gate:
    """One open approval."""

    terms: Terms
    until: datetime
    decision: Decision | None = None
    raw: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a gate closed: a decision with its raw text, expiry, or void (a reset forked here, so policy is asked again)."""

    decision: Decision | None = None
    raw: str = ""
    expired: bool = False

    @property
    def void(self) -> bool:
        """Whether the call must be made again without a decision."""
        return self.decision is None and not self.expired


@dataclass(kw_only=True)
class RunState:
    """The state of one execution. Made in the interceptor's `init`, so that no signal slips to a user's dynamic handler."""

    header: RunHeader = field(default_factory=lambda: RunHeader(tree=""))
    random: Random = field(default_factory=Random)
    asked: Literal["pause", "resume"] | None = None
    """The last control signal; it may come before the headers are read."""
    gates: dict[str, Gate] = field(default_factory=dict)
    generation: int = 0

    def install(self) -> None:
        """Own the two signals, and hear of resets. In the interceptor's `init` the SDK answers nothing about the execution yet."""
        self.random = workflow.new_random("agentgrid")
        workflow.register_random_seed_callback(self._reseeded)
        workflow.set_signal_handler(SIGNAL_DECIDE, self.on_decide)
        workflow.set_signal_handler(SIGNAL_CONTROL, self.on_control)

    def begin(self, headers: Mapping[str, Payload]) -> None:
        """Take what the start event says of the run: its tree, initiator and whether it continues a paused one."""
        self.header = RunHeader(tree=workflow.info().first_execution_run_id)
        payload = headers.get(HEADER_RUN)
        if payload is not None:
            try:
                self.header = RunHeader.model_validate_json(payload.data)
            except ValidationError:
                workflow.logger.warning("the header %s is not readable and was ignored", HEADER_RUN)

    @property
    def paused(self) -> bool:
        """Whether calls are held."""
        return self.header.paused if self.asked is None else self.asked == "pause"

    def _reseeded(self, _seed: int) -> None:
        self.generation += 1

    def next_key(self) -> str:
        """The idempotency key of a new call: the same on every replay. A reset reseeds: calls made anew after it get new keys."""
        return f"{self.random.getrandbits(KEY_BITS):024x}"

    def on_decide(self, payload: RawValue) -> None:
        """Take a decision signal: it moves the gate that it is valid for, and nothing else. Never raises."""
        raw = payload.payload.data
        for gate in self.gates.values():
            if gate.decision is None and workflow.now() < gate.until:
                judgement = judge(gate.terms, raw)
                if judgement.verdict is not None and judgement.decision is not None:
                    gate.decision, gate.raw = judgement.decision, raw.decode()

    def on_control(self, payload: RawValue) -> None:
        """Take a pause or resume. Never raises."""
        data = payload.payload.data
        if len(data) > MAX_SIGNAL_BYTES:
            return
        try:
            signal = ControlSignal.model_validate_json(data)
        except ValidationError:
            return
        self.asked = signal.action

    async def resumed(self) -> None:
        """Return at once unless paused, else after resume."""
        if self.paused:
            await workflow.wait_condition(lambda: not self.paused)

    async def wait(self, terms: Terms) -> Outcome:
        """Wait for a decision under these terms, their expiry, or a reset. Expiry never approves."""
        expiry = timedelta(seconds=terms.expires_seconds)
        generation = self.generation
        gate = self.gates[terms.approval_id] = Gate(terms=terms, until=workflow.now() + expiry)
        try:
            await workflow.wait_condition(
                lambda: gate.decision is not None or self.generation != generation,
                timeout=expiry,
                timeout_summary=TIMER_APPROVAL + terms.approval_id,
            )
        except TimeoutError:
            return Outcome(expired=True)
        finally:
            self.gates.pop(terms.approval_id, None)
        if self.generation != generation:
            return Outcome()
        return Outcome(decision=gate.decision, raw=gate.raw)


def current_state() -> RunState | None:
    """The state of the execution that runs now, or None where its worker has no plugin."""
    handler = workflow.get_signal_handler(SIGNAL_CONTROL)
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, RunState) else None


def approved(outcome: Outcome) -> bool:
    """Whether the gate let the call through."""
    return outcome.decision is not None and outcome.decision.verdict is Verdict.APPROVED
