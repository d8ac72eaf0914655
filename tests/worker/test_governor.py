"""The governor's answers under a policy, and which calls a decision admits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agentgrid.domain.approvals import Terms
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Risk, Rule, Snapshot
from agentgrid.protocol import RunHeader
from agentgrid.testing import Governance
from agentgrid.worker.admissions import Admissions, Scheduled
from agentgrid.worker.governor import Allow, ApprovalNeeded, CallAttempt, Deny, Governor, Stale, Unsupported
from agentgrid.worker.policy import FixedPolicy
from tests.worker.calls import NOW, call


def policy(**fields: Any) -> FixedPolicy:
    return FixedPolicy(Snapshot(**({"version": 1, "made_at": NOW, "public_keys": {"k": "a"}} | fields)))


class Aged(FixedPolicy):
    def __init__(self, snapshot: Snapshot | None, age: float) -> None:
        self.snapshot = snapshot
        self.age_seconds = age


DESTRUCTIVE = call(risk=Risk.DESTRUCTIVE)
ALLOW_EXACT = Rule(rule_id="exact", tool="refund", effect=Effect.ALLOW)
DENY_GLOB = Rule(rule_id="glob", tool="ref*", effect=Effect.DENY)
ASK = Rule(rule_id="ask", tool="refund", effect=Effect.REQUIRE_APPROVAL, version=3)


@pytest.mark.parametrize(
    ("source", "made", "expected"),
    [
        (policy(), call(), Allow),
        (policy(), call(risk=None), Allow),
        (policy(), DESTRUCTIVE, ApprovalNeeded),
        (policy(rules=(ALLOW_EXACT, DENY_GLOB)), DESTRUCTIVE, Allow),
        (policy(rules=(DENY_GLOB,)), call(), Deny),
        (policy(rules=(DENY_GLOB,)), call(subject="other"), Allow),
        (policy(disabled_tools=frozenset({"refund"}), rules=(ALLOW_EXACT,)), call(), Deny),
        (policy(disabled_workflows=frozenset({"gated"})), call(risk=Risk.READ), Deny),
        (policy(rules=(ASK,)), call(key=None), Unsupported),
        (policy(rules=(ASK,)), call(run=lambda: None), Unsupported),
        (policy(rules=(ASK,), public_keys={}), call(), Stale),
        (policy(rules=(ASK,), public_keys={}, retired_keys={"k": "a"}), call(), Stale),
        (policy(rules=(ASK,), revoked_keys=frozenset({"k"})), call(), Stale),
        (policy(rules=(ASK,), public_keys={}), call(key=None), Unsupported),
        (policy(rules=(ASK,)), call(arguments=lambda: {"n": float("nan")}), Unsupported),
        (Aged(None, float("inf")), call(), Stale),
        (Aged(None, float("inf")), call(risk=Risk.READ), Stale),
        (Aged(None, float("inf")), call(risk=None), Stale),
        (Aged(policy().snapshot, float("inf")), call(risk=Risk.READ), Allow),
        (Aged(policy().snapshot, float("inf")), call(risk=None), Allow),
        (Aged(policy().snapshot, float("inf")), call(), Stale),
        (Aged(policy().snapshot, 61), call(), Stale),
        (Aged(policy().snapshot, 59), call(), Allow),
        (Aged(policy(rules=(DENY_GLOB,)).snapshot, 61), call(risk=Risk.READ), Deny),
    ],
)
def test_each_policy_gives_the_expected_answer(source: FixedPolicy, made: CallAttempt, expected: type) -> None:
    assert isinstance(Governor(policy=source).judge(made), expected)


def test_a_deployment_may_let_reads_pass_before_the_first_policy_but_never_writes() -> None:
    governor = Governor(policy=Aged(None, float("inf")), policy_required=False)
    for risk in (Risk.READ, None):
        assert isinstance(governor.judge(call(risk=risk)), Allow)
    for risk in (Risk.WRITE, Risk.DESTRUCTIVE):
        assert isinstance(governor.judge(call(risk=risk)), Stale)


@pytest.mark.parametrize(
    ("risk", "rules", "expected"),
    [
        (Risk.READ, (), Allow),
        (None, (), Allow),
        (Risk.READ, (DENY_GLOB,), Deny),
        (None, (DENY_GLOB,), Deny),
        (None, (ASK,), Unsupported),
        (Risk.WRITE, (), Deny),
        (Risk.WRITE, (ALLOW_EXACT,), Deny),
        (Risk.DESTRUCTIVE, (ALLOW_EXACT,), Deny),
    ],
)
def test_a_call_without_a_run_may_read_under_policy_but_never_write(
    risk: Risk | None, rules: tuple[Rule, ...], expected: type
) -> None:
    made = call(risk=risk, standalone=True, key=None, workflow="", workflow_id="", execution_id="")
    assert isinstance(Governor(policy=policy(rules=rules)).judge(made), expected)


def ask(governance: Governance, **changed: Any) -> Terms:
    answer = Governor(policy=governance.policy).judge(call(**changed))
    assert isinstance(answer, ApprovalNeeded)
    return answer.terms


def test_the_terms_carry_the_rules_reason_without_binding_the_decision_to_it() -> None:
    def terms_with(reason: str) -> Terms:
        rule = ASK.model_copy(update={"reason": reason})
        answer = Governor(policy=policy(rules=(rule,))).judge(call())
        assert isinstance(answer, ApprovalNeeded)
        return answer.terms

    reasoned = terms_with("over the limit since March")
    assert reasoned.wire()["reason"] == "over the limit since March"
    assert "reason" not in terms_with("").wire()
    assert reasoned.digest == terms_with("").digest
    decision = Governance().decide(reasoned).decision
    assert "over the limit" not in decision.signed_bytes().decode()


def test_r34_a_decision_admits_exactly_its_own_call() -> None:
    governance = Governance(rules=[ASK])
    terms = ask(governance)
    decision = governance.decide(terms, decided_at=NOW)
    governor = Governor(policy=governance.policy)
    presented = decision.model_dump_json()
    assert isinstance(governor.judge(call(presented=presented)), Allow)
    for change in (
        {"arguments": lambda: {"order": "p"}},
        {"version": "v2"},
        {"subject": "refund2"},
        {"execution_id": "f"},
        {"workflow_id": "x"},
        {"namespace": "production"},
        {"key": "k2"},
        {"key": None},
        {"run": lambda: RunHeader(tree="w", initiator="reviewer")},
        {"run": lambda: RunHeader(tree="w", initiator="operator", issuers=("reviewer",))},
        {"now": NOW + timedelta(hours=1, seconds=1)},
    ):
        governance.change(rules=(ASK, ASK.model_copy(update={"tool": "refund2", "rule_id": "ask"})))
        answer = Governor(policy=governance.policy).judge(call(presented=presented, **change))
        assert isinstance(answer, Unsupported if "key" in change and change["key"] is None else ApprovalNeeded), change
    for broken in ("", "{}", presented[:-2], presented.replace("approved", "rejected")):
        assert isinstance(governor.judge(call(presented=broken)), ApprovalNeeded)


def scheduled(activity_id: str = "1", **changed: Any) -> Scheduled:
    fields: dict[str, Any] = {"activity_id": activity_id, "scheduled_at": NOW, "local": False, "attempt": 1}
    return Scheduled(**(fields | changed))


def governed(**fields: Any) -> tuple[Governance, Governor, str]:
    governance = Governance(rules=[ASK])
    presented = governance.decide(ask(governance), decided_at=NOW, **fields).model_dump_json()
    return governance, Governor(policy=governance.policy), presented


LATER = NOW + timedelta(hours=2)


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        (scheduled(), scheduled("2"), ApprovalNeeded),
        (scheduled(), scheduled(scheduled_at=NOW + timedelta(seconds=1)), ApprovalNeeded),
        (scheduled(), scheduled("2", attempt=2), ApprovalNeeded),
        (scheduled(), scheduled(attempt=2), Allow),
        (scheduled(local=True), scheduled("2", local=True), ApprovalNeeded),
        (scheduled(local=True), scheduled("2", local=True, attempt=2), Allow),
        (scheduled(local=True), scheduled(local=True, scheduled_at=LATER), Allow),
        (scheduled(), scheduled("2", local=True, attempt=2), ApprovalNeeded),
    ],
    ids=[
        "another activity",
        "the same id scheduled again",
        "a later attempt of another activity",
        "the next attempt",
        "another local activity",
        "after a local backoff",
        "after a repeated workflow task",
        "a local activity after a remote one",
    ],
)
def test_r37_a_decision_admits_one_scheduled_activity(first: Scheduled, then: Scheduled, expected: type) -> None:
    _, governor, presented = governed()
    assert isinstance(governor.judge(call(presented=presented, scheduled=first)), Allow)
    assert isinstance(governor.judge(call(presented=presented, scheduled=then)), expected)


def test_r37_an_evicted_decision_counts_as_used() -> None:
    governance = Governance(rules=[ASK])
    governor = Governor(policy=governance.policy, admissions=Admissions(capacity=2))
    terms = [ask(governance, key=str(number)) for number in range(4)]
    presented = [
        governance.decide(approval, decided_at=NOW + timedelta(seconds=number)).model_dump_json()
        for number, approval in enumerate(terms)
    ]

    def judged(number: int, activity_id: str) -> Any:
        at = NOW + timedelta(minutes=1)
        made = call(presented=presented[number], key=str(number), scheduled=scheduled(activity_id), now=at)
        return governor.judge(made)

    for number in range(3):
        assert isinstance(judged(number, "1"), Allow)
    assert isinstance(judged(0, "2"), ApprovalNeeded), "the first decision was evicted"
    assert isinstance(judged(3, "1"), Allow)


@pytest.mark.parametrize(
    ("attempt", "later_seconds", "expected"),
    [
        (1, 3599, Allow),
        (1, 3601, ApprovalNeeded),
        (7, 3599, Allow),
        (7, 3601, ApprovalNeeded),
        (1, -59, Allow),
        (1, -61, ApprovalNeeded),
        (7, -61, ApprovalNeeded),
    ],
)
def test_r37_a_decisions_date_is_checked_at_its_first_admission_regardless_of_the_attempt(
    attempt: int, later_seconds: float, expected: type
) -> None:
    _, governor, presented = governed()
    now = NOW + timedelta(seconds=later_seconds)
    made = call(presented=presented, now=now, scheduled=scheduled(attempt=attempt))
    assert isinstance(governor.judge(made), expected)


def test_attempts_of_an_admitted_activity_pass_after_the_decision_is_too_old() -> None:
    _, governor, presented = governed()
    assert isinstance(governor.judge(call(presented=presented)), Allow)
    late = call(presented=presented, now=LATER, scheduled=scheduled(attempt=9))
    assert isinstance(governor.judge(late), Allow)


def test_r37_an_attempt_allowed_by_policy_does_not_use_the_decision() -> None:
    """Policy allowed attempt 1 without using the decision, so its date is checked when it is first needed."""
    governance, governor, presented = governed()
    governance.change(rules=())
    assert isinstance(governor.judge(call(presented=presented)), Allow)
    governance.change(rules=(ASK,))
    again = call(presented=presented, now=LATER, scheduled=scheduled(attempt=2))
    assert isinstance(governor.judge(again), ApprovalNeeded)
