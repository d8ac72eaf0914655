"""Approvals: their terms, the signed decision, and the function that judges whether a decision counts.

The same `judge` runs in workflow code (when a signal arrives), in the worker (just before the effect), in the API (before signing) and in the
projector's fold (to record the outcome). It is pure: its only inputs are the terms, which history carries, and the signal. So a key rotation
can't change a replay, and judging a decision needs no database.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from agentgrid.domain.canonical import canonical, digest

MAX_DECISION_BYTES = 8192
"""A larger decision signal is refused unread."""

DEFAULT_EXPIRY_SECONDS = 7 * 24 * 3600.0
"""Every approval expires: after seven days, unless its author sets another time."""

MAX_EXPIRY_SECONDS = 365 * 24 * 3600.0

MAX_COMMENT = 2_000
"""Maximum number of characters of an approver's comment."""

COMMENT, ARGUMENTS, ISSUERS = "comment", "arguments", "issuers"
"""The optional parts of a decision, as named in `Terms.takes`."""

CLOCK_TOLERANCE_SECONDS = 60.0
"""A decision dated further than this in the worker's future is refused, because it would be valid for longer. Decisions carry the database's
time, and unsynchronised clocks differ by a few seconds; a minute allows for that and gives a forger little."""


class Judged(StrEnum):
    """What became of a decision signal."""

    COUNTED = "counted"
    SUPERSEDED = "superseded"
    REFUSED = "refused"


class Verdict(StrEnum):
    """A person's answer."""

    APPROVED = "approved"
    REJECTED = "rejected"


class ApprovalKind(StrEnum):
    """What required it: a rule about a tool call, or an explicit request in workflow code."""

    TOOL = "tool"
    EXPLICIT = "explicit"


class Changes(StrEnum):
    """How many people it takes to approve a tool call with changed arguments."""

    ONE_PERSON = "one_person"
    """An approver changes the arguments and approves in one step."""
    SECOND_PERSON = "second_person"
    """An approver proposes the changed arguments; another approver approves exactly those."""


class Terms(BaseModel):
    """What an approval is about and who may decide it, as history carries it. Gains optional fields only."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    approval_id: str
    kind: ApprovalKind
    title: str
    namespace: str
    workflow_id: str
    execution_id: str
    """The Temporal run id: a decision counts only for this execution."""
    digest: str
    """SHA-256 over the canonical `[tool, version, args]`, or `[title, shown]` for an explicit approval."""
    tool: str | None = None
    tool_version: str | None = None
    risk: str | None = None
    """The tool's risk: shown to people, not signed. None for a plain activity and from an older worker."""
    key: str | None = None
    """The call key of the waiting call. Without one, no decision is valid."""
    shown: Any = None
    """What an explicit approval shows, or the arguments of a local call. Those of a remote call are in its scheduled event."""
    approvers: tuple[str, ...]
    """Principals, groups or `role:approver`."""
    initiator: str | None = None
    """Who started the run, and therefore may not decide."""
    issuers: tuple[str, ...] = Field(default=(), exclude_if=lambda issuers: not issuers)
    """Who issued the API key that started the run. They count as initiators too."""
    expires_seconds: float = DEFAULT_EXPIRY_SECONDS
    policy: str | None = None
    """The rule that requires approval, as `id@version`."""
    reason: str | None = None
    """Why the rule requires approval, in its author's words: shown to people, not signed."""
    parameters: tuple[str, ...] = Field(default=(), exclude_if=lambda parameters: not parameters)
    """The names of a plain activity's positional arguments, from its function's signature: shown to people, not signed."""
    agent: str | None = None
    """The agent that makes the call, from the call's header: shown to people, not signed."""
    agent_version: str | None = None
    turn: int | None = None
    """The agent's model turn that requested the call."""
    keys: dict[str, str] = {}
    """The public keys that count, base64 by key id."""
    takes: tuple[str, ...] = Field(default=(), exclude_if=lambda takes: not takes)
    """The optional parts of a decision that the worker understands: `comment`, `arguments`, `issuers`. A worker ignores a decision with other parts."""
    changes: Changes = Field(default=Changes.ONE_PERSON, exclude_if=lambda changes: changes is Changes.ONE_PERSON)
    """How many people it takes to approve changed arguments, by the rule that requires approval."""
    changed_by: str | None = None
    """Who changed the call's arguments alone under another rule, where this rule requires a second person: somebody else must decide."""
    changed_issuers: tuple[str, ...] = Field(default=(), exclude_if=lambda issuers: not issuers)
    """Who issued the API key used for that change. They count as the same person."""

    @property
    def changers(self) -> frozenset[str]:
        """Everybody who may be the person who changed the arguments alone."""
        return frozenset((*self.changed_issuers, *(() if self.changed_by is None else (self.changed_by,))))

    def wire(self) -> dict[str, Any]:
        """The terms as plain JSON values."""
        return self.model_dump(mode="json", exclude_none=True)


def _absent(value: Any) -> bool:
    return value is None


