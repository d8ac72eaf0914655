"""An approval: its terms, the signed decision on it, and the one judge of both.

The same `judge` runs in workflow code (a signal arrives), in the worker (just before the effect), in the API (before signing) and in the
projector's fold (what became of it). It is pure: everything it looks at is in the terms, which history carries, and in the signal; so a
key rotation can't change a replay, and nobody needs a database to know whether a decision counts.
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
"""A decision signal over this is refused unread."""

DEFAULT_EXPIRY_SECONDS = 7 * 24 * 3600.0
"""Every approval expires; without a word from its author, after seven days."""

MAX_EXPIRY_SECONDS = 365 * 24 * 3600.0

MAX_COMMENT = 2_000
"""Maximum number of characters of an approver's comment."""

COMMENT, ARGUMENTS, ISSUERS = "comment", "arguments", "issuers"
"""The optional parts of a decision, as `Terms.takes` names them."""

CLOCK_TOLERANCE_SECONDS = 60.0
"""A decision dated further than this into the worker's future is refused, because it would be valid for longer. Decisions carry the database's
time, and unsynchronised clocks differ by some seconds; a minute allows for that and gains a forger little."""


class Judged(StrEnum):
    """What became of a decision signal."""

    COUNTED = "counted"
    SUPERSEDED = "superseded"
    REFUSED = "refused"


class Verdict(StrEnum):
    """The answer of a person."""

    APPROVED = "approved"
    REJECTED = "rejected"


class ApprovalKind(StrEnum):
    """Who asked: a policy about a tool's call, or workflow code by name."""

    TOOL = "tool"
    EXPLICIT = "explicit"


class Changes(StrEnum):
    """How many people it takes to let a tool's call through with changed arguments."""

    ONE_PERSON = "one_person"
    """An approver changes the arguments and approves, in one act."""
    SECOND_PERSON = "second_person"
    """An approver proposes the changed arguments; another approver approves exactly these."""


class Terms(BaseModel):
    """What an approval is about and who may decide it, as history carries it. Gains optional fields only."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    approval_id: str
    kind: ApprovalKind
    title: str
    namespace: str
    workflow_id: str
    execution_id: str
    """The Temporal run id: a decision counts for this execution alone."""
    digest: str
    """SHA-256 over the canonical `[tool, version, args]`, or `[title, shown]` for an explicit approval."""
    tool: str | None = None
    tool_version: str | None = None
    risk: str | None = None
    """The tool's risk: shown to people, and no part of what is signed. None for a plain activity and from an older worker."""
    key: str | None = None
    """The idempotency key of the waiting call. Without one no decision is valid."""
    shown: Any = None
    """What an explicit approval shows, or a local call's arguments; a remote call's are in its scheduled event."""
    approvers: tuple[str, ...]
    """Principals, groups or `role:approver`."""
    initiator: str | None = None
    """Who started the run, and so never decides."""
    issuers: tuple[str, ...] = Field(default=(), exclude_if=lambda issuers: not issuers)
    """Who issued the API key that started the run. They count as initiators too."""
    expires_seconds: float = DEFAULT_EXPIRY_SECONDS
    policy: str | None = None
    """The rule that asked, `id@version`."""
    reason: str | None = None
    """Why the rule asks, in its author's words: shown to people, and no part of what is signed."""
    parameters: tuple[str, ...] = Field(default=(), exclude_if=lambda parameters: not parameters)
    """What the positional arguments of a plain activity are called, in its function's signature: shown to people, and no part of what is signed."""
    agent: str | None = None
    """The agent that asks, as the call's header has it: shown to people, and no part of what is signed."""
    agent_version: str | None = None
    turn: int | None = None
    """The agent's model turn that asked for the call."""
    keys: dict[str, str] = {}
    """The public keys that count, base64 by key id."""
    takes: tuple[str, ...] = Field(default=(), exclude_if=lambda takes: not takes)
    """The optional parts of a decision that the worker understands: `comment`, `arguments`, `issuers`. An older worker would ignore a decision with others."""
    changes: Changes = Field(default=Changes.ONE_PERSON, exclude_if=lambda changes: changes is Changes.ONE_PERSON)
    """How many people it takes to approve changed arguments, by the rule that asked."""
    changed_by: str | None = None
    """Who changed the call's arguments alone, under another rule, where this one wants a second person: somebody else decides."""
    changed_issuers: tuple[str, ...] = Field(default=(), exclude_if=lambda issuers: not issuers)
    """Who issued the API key with which they did. They count as the same person."""

    @property
    def changers(self) -> frozenset[str]:
        """Everybody who may be the person that changed the arguments alone."""
        return frozenset((*self.changed_issuers, *(() if self.changed_by is None else (self.changed_by,))))

    def wire(self) -> dict[str, Any]:
        """The terms as plain JSON values."""
        return self.model_dump(mode="json", exclude_none=True)


def _absent(value: Any) -> bool:
    return value is None


class Decision(BaseModel):
    """One person's answer, as it is signed. An absent optional part is no part of what is signed: without it, the bytes are those of version 1.

    With changed arguments, `digest` covers what may run, and `original` is the digest of what was asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    namespace: str
    workflow_id: str
    execution_id: str
    approval_id: str
    digest: str
    key: str
    """The idempotency key of the approved call. An identical call has a different key."""
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
    """The approver's message to the workflow's code, or to the agent that asked."""
    arguments: dict[str, Any] | None = Field(default=None, exclude_if=_absent)
    """The arguments with which the tool is called instead."""
    original: str | None = Field(default=None, exclude_if=_absent)
    """The terms' digest, where `arguments` change it."""
    proposer: str | None = Field(default=None, exclude_if=_absent)
    """The other approver, who proposed these arguments."""
    proposal: str | None = Field(default=None, exclude_if=_absent)
    """The id of the command with which they did."""
    issuers: tuple[str, ...] = Field(default=(), exclude_if=lambda issuers: not issuers)
    """Who issued the API key with which the principal changes the arguments alone."""

    @property
    def asked(self) -> str:
        """The digest of the call for which approval was requested."""
        return self.digest if self.original is None else self.original

    def signed_bytes(self) -> bytes:
        """Exactly what the signature covers. Raises ValueError if the arguments have no canonical JSON."""
        return canonical(self.model_dump(mode="json"))


class SignedDecision(BaseModel):
    """What the signal `agentgrid.decide` carries."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decision: Decision
    signature: str
    """Ed25519, base64."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a decision signal does to an approval: a verdict, or the reason why it moves nothing."""

    verdict: Verdict | None = None
    reason: str | None = None
    decision: Decision | None = None


def sign(decision: Decision, key: Ed25519PrivateKey) -> SignedDecision:
    """The decision with its Ed25519 signature."""
    signature = base64.b64encode(key.sign(decision.signed_bytes())).decode()
    return SignedDecision(decision=decision, signature=signature)


def read_signal(raw: bytes) -> SignedDecision | None:
    """The signed decision that these bytes are, its signature unverified, or None."""
    try:
        return SignedDecision.model_validate_json(raw)
    except (ValidationError, ValueError):
        return None


def judge(terms: Terms, raw: bytes) -> Judgement:
    """What this signal's bytes do to the approval with these terms. Pure; never raises, for any bytes.

    A person's authority at this moment (revocation, policy) is not judged here: the worker does so again before the effect.
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
        return Judgement(reason="the signature does not hold", decision=decision)
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
    if decision.asked != terms.digest:
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
