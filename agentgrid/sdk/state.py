"""The workflow half's state of one execution: whether it is paused, and its open approvals.

The state belongs to the inbound interceptor, not to the user's instance, and contains only what a replay can reproduce: no run id, no clock except
the workflow's, no environment.
"""

# No `from __future__ import annotations` here: the SDK reads the hints of both signal handlers in every execution, and would have to compile strings.

import asyncio
import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from pydantic import ValidationError
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from agentgrid.domain.approvals import MAX_DECISION_BYTES, Decision, Terms, Verdict, judge, read_signal
from agentgrid.protocol import (
    HEADER_RUN,
    PATCH_GATE,
    SIGNAL_CONTROL,
    SIGNAL_DECIDE,
    TIMER_APPROVAL,
    TIMER_JUDGING,
    TIMER_POLICY,
    ControlSignal,
    ErrorType,
    PolicyWait,
    RunHeader,
    is_gate_build,
    to_payload,
)
from agentgrid.sdk.agent_interrupts import Interruptions

KEY_DIGITS = 24
"""A call key has 96 bits: unique across the calls of all runs."""

MAX_SIGNAL_BYTES = 8192

JUDGED_AT_ONCE = 500
"""Maximum number of signatures that one workflow task verifies, at 0.3 ms each. Temporal accepts 10,000 signals per execution, and the SDK fails a
task after two seconds, on every attempt: without this limit, forged decisions could stop a run permanently."""

BUILDS_ARE_RECORDED = "agentgrid_builds_are_recorded"
"""Name of a function outside the sandbox that returns whether the server's history keeps worker builds."""

BEGINNING = 3
"""The length of history in an undisturbed first workflow task: execution started, task scheduled, task started."""