class Decision(BaseModel):
    """One person's answer, as signed. An absent optional part is left out of the signed bytes: without any, they are those of version 1.

    With changed arguments, `digest` covers what may run, and `original` is the digest of the original request.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    namespace: str
    workflow_id: str
    execution_id: str
    approval_id: str
    digest: str
    key: str
    """The call key of the approved call. An identical call has a different key."""
    policy: str | None = None
    verdict: Verdict
    principal: str
    approver: str
    """The entry of the terms' approvers under which the principal decides."""
    decided_at: AwareDatetime
    nonce: str
    """The id of the command that carries it."""
    key_id: str
    comment: str | None = Field(default=None, exclude_if=_absent, max_length=MAX_COMMENT)
    """The approver's message to the workflow's code, or to the agent that made the call."""
    arguments: dict[str, Any] | None = Field(default=None, exclude_if=_absent)
    """The changed arguments, with which the tool is called instead."""
    original: str | None = Field(default=None, exclude_if=_absent)
    """The terms' digest, if `arguments` change it."""
    proposer: str | None = Field(default=None, exclude_if=_absent)
    """The other approver, who proposed these arguments."""
    proposal: str | None = Field(default=None, exclude_if=_absent)
    """The id of the command that proposed them."""
    issuers: tuple[str, ...] = Field(default=(), exclude_if=lambda issuers: not issuers)
    """Who issued the API key of a principal who changes the arguments alone."""

    @property
    def requested_digest(self) -> str:
        """The digest of the call for which approval was requested."""
        return self.digest if self.original is None else self.original

    def signed_bytes(self) -> bytes:
        """Exactly what the signature covers. Raises ValueError if the arguments have no canonical JSON."""
        return canonical(self.model_dump(mode="json"))


class SignedDecision(BaseModel):
    """The payload of the signal `agentgrid.decide`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decision: Decision
    signature: str
    """Ed25519, base64."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The effect of a decision signal on an approval: a verdict, or the reason why it has no effect."""

    verdict: Verdict | None = None
    reason: str | None = None
    decision: Decision | None = None


def sign(decision: Decision, key: Ed25519PrivateKey) -> SignedDecision:
    """The decision with its Ed25519 signature."""
    signature = base64.b64encode(key.sign(decision.signed_bytes())).decode()
    return SignedDecision(decision=decision, signature=signature)


def read_signal(raw: bytes) -> SignedDecision | None:
    """The signed decision in these bytes, or None. Its signature is not verified."""
    try:
        return SignedDecision.model_validate_json(raw)
    except (ValidationError, ValueError):
        return None


def judge(terms: Terms, raw: bytes) -> Judgement:
    """The effect of this signal's bytes on the approval with these terms. Pure; never raises, whatever the bytes.

    A person's current authority (revocation, policy) is not judged here: the worker checks it before the effect.
    """
    if len(raw) > MAX_DECISION_BYTES:
        return Judgement(reason=f"over {MAX_DECISION_BYTES} bytes")
    signed = read_signal(raw)
    if signed is None:
        return Judgement(reason="not a signed decision")
    decision = signed.decision
    if (reason := _mismatch(terms, decision)) is not None:
        return Judgement(reason=reason, decision=decision)
    public = terms.keys.get(decision.key_id)
    if public is None:
        return Judgement(reason="signed by a key that the terms don't name", decision=decision)
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True)).verify(
            base64.b64decode(signed.signature, validate=True), decision.signed_bytes()
        )
    except (InvalidSignature, binascii.Error, ValueError):
        return Judgement(reason="the signature is invalid", decision=decision)
    return Judgement(verdict=decision.verdict, decision=decision)


def _mismatch(terms: Terms, decision: Decision) -> str | None:
    if decision.approval_id != terms.approval_id:
        return "for another approval"
    if (decision.namespace, decision.workflow_id, decision.execution_id) != (
        terms.namespace,
        terms.workflow_id,
        terms.execution_id,
    ):
        return "for another run"
    if decision.requested_digest != terms.digest:
        return "for other arguments"
    if (reason := _wrong_change(terms, decision)) is not None:
        return reason
    if decision.key != terms.key:
        return "for another call"
    if decision.policy != terms.policy:
        return "under another policy"
    if decision.principal == terms.initiator:
        return "by the initiator of the run"
    if decision.principal in terms.issuers:
        return "by somebody who issued the key that started the run"
    if decision.principal in terms.changers:
        return "by the person who changed the arguments, where the rule requires a second one"
    if decision.approver not in terms.approvers:
        return "by somebody who is not among the approvers"
    return None


def _wrong_change(terms: Terms, decision: Decision) -> str | None:
    """Why the decision's changed arguments don't count, or None if they do or there are none."""
    if decision.arguments is None:
        partial = decision.original is not None or decision.proposer is not None or decision.proposal is not None
        return "names a change without its arguments" if partial else None
    if terms.kind is not ApprovalKind.TOOL or ARGUMENTS not in terms.takes:
        return "changes arguments that can't be changed"
    if decision.verdict is not Verdict.APPROVED or decision.original is None:
        return "changes arguments without approving them"
    if decision.digest != changed_digest(terms, decision.arguments):
        return "signed for other arguments than it carries"
    if terms.changes is Changes.SECOND_PERSON:
        if decision.proposer is None or decision.proposer == decision.principal:
            return "changed by one person, where the rule requires two"
        if decision.proposer == terms.initiator or decision.proposer in terms.issuers:
            return "changed by somebody who took part in starting the run"
    return None


def changed_digest(terms: Terms, arguments: dict[str, Any]) -> str | None:
    """The digest of the call with these arguments, or None if they have no canonical JSON."""
    try:
        return digest([terms.tool, terms.tool_version, arguments])
    except ValueError:
        return None


def out_of_date(decision: Decision, now: datetime, valid_for_seconds: float) -> str | None:
    """Why the decision's date makes it invalid now, or None."""
    age = (now - decision.decided_at).total_seconds()
    if age > valid_for_seconds:
        return f"it was made {age:.0f} s ago, over the limit of {valid_for_seconds:.0f} s"
    if age < -CLOCK_TOLERANCE_SECONDS:
        return f"it is dated {-age:.0f} s in the future"
    return None
