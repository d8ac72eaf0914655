"""What the workflow half of the interceptors knows of one execution: whether it is paused, and its open gates.

The state lives in the inbound interceptor, never on the user's instance, and holds nothing that replay can't make again: no run id, no
clock but the workflow's, no environment.
"""

# No `from __future__ import annotations` here: the SDK reads the hints of both signal handlers in every execution, and texts cost it a compile.

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from pydantic import ValidationError
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from agentgrid.domain.approvals import Decision, Terms, Verdict, judge
from agentgrid.protocol import (
    HEADER_RUN,
    PATCH_GATE,
    SIGNAL_CONTROL,
    SIGNAL_DECIDE,
    TIMER_APPROVAL,
    TIMER_POLICY,
    ControlSignal,
    ErrorType,
    PolicyWait,
    RunHeader,
    is_gate_build,
    to_payload,
)

KEY_DIGITS = 24
"""An idempotency key has 96 bits: unique among the calls of all runs."""

MAX_SIGNAL_BYTES = 8192

BUILDS_ARE_KEPT = "agentgrid_builds_are_kept"
"""The function outside the sandbox that says whether the server's history keeps the builds of workers."""

BEGINNING = 3
"""The events before the first task's commands, where nothing came between: the start, the task scheduled, the task started."""


@dataclass(kw_only=True)
class Gate:
    """One open approval."""

    terms: Terms
    until: datetime
    voided: asyncio.Future[None]
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
class Patience:
    """How often one call has waited for a policy that is not too old."""

    tries: int = 0

    async def waited(self, error: BaseException | None) -> bool:
        """Whether the call failed for that, and is to be made again now: after a durable timer, and not for ever."""
        wait = policy_wait_in(error)
        if wait is None or wait.over(self.tries):
            return False
        pause = timedelta(seconds=wait.pause_seconds(self.tries))
        self.tries += 1
        await workflow.sleep(pause, summary=TIMER_POLICY + wait.key)
        return True


def policy_wait_in(error: BaseException | None) -> PolicyWait | None:
    """What a `PolicyStale` failure says of waiting, or None for any other."""
    if not isinstance(error, ApplicationError) or error.type != ErrorType.POLICY_STALE or not error.details:
        return None
    try:
        return PolicyWait.model_validate(error.details[0])
    except ValidationError:
        return None


@dataclass(kw_only=True)
class RunState:
    """The state of one execution. Made in the interceptor's `init`, so that no signal slips to a user's dynamic handler."""

    opened: bool = False
    began: bool | None = None
    """Whether it began under the plugin; None while a replay can't tell yet."""
    header: RunHeader = field(default_factory=lambda: RunHeader(tree=""))
    asked: Literal["pause", "resume"] | None = None
    """The last control signal; it may come before the headers are read."""
    gates: dict[str, Gate] = field(default_factory=dict)
    generation: int = 0
    told: tuple[bool, Payload] | None = None
    origin: str | None = None
    calls: dict[bytes, int] = field(default_factory=dict)
    """How often each call, by its type and arguments, was made so far."""

    def install(self) -> None:
        """Own the two signals, and hear of resets. In the interceptor's `init` the SDK answers nothing about the execution yet."""
        workflow.register_random_seed_callback(self._reseeded)
        workflow.set_signal_handler(SIGNAL_DECIDE, self.on_decide)
        workflow.set_signal_handler(SIGNAL_CONTROL, self.on_control)

    def open(self) -> None:
        """Look, in the first activation, at what tells of the beginning: the build of the worker that completed the first task.

        A worker that its build doesn't tell marks what it begins, for a third write to visibility. So does one that it tells, unless these
        are the very first events: an empty task of a plain worker may lie before, and a replay would go by that one where an update follows.
        """
        if self.opened:
            return
        self.opened = True
        info = workflow.info()
        version = info.get_current_deployment_version()
        kept = workflow.extern_functions()[BUILDS_ARE_KEPT]()
        named = kept and version is not None and is_gate_build(version.build_id)
        if workflow.unsafe.is_replaying():
            self.began = True if named else None
        else:
            self.began = True if named and info.get_current_history_length() == BEGINNING else _marked()

    def governed(self) -> bool:
        """Whether calls are governed: the same in every replay, on whichever worker.

        An execution that was open before is plain for ever, once it has made a call; until then nothing tells it from one that begins.
        """
        self.open()
        if self.began is None:
            self.began = _marked()
        return self.began

    def begin(self, headers: Mapping[str, Payload]) -> None:
        """Take what the start event says of the run: its tree, initiator and whether it continues a paused one."""
        self.header, self.told = RunHeader(tree=workflow.info().first_execution_run_id), None
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

    @property
    def run_header(self) -> Payload:
        """What activities, children and the next execution are told of the run; made anew only when it changes."""
        if self.told is None or self.told[0] != self.paused:
            self.told = (self.paused, to_payload(self.header.model_copy(update={"paused": self.paused})))
        return self.told[1]

    def _reseeded(self, _seed: int) -> None:
        """A reset forked here: every open gate is void. The SDK checks wait conditions only after something ran, so wake each waiter."""
        self.generation += 1
        for gate in self.gates.values():
            if not gate.voided.done():
                gate.voided.set_result(None)

    def next_key(self, name: str, content: bytes) -> str:
        """The idempotency key of a new call: the same on every replay, and when a reset makes the call again.

        It names the n-th call of this type with this content in this execution, as counted from its start event, which a reset copies:
        an effect that landed before the reset is not repeated, one with other arguments is a new one (decision 0011).
        """
        if self.origin is None:
            info = workflow.info()
            self.origin = f"{info.first_execution_run_id}/{info.continued_run_id or ''}/{info.attempt}"
        what = hashlib.sha256(f"{self.origin}/{name}/".encode() + content).digest()
        count = self.calls[what] = self.calls.get(what, 0) + 1
        return hashlib.sha256(what + str(count).encode()).hexdigest()[:KEY_DIGITS]

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

    async def wait(self, terms: Terms, asked: int | None = None) -> Outcome:
        """Wait for a decision under these terms, their expiry, or a reset. Expiry never approves.

        asked: the generation in which the question was asked, where that can be an earlier one. Such terms may name the execution that was
        reset, so the gate is void. A local activity's answer is always of this generation: a reset drops it with its workflow task.
        """
        generation = self.generation
        if asked is not None and asked != generation:
            return Outcome()
        expiry = timedelta(seconds=terms.expires_seconds)
        voided = asyncio.get_running_loop().create_future()
        # The loop runs, and so checks wait conditions, only if a callback is scheduled; a future without one schedules none.
        voided.add_done_callback(lambda _: None)
        gate = self.gates[terms.approval_id] = Gate(terms=terms, until=workflow.now() + expiry, voided=voided)
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


def _marked() -> bool:
    """Whether the marker stands in history, or, where nothing has been written yet, now does."""
    workflow.deprecate_patch(PATCH_GATE)
    return workflow.patched(PATCH_GATE)


def current_state() -> RunState | None:
    """The state of the execution that runs now, or None where its worker has no plugin."""
    handler = workflow.get_signal_handler(SIGNAL_CONTROL)
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, RunState) else None


def approved(outcome: Outcome) -> bool:
    """Whether the gate let the call through."""
    return outcome.decision is not None and outcome.decision.verdict is Verdict.APPROVED
