"""Signed decisions: what is signed, and how `judge` treats comments and changed arguments."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentgrid.domain.approvals import (
    ARGUMENTS,
    COMMENT,
    MAX_DECISION_BYTES,
    Changes,
    Decision,
    SignedDecision,
    Terms,
    Verdict,
    changed_digest,
    judge,
    sign,
)
from agentgrid.domain.canonical import canonical, digest
from agentgrid.protocol import to_payload

KEY = Ed25519PrivateKey.generate()
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
REQUESTED: dict[str, Any] = {"order": "o-1", "cents": 900}
CHANGED: dict[str, Any] = {"order": "o-1", "cents": 500, "note": None}


def terms(**over: Any) -> Terms:
    values = {
        "approval_id": "a",
        "kind": "tool",
        "title": "Refund",
        "namespace": "n",
        "workflow_id": "w",
        "execution_id": "e",
        "digest": digest(["refund", "v1", REQUESTED]),
        "tool": "refund",
        "tool_version": "v1",
        "key": "k",
        "approvers": ("role:approver",),
        "initiator": "starter",
        "issuers": ("issuer",),
        "keys": {"key": PUBLIC},
        "takes": (COMMENT, ARGUMENTS),
    }
    return Terms.model_validate(values | over)


def decision(under: Terms, **over: Any) -> SignedDecision:
    values: dict[str, Any] = {
        "namespace": "n",
        "workflow_id": "w",
        "execution_id": "e",
        "approval_id": "a",
        "digest": under.digest,
        "key": "k",
        "verdict": "approved",
        "principal": "reviewer",
        "approver": "role:approver",
        "decided_at": datetime(2030, 1, 1, tzinfo=UTC),
        "nonce": "c",
        "key_id": "key",
    }
    if over.get("arguments") is not None:
        values |= {"original": under.digest, "digest": changed_digest(under, over["arguments"]) or ""}
    return sign(Decision.model_validate(values | over), KEY)


def wire(signed: SignedDecision) -> bytes:
    return bytes(to_payload(signed).data)


def test_a_decision_without_optional_parts_is_signed_over_the_bytes_of_version_1() -> None:
    """Recorded histories contain signatures over these bytes."""
    signed = decision(terms())
    assert signed.decision.signed_bytes() == (
        b'{"approval_id":"a","approver":"role:approver","decided_at":"2030-01-01T00:00:00Z","digest":"'
        + terms().digest.encode()
        + b'","execution_id":"e","key":"k","key_id":"key","namespace":"n","nonce":"c","policy":null,"principal":"reviewer","v":1,'
        b'"verdict":"approved","workflow_id":"w"}'
    )
    assert judge(terms(takes=()), wire(signed)).verdict is Verdict.APPROVED


def test_a_comment_and_changed_arguments_are_signed_and_counted() -> None:
    judgement = judge(terms(), wire(decision(terms(), comment="half", arguments=CHANGED)))
    assert judgement.verdict is Verdict.APPROVED
    assert judgement.decision is not None
    assert (judgement.decision.comment, judgement.decision.arguments) == ("half", CHANGED)
    assert judgement.decision.requested_digest == terms().digest != judgement.decision.digest


@pytest.mark.parametrize("path", [("comment",), ("arguments", "cents"), ("original",), ("proposer",)])
def test_a_part_changed_after_signing_invalidates_the_signature(path: tuple[str, ...]) -> None:
    signed = json.loads(wire(decision(terms(), comment="half", arguments=CHANGED)))
    place = signed["decision"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = "another"
    assert judge(terms(), json.dumps(signed).encode()).verdict is None


@pytest.mark.parametrize(
    ("under", "over", "reason"),
    [
        ({}, {"original": "0" * 64}, "for other arguments"),
        ({"digest": digest(["refund", "v1", CHANGED])}, {"original": terms().digest}, "for other arguments"),
        ({}, {"digest": terms().digest}, "signed for other arguments"),
        ({}, {"original": None, "digest": terms().digest}, "without approving them"),
        ({}, {"verdict": "rejected"}, "without approving them"),
        ({"takes": (COMMENT,)}, {}, "can't be changed"),
        ({"kind": "explicit", "tool": None, "tool_version": None}, {}, "can't be changed"),
        (
            {},
            {"arguments": None, "original": terms().digest, "digest": changed_digest(terms(), CHANGED)},
            "without its arg",
        ),
        ({"changes": Changes.SECOND_PERSON}, {}, "by one person"),
        ({"changes": Changes.SECOND_PERSON}, {"proposer": "reviewer"}, "by one person"),
        ({"changes": Changes.SECOND_PERSON}, {"proposer": "starter"}, "took part in starting"),
        ({"changes": Changes.SECOND_PERSON}, {"proposer": "issuer"}, "took part in starting"),
        ({"changes": Changes.SECOND_PERSON}, {"proposer": "second"}, None),
        (
            {"changes": Changes.SECOND_PERSON, "changed_by": "reviewer"},
            {"proposer": "second"},
            "by the person who changed the arguments",
        ),
        (
            {"changes": Changes.SECOND_PERSON, "changed_by": "puppet", "changed_issuers": ("reviewer",)},
            {"proposer": "second"},
            "by the person who changed the arguments",
        ),
    ],
)
def test_changed_arguments_count_only_under_exactly_these_terms(
    under: dict[str, Any], over: dict[str, Any], reason: str | None
) -> None:
    signed = decision(terms(), **{"arguments": CHANGED} | over)
    judgement = judge(terms(**under), wire(signed))
    assert (judgement.verdict is None) == (reason is not None)
    assert (reason or "") in (judgement.reason or "")


@pytest.mark.parametrize("value", ["NaN", "1e999", "9007199254740993", "[" * 190 + "]" * 190, "[" * 900 + "]" * 900])
def test_arguments_without_canonical_json_have_no_effect_and_raise_nothing(value: str) -> None:
    text = wire(decision(terms(), arguments={"x": "here"})).decode().replace('"here"', value)
    assert judge(terms(), text.encode()).verdict is None


def test_the_longest_comment_fits_the_signal_and_a_longer_one_is_refused() -> None:
    raw = wire(decision(terms(), comment="ü" * 2_000))
    assert len(raw) <= MAX_DECISION_BYTES
    assert judge(terms(), raw).verdict is Verdict.APPROVED
    assert judge(terms(), raw.replace("ü".encode(), "üü".encode(), 1)).reason == "not a signed decision"


def test_a_rule_without_changes_has_the_same_form_as_before() -> None:
    """Older workers read the same snapshot and terms."""
    bare = terms(takes=(), changes=Changes.ONE_PERSON).wire()
    assert not bare.keys() & {"takes", "changes"}
    assert canonical(bare)
