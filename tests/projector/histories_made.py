"""Random histories: a small server that does at random what Temporal may do, as decoded events for the fold."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentgrid.domain.approvals import ApprovalKind, Decision, Terms, Verdict, sign
from agentgrid.domain.runs import ExecutionKind, ExecutionStatus
from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.projector import history_events
from agentgrid.projector.history_events import DecodedEvent
from agentgrid.protocol import PATCH_GATE, TIMER_APPROVAL, Confirmation, ControlSignal

KEY = Ed25519PrivateKey.generate()
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
EXECUTION = "0198c0de-0000-7000-8000-000000000001"
STORED = {"size": 2, "value": {}}


class Server:
    """Writes one execution's history. All choices depend on one seed, so a failing history can be reproduced."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.events: list[DecodedEvent] = []
        self._at = datetime(2026, 1, 1, tzinfo=UTC)
        self._open: dict[int, tuple[str, Any]] = {}
        self._task: int | None = None
        self._requested: dict[str, Terms] = {}
        """Approvals whose timers have not started yet."""
        self._keys = 0
        self._sent: list[bytes] = []
        """Decisions sent so far."""
        self._claims = self._random.random() < 0.5
        """Whether workers have a build id with the plugin's prefix; otherwise they write the plugin's marker."""

    def add(self, kind: type[DecodedEvent], /, **values: Any) -> int:
        # Buffered events keep their time of arrival, so times are not in the order of event ids.
        self._at += timedelta(milliseconds=self._random.randint(1, 5_000))
        at = self._at - timedelta(milliseconds=self._random.choice([0, 0, 0, 50]))
        event_id = len(self.events) + 1
        self.events.append(kind(event_id=event_id, at=at, **values))
        return event_id

    def make(self, length: int) -> list[DecodedEvent]:
        self.add(
            history_events.Started,
            workflow="made",
            task_queue="q",
            first_execution_id=EXECUTION,
            kind=ExecutionKind.FIRST,
            backoff_seconds=self._random.choice([0.0, 0.0, 5.0]),
            input=STORED,
        )
        while len(self.events) < length:
            self._turn()
        if self._random.random() < 0.7:
            status = self._random.choice(list(ExecutionStatus)[1:])
            self.add(
                history_events.Closed, status=status, result=STORED if status is ExecutionStatus.COMPLETED else None
            )
        return self.events

    def _turn(self) -> None:
        actions: list[Callable[[], None]] = [self._work, self._work, self._happen, self._happen, self._message]
        if len(self.events) > 6 and self._random.random() < 0.06:
            actions = [self._fork]
        self._random.choice(actions)()

    # --- workflow tasks and their commands ---

    def _work(self) -> None:
        self.add(history_events.TaskScheduled)
        started = self.add(history_events.TaskStarted)
        if self._random.random() < 0.1:
            self.add(history_events.TaskFailed, cause="non_deterministic_error", error={"type": "E", "message": "m"})
            return
        claims = self._claims and self._random.random() < 0.8
        completed = self.add(history_events.TaskCompleted, started_event_id=started, build="b1", claims=claims)
        if completed <= 4 and not self._claims:
            self.add(history_events.Patched, patch=PATCH_GATE)
        for terms in self._take_requested():
            timer = self.add(
                history_events.TimerStarted,
                timer_id="t",
                seconds=terms.expires_seconds,
                summary=TIMER_APPROVAL + terms.approval_id,
            )
            self._open[timer] = ("approval", terms)
        for _ in range(self._random.randint(0, 2)):
            self._command(completed)

    def _take_requested(self) -> list[Terms]:
        requested, self._requested = list(self._requested.values()), {}
        return requested

    def _command(self, completed: int) -> None:
        kind = self._random.choice(["activity", "tool", "local", "timer", "child", "explicit"])
        if kind in ("activity", "tool"):
            self._keys += 1
            self._schedule(f"key-{self._keys}" if self._random.random() < 0.8 else None, kind == "tool")
        elif kind == "timer":
            event_id = self.add(history_events.TimerStarted, timer_id="t", seconds=60.0)
            self._open[event_id] = ("timer", None)
        elif kind == "child":
            event_id = self.add(history_events.CallInitiated, kind="child", name="c", workflow_id="w", input=STORED)
            self._open[event_id] = ("child", None)
        elif kind == "local":
            self._local()
        else:
            self._keys += 1
            self._open_explicit(f"key-{self._keys}")

    def _open_explicit(self, key: str) -> None:
        terms = self._terms(ApprovalKind.EXPLICIT, key)
        self._requested[terms.approval_id] = terms
        self.add(
            history_events.LocalActivity,
            activity_id="9",
            activity_type="agentgrid.open_approval",
            attempt=1,
            first_scheduled_at=self._at,
            explicit=True,
            terms=terms,
            shown=STORED,
        )

    def _schedule(self, key: str | None, tool: bool) -> None:
        event_id = self.add(
            history_events.ActivityScheduled,
            activity_id=str(len(self.events)),
            activity_type="tool.x" if tool else "x",
            task_queue="q",
            kind=StepKind.TOOL if tool else StepKind.ACTIVITY,
            name="x" if tool else None,
            call_key=key,
            headed=key is not None,
            input=STORED,
        )
        self._open[event_id] = ("activity", key)

    def _local(self) -> None:
        first = self._at
        for attempt in range(1, self._random.randint(1, 3)):
            self.add(
                history_events.LocalActivity,
                activity_id="1",
                activity_type="l",
                attempt=attempt,
                first_scheduled_at=first,
                backs_off=True,
                backoff_seconds=2.0,
                error={"type": "E", "message": "m"},
            )
            timer = self.add(history_events.TimerStarted, timer_id="t", seconds=2.0)
            self.add(history_events.TimerEnded, started_event_id=timer, fired=True)
        self.add(
            history_events.LocalActivity,
            activity_id="1",
            activity_type="l",
            attempt=1,
            first_scheduled_at=first,
            output=STORED,
        )

    def _terms(self, kind: ApprovalKind, key: str | None) -> Terms:
        return Terms(
            approval_id=f"approval-{len(self.events)}",
            kind=kind,
            title="May it?",
            namespace="default",
            workflow_id="w",
            execution_id=EXECUTION,
            digest="0" * 64,
            tool="x",
            key=key,
            approvers=("role:approver",),
            expires_seconds=self._random.choice([1.0, 60.0, 3600.0]),
            keys={"k": PUBLIC},
        )

    # --- events from outside the workflow ---

    def _happen(self) -> None:
        if not self._open:
            return
        event_id = self._random.choice(sorted(self._open))
        kind, subject = self._open.pop(event_id)
        if kind == "activity":
            self._activity(event_id, subject)
        elif kind == "timer":
            self.add(history_events.TimerEnded, started_event_id=event_id, fired=self._random.random() < 0.7)
        elif kind == "child":
            self.add(
                history_events.CallStarted,
                initiated_event_id=event_id,
                workflow_id="w",
                execution_id=f"child-{event_id}",
            )
            self.add(history_events.CallClosed, initiated_event_id=event_id, status=StepStatus.COMPLETED, output=STORED)
        elif kind == "update":
            self.add(history_events.UpdateCompleted, accepted_event_id=event_id, output=STORED)
        else:
            self._approval(event_id, subject)

    def _activity(self, scheduled: int, key: str | None) -> None:
        self.add(
            history_events.ActivityStarted, scheduled_event_id=scheduled, attempt=self._random.randint(1, 3), worker="w"
        )
        if key is not None and self._random.random() < 0.5:
            terms = self._terms(ApprovalKind.TOOL, key)
            self._requested[terms.approval_id] = terms
            self.add(
                history_events.ActivityClosed,
                scheduled_event_id=scheduled,
                status=StepStatus.FAILED,
                error={"type": "ApprovalRequired", "message": "m"},
                terms=terms,
            )
            return
        status = self._random.choice([StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.TIMED_OUT])
        self.add(history_events.ActivityClosed, scheduled_event_id=scheduled, status=status, output=STORED)

    def _approval(self, timer: int, terms: Terms) -> None:
        end = self._random.choice(["decide", "decide", "fire", "cancel"])
        if end == "decide":
            self._decide(terms)
            if self._random.random() < 0.3:
                self._decide(terms)
            self.add(history_events.TaskScheduled)
            started = self.add(history_events.TaskStarted)
            self.add(history_events.TaskCompleted, started_event_id=started)
        self.add(history_events.TimerEnded, started_event_id=timer, fired=end == "fire")
        if end == "fire" or terms.key is None or self._random.random() > 0.8:
            return
        if terms.kind is ApprovalKind.TOOL:
            self._schedule(terms.key, True)
        else:
            self._confirm(terms)

    def _confirm(self, terms: Terms) -> None:
        holds = self._random.random() < 0.5
        self.add(
            history_events.LocalActivity,
            activity_id="9",
            activity_type="agentgrid.confirm_approval",
            attempt=1,
            first_scheduled_at=self._at,
            confirmation=Confirmation(approval_id=terms.approval_id, holds=holds),
        )
        if not holds and terms.key is not None:
            self._open_explicit(terms.key)

    def _decide(self, terms: Terms) -> None:
        decision = Decision(
            namespace="default",
            workflow_id="w",
            execution_id=EXECUTION,
            approval_id=terms.approval_id,
            digest=self._random.choice([terms.digest, terms.digest, "1" * 64]),
            key=terms.key or "",
            verdict=self._random.choice(list(Verdict)),
            principal="reviewer",
            approver="role:approver",
            decided_at=self._at,
            nonce=f"nonce-{len(self.events)}",
            key_id="k",
        )
        raw = sign(decision, KEY).model_dump_json().encode()
        self._sent.append(raw)
        self.add(history_events.Decided, raw=raw, request_id=decision.nonce)

    def _message(self) -> None:
        message = self._random.choice(["signal", "pause", "resume", "cancel", "update", "junk", "replay", "unknown"])
        if message == "signal":
            self.add(history_events.Signaled, name="s", input=STORED, request_id="r")
        elif message in ("pause", "resume"):
            self.add(history_events.Controlled, control=ControlSignal(action=message), request_id="c")  # type: ignore[arg-type]
        elif message == "cancel":
            self.add(history_events.CancelRequested, identity="agentgrid:c-1")
        elif message == "update":
            self._open[self.add(history_events.UpdateAccepted, update_id="u", name="ask", input=STORED)] = (
                "update",
                None,
            )
        elif message == "junk":
            self.add(history_events.Decided, raw=b"\xff junk")
        elif message == "replay" and self._sent:
            self.add(history_events.Decided, raw=self._random.choice(self._sent), request_id="again")
        else:
            self.add(history_events.Unknown, kind="type 999", opaque=1)

    def _fork(self) -> None:
        self.add(
            history_events.TaskFailed,
            cause="reset_workflow",
            fork=True,
            base_execution_id="base",
            reason="again",
        )


def history(seed: int, length: int) -> list[DecodedEvent]:
    """A random history of about this many events."""
    return Server(seed).make(length)
