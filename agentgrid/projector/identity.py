"""Who started a run: the signed memo of its start, if the signature is valid."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from agentgrid.domain.canonical import canonical
from agentgrid.domain.memos import ScheduledStart, ScheduleMemo, is_schedule_memo, verified_schedule
from agentgrid.domain.principals import UNKNOWN_INITIATOR
from agentgrid.domain.runs import RunTrigger
from agentgrid.projector.history_events import Started
from agentgrid.protocol import RunMemo

SignedMemo = RunMemo | ScheduleMemo


def verified(started: Started, *, workflow_id: str, namespace: str, keys: Mapping[str, str]) -> SignedMemo | None:
    """The memo, if one of our signing keys signed it for this start; a forged or copied memo is ignored."""
    memo = started.memo
    if memo is None:
        return None
    if not is_schedule_memo(memo):
        return _verified_run(memo, workflow_id, keys)
    start = ScheduledStart(
        namespace=namespace,
        scheduled_by=started.scheduled_by,
        workflow_id=workflow_id,
        workflow=started.workflow,
        task_queue=started.task_queue,
        input_digest=started.input_digest or "",
        started_at=started.at,
        child=started.parent_execution_id is not None,
    )
    return verified_schedule(memo, start, keys)


def _verified_run(claimed: Mapping[str, Any], workflow_id: str, keys: Mapping[str, str]) -> RunMemo | None:
    try:
        memo = RunMemo.model_validate(claimed)
        public = keys[memo.key_id or ""]
        signed = canonical(
            {name: value for name, value in claimed.items() if name != "signature" and value is not None}
        )
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True)).verify(
            base64.b64decode(memo.signature or "", validate=True), signed
        )
    except (ValidationError, KeyError, InvalidSignature, binascii.Error, ValueError):
        return None
    return memo if memo.run_id == workflow_id else None


def beginning(started: Started, *, run_id: str, memo: SignedMemo | None) -> dict[str, Any]:
    """The columns of a run that its first event fixes. The version isn't one of them: it depends on the code that actually ran."""
    columns: dict[str, Any] = {
        "run_id": run_id,
        "workflow": started.workflow,
        "task_queue": started.task_queue,
        "input": started.input,
        "root_run_id": run_id,
    }
    if memo is not None:
        return columns | {
            "trigger": _trigger(memo),
            "initiator": memo.initiator,
            "issuers": list(memo.issuers),
            "command_id": memo.command_id,
            "reference": memo.reference,
            "tags": list(memo.tags),
            "priority": memo.priority,
            "note": memo.note,
            "template": memo.template,
            "template_version": memo.template_version,
            "start_at": memo.start_at if isinstance(memo, RunMemo) else None,
        }
    if started.parent_execution_id is not None:
        # The initiator is taken from the parent's run. The header names it too, but anyone can set a header.
        return columns | {"trigger": RunTrigger.CHILD, "initiator": UNKNOWN_INITIATOR, "issuers": []}
    return columns | {"trigger": RunTrigger.EXTERNAL, "initiator": UNKNOWN_INITIATOR, "issuers": []}


def _trigger(memo: SignedMemo) -> RunTrigger:
    if isinstance(memo, ScheduleMemo):
        return RunTrigger.SCHEDULE
    return RunTrigger.API if memo.trigger is None else RunTrigger.read(memo.trigger)