@dataclass(kw_only=True)
class OpenApproval:
    """One open approval."""

    terms: Terms
    until: datetime
    voided: asyncio.Future[None]
    decision: Decision | None = None
    raw: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an approval closed: by a decision, with its raw text; by expiry; or void, after a reset, so that policy is checked again."""

    decision: Decision | None = None
    raw: str = ""
    expired: bool = False

    @property
    def void(self) -> bool:
        """Whether the call must be made again without a decision."""
        return self.decision is None and not self.expired

    @property
    def approval(self) -> Decision | None:
        """The decision that lets the call through, if there is one."""
        return self.decision if self.decision is not None and self.decision.verdict is Verdict.APPROVED else None


@dataclass(kw_only=True)
class Patience:
    """Counts how many times one call has waited for a fresh policy."""

    tries: int = 0

    async def waited(self, error: BaseException | None) -> bool:
        """If the call failed because of a stale policy, wait on a durable timer. Returns whether to make the call again, which is limited."""
        wait = policy_wait_in(error)
        if wait is None or wait.over(self.tries):
            return False
        pause = timedelta(seconds=wait.pause_seconds(self.tries))
        self.tries += 1
        await workflow.sleep(pause, summary=TIMER_POLICY + wait.key)
        return True


def policy_wait_in(error: BaseException | None) -> PolicyWait | None:
    """The wait details of a `PolicyStale` failure, or None for any other error."""
    if not isinstance(error, ApplicationError) or error.type != ErrorType.POLICY_STALE or not error.details:
        return None
    try:
        return PolicyWait.model_validate(error.details[0])
    except ValidationError:
        return None


@dataclass(kw_only=True)
class WorkflowState:
    """The state of one execution. Created in the interceptor's `init`, so that no signal reaches a user's dynamic handler."""

    opened: bool = False
    began: bool | None = None
    """Whether it began under the plugin; None while a replay doesn't know yet."""
    header: RunHeader = field(default_factory=lambda: RunHeader(tree=""))
    last_action: Literal["pause", "resume"] | None = None
    """The last control signal. It may arrive before the headers are read."""
    paused_since: float | None = None
    paused_before: float = 0.0
    """Total seconds of the pauses that have ended."""
    at_work: list[Interruptions] = field(default_factory=list)
    """One for each agent call currently made by workflow code, in order. Agents that such an agent calls are stopped with it."""
    resumed_since: bool = False
    """Whether the run was resumed after the last interruption."""
    approvals: dict[str, OpenApproval] = field(default_factory=dict)
    """The open approvals, by id."""
    generation: int = 0
    """The number of resets so far."""
    encoded: tuple[bool, Payload] | None = None
    origin: str | None = None
    calls: dict[bytes, int] = field(default_factory=dict)
    """How many times each call was made so far, by type and arguments."""
    unjudged: deque[tuple[OpenApproval, bytes]] = field(default_factory=deque)
    """Decisions that arrived while their approval was open, and are not judged yet because of the limit per workflow task."""
    judged: tuple[datetime | None, int] = (None, 0)
    """The number of decisions that this workflow task has judged, with the task's time."""

    def install(self) -> None:
        """Register the two signals and the reset callback. Called in the interceptor's `init`, where no execution info is available yet."""
        workflow.register_random_seed_callback(self._reseeded)
        workflow.set_signal_handler(SIGNAL_DECIDE, self.on_decide)
        workflow.set_signal_handler(SIGNAL_CONTROL, self.on_control)

    def open(self) -> None:
        """In the first activation, determine whether the execution began under the plugin, from the build that completed the first task.

        A worker without such a build writes the marker, at the cost of a third visibility write. A worker with one writes it too, unless its task is
        the first in history: an empty task of a plain worker may come first, and a replay uses that task's build if an update follows.
        """
        if self.opened:
            return
        self.opened = True
        info = workflow.info()
        version = info.get_current_deployment_version()
        recorded = workflow.extern_functions()[BUILDS_ARE_RECORDED]()
        named = recorded and version is not None and is_gate_build(version.build_id)
        if workflow.unsafe.is_replaying():
            self.began = True if named else None
        else:
            self.began = True if named and info.get_current_history_length() == BEGINNING else _marked()

    def governed(self) -> bool:
        """Whether calls are governed. The answer is the same in every replay, on any worker.

        An execution that was open before the plugin stays ungoverned once it has made a call. Until then, it can still become governed.
        """
        self.open()
        if self.began is None:
            self.began = _marked()
        return self.began

    def begin(self, headers: Mapping[str, Payload]) -> None:
        """Read the run's tree, initiator and pause state from the start event."""
        self.header, self.encoded = RunHeader(tree=workflow.info().first_execution_run_id), None
        payload = headers.get(HEADER_RUN)
        if payload is not None:
            try:
                self.header = RunHeader.model_validate_json(payload.data)
            except ValidationError:
                workflow.logger.warning("the header %s is unreadable and was ignored", HEADER_RUN)

    @property
    def paused(self) -> bool:
        """Whether calls are held."""
        return self.header.paused if self.last_action is None else self.last_action == "pause"

    @property
    def run_header(self) -> Payload:
        """The run header for activities, children and the next execution; rebuilt only when it changes."""
        if self.encoded is None or self.encoded[0] != self.paused:
            self.encoded = (self.paused, to_payload(self.header.model_copy(update={"paused": self.paused})))
        return self.encoded[1]

    def _reseeded(self, _seed: int) -> None:
        """Void every open approval after a reset. The SDK checks wait conditions only after something has run, so wake each waiter."""
        self.generation += 1
        for approval in self.approvals.values():
            if not approval.voided.done():
                approval.voided.set_result(None)

    def next_key(self, name: str, content: bytes) -> str:
        """The key of a new call. It is the same on every replay, and when the call is made again after a reset.

        It identifies the n-th call of this type with this content since the execution's start event, which a reset copies. So an effect from before
        the reset is not repeated, and a call with other arguments is a new effect (decision 0011).
        """
        if self.origin is None:
            info = workflow.info()
            self.origin = f"{info.first_execution_run_id}/{info.continued_run_id or ''}/{info.attempt}"
        call = hashlib.sha256(f"{self.origin}/{name}/".encode() + content).digest()
        count = self.calls[call] = self.calls.get(call, 0) + 1
        return hashlib.sha256(call + str(count).encode()).hexdigest()[:KEY_DIGITS]

    async def on_decide(self, payload: RawValue) -> None:
        """Handle a decision signal. It affects only the approval for which it is valid. Never raises."""
        raw = payload.payload.data
        signed = read_signal(raw) if len(raw) <= MAX_DECISION_BYTES else None
        approval = self.approvals.get(signed.decision.approval_id) if signed is not None else None
        if approval is None or approval.decision is not None or workflow.now() >= approval.until:
            return
        self.unjudged.append((approval, raw))
        if len(self.unjudged) == 1:
            await self._judge()

    async def _judge(self) -> None:
        """Judge the waiting decisions in order of arrival, with a limit per workflow task."""
        while self.unjudged:
            now = workflow.now()
            at, count = self.judged
            count = count if at == now else 0
            while self.unjudged:
                approval, raw = self.unjudged[0]
                if approval.decision is None:
                    if count == JUDGED_AT_ONCE:
                        break
                    count += 1
                    judgement = judge(approval.terms, raw)
                    if judgement.verdict is not None and judgement.decision is not None:
                        approval.decision, approval.raw = judgement.decision, raw.decode()
                self.unjudged.popleft()
            self.judged = (now, count)
            if self.unjudged:
                await workflow.sleep(timedelta(milliseconds=1), summary=TIMER_JUDGING)

    def on_control(self, payload: RawValue) -> None:
        """Handle a pause, a resume or an interruption. Never raises."""
        data = payload.payload.data
        if len(data) > MAX_SIGNAL_BYTES:
            return
        try:
            signal = ControlSignal.model_validate_json(data)
        except ValidationError:
            return
        if signal.action == "interrupt":
            self.resumed_since = False
            for interruptions in self.at_work:
                interruptions.add(signal.message)
            return
        self.apply(signal.action)
        self.resumed_since |= signal.action == "resume"

    def apply(self, action: Literal["pause", "resume"]) -> None:
        """Pause or resume, and record the time."""
        if action == "resume":
            self.paused_before, self.paused_since = self.paused_seconds, None
        elif self.paused_since is None:
            self.paused_since = workflow.time()
        self.last_action = action

    @property
    def paused_seconds(self) -> float:
        """How long the execution has been paused. Excludes a pause inherited from the previous execution, during which no call is made."""
        return self.paused_before + (0.0 if self.paused_since is None else workflow.time() - self.paused_since)

    async def resumed(self) -> None:
        """Return when the run is not paused."""
        if self.paused:
            await workflow.wait_condition(lambda: not self.paused)

    async def wait(self, terms: Terms, requested_in: int | None = None) -> Outcome:
        """Wait for a decision under these terms, their expiry, or a reset. Expiry never approves.

        requested_in: the generation in which the approval was requested, if it may be an earlier one. Such terms may name the execution that was
        reset, so the outcome is void. A local activity's result always belongs to this generation: a reset drops it with its workflow task.
        """
        generation = self.generation
        if requested_in is not None and requested_in != generation:
            return Outcome()
        expiry = timedelta(seconds=terms.expires_seconds)
        voided = asyncio.get_running_loop().create_future()
        # The loop checks wait conditions only if a callback is scheduled, and a future without a callback schedules none.
        voided.add_done_callback(lambda _: None)
        approval = OpenApproval(terms=terms, until=workflow.now() + expiry, voided=voided)
        self.approvals[terms.approval_id] = approval
        try:
            await workflow.wait_condition(
                lambda: approval.decision is not None or self.generation != generation,
                timeout=expiry,
                timeout_summary=TIMER_APPROVAL + terms.approval_id,
            )
        except TimeoutError:
            # A decision that arrived in time may not be judged yet.
            await workflow.wait_condition(lambda: not self.unjudged or self.generation != generation)
            if approval.decision is None and self.generation == generation:
                return Outcome(expired=True)
        finally:
            self.approvals.pop(terms.approval_id, None)
        if self.generation != generation:
            return Outcome()
        return Outcome(decision=approval.decision, raw=approval.raw)


def _marked() -> bool:
    """Whether history has the marker. Outside a replay, this writes it."""
    workflow.deprecate_patch(PATCH_GATE)
    return workflow.patched(PATCH_GATE)


def current_state() -> WorkflowState | None:
    """The state of the current execution, or None if its worker has no plugin."""
    handler = workflow.get_signal_handler(SIGNAL_CONTROL)
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, WorkflowState) else None
