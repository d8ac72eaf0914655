"""Whose run it is: what the signed memo of a start says, if its signature holds."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from agentgrid.domain.canonical import canonical
from agentgrid.domain.principals import UNKNOWN_INITIATOR
from agentgrid.domain.runs import RunTrigger
from agentgrid.projector.events import Started
from agentgrid.protocol import RunMemo


def verified(started: Started, workflow_id: str, keys: Mapping[str, str]) -> RunMemo | None:
    """The memo, if it is about this very workflow id and one of our keys signed it; a forged one is as good as none."""
    said = started.memo
    if said is None:
        return None
    try:
        memo = RunMemo.model_validate(said)
        public = keys[memo.key_id or ""]
        signed = canonical({name: value for name, value in said.items() if name != "signature" and value is not None})
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True)).verify(
            base64.b64decode(memo.signature or "", validate=True), signed
        )
    except (ValidationError, KeyError, InvalidSignature, binascii.Error, ValueError):
        return None
    return memo if memo.run_id == workflow_id else None


def beginning(started: Started, *, run_id: str, memo: RunMemo | None) -> dict[str, Any]:
    """The columns of a run that its beginning fixes. Its version follows from what really ran, so it is no such column."""
    known: dict[str, Any] = {
        "run_id": run_id,
        "workflow": started.workflow,
        "task_queue": started.task_queue,
        "input": started.input,
        "root_run_id": run_id,
    }
    if memo is not None:
        return known | {
            "trigger": RunTrigger.API if memo.trigger is None else RunTrigger.read(memo.trigger),
            "initiator": memo.initiator,
            "issuers": list(memo.issuers),
            "command_id": memo.command_id,
            "reference": memo.reference,
            "tags": list(memo.tags),
            "priority": memo.priority,
            "note": memo.note,
            "template": memo.template,
            "template_version": memo.template_version,
            "start_at": memo.start_at,
        }
    if started.parent_execution_id is not None:
        # The initiator is taken from the parent's run. The header names it too, but anybody can set a header.
        return known | {"trigger": RunTrigger.CHILD, "initiator": UNKNOWN_INITIATOR, "issuers": []}
    return known | {"trigger": RunTrigger.EXTERNAL, "initiator": UNKNOWN_INITIATOR, "issuers": []}
