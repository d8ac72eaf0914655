"""Rules that name agents, tools or both, with conditions: which one applies to a call, in the order of decision 0036."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgrid.domain.conditions import Condition
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import BY_RISK, Risk, Rule, Snapshot
from agentgrid.domain.steps import StepKind

STRICT = [Effect.ALLOW, Effect.REQUIRE_APPROVAL, Effect.DENY]
LARGE = Condition(argument="amount", op=">", value=100)
SMALL = Condition(argument="amount", op="<=", value=100)
ARGUMENTS: list[dict[str, Any]] = [{"amount": 50}, {"amount": 500}, {}, {"amount": "500"}]
AGENTS = [None, "triager", "trainee"]
NARROWER = [None, "*", "tr*", "triager"]
"""The agents of rules, from least to most specific."""

rules = st.builds(
    Rule,
    rule_id=st.sampled_from(["a", "b", "c", "d", "tool:refund", "agent:triager"]),
    tool=st.sampled_from(["refund", "re*", "*", "pay"]),
    agent=st.sampled_from([None, "triager", "tr*", "*"]),
    when=st.sampled_from([(), (LARGE,), (SMALL,)]),
    effect=st.sampled_from(Effect),
)
sets = st.lists(rules, max_size=6, unique_by=lambda rule: rule.rule_id)


def applies(rules: list[Rule], agent: str | None = None, arguments: Any = None, risk: Risk = Risk.WRITE) -> Rule:
    snapshot = Snapshot(version=1, made_at=datetime(2026, 1, 1, tzinfo=UTC), rules=tuple(rules))
    return snapshot.rule_for("refund", risk, agent=agent, arguments=lambda: arguments)


def matching(rules: list[Rule], agent: str | None, arguments: Any) -> list[Rule]:
    return [rule for rule in rules if rule.fits("refund") and rule.is_about(agent) and rule.holds(arguments)]


def rule(rule_id: str, effect: Effect, tool: str = "refund", agent: str | None = None, *when: Condition) -> Rule:
    return Rule(rule_id=rule_id, effect=effect, tool=tool, agent=agent, when=when)


@given(rules=sets, agent=st.sampled_from(AGENTS), arguments=st.sampled_from(ARGUMENTS), data=st.data())
def test_the_order_of_the_rules_makes_no_difference(
    rules: list[Rule], agent: str | None, arguments: Any, data: st.DataObject
) -> None:
    assert applies(data.draw(st.permutations(rules)), agent, arguments) == applies(rules, agent, arguments)


@given(rules=sets, agent=st.sampled_from(AGENTS), arguments=st.sampled_from(ARGUMENTS))
def test_a_denial_is_displaced_only_by_a_rule_that_names_the_tool_and_is_at_least_as_specific(
    rules: list[Rule], agent: str | None, arguments: Any
) -> None:
    held = applies(rules, agent, arguments)
    found = matching(rules, agent, arguments)
    for denial in (each for each in found if each.effect is Effect.DENY and held.effect is not Effect.DENY):
        exceptions = [
            each
            for each in found
            if each.effect is not Effect.DENY
            and each.tool == "refund"
            and NARROWER.index(each.agent) >= NARROWER.index(denial.agent)
            and (each.when or not denial.when)
            and (denial.tool != "refund" or each.agent == "triager" != denial.agent or each.rule_id == "tool:refund")
        ]
        assert exceptions, (denial, held)
        assert any(STRICT.index(held.effect) >= STRICT.index(each.effect) for each in exceptions)


def test_an_exception_to_a_denial_that_is_displaced_leaves_the_denial_in_force():
    denial = rule("c", Effect.DENY, "refund", None, LARGE)
    exception = rule("tool:refund", Effect.REQUIRE_APPROVAL, "refund", None, LARGE)
    for_some = rule("b", Effect.ALLOW, "refund", "tr*", LARGE)
    assert applies([denial, exception], "triager", {"amount": 500}) == exception
    assert applies([denial, for_some], "triager", {"amount": 500}) == denial
    assert applies([denial, exception, for_some], "triager", {"amount": 500}) == denial


@pytest.mark.parametrize("effect", Effect)
def test_hiding_an_argument_lifts_no_denial(effect: Effect) -> None:
    """The rule with the condition displaces the exception if it holds, which leaves the denial in force."""
    denial, exception = rule("c", Effect.DENY), rule("tool:refund", Effect.ALLOW)
    large = rule("b", effect, "refund", None, LARGE)
    rules = [denial, exception, large]
    assert applies([denial, exception], arguments={}) == exception
    assert applies(rules, arguments={"amount": 50}) == exception
    assert [applies(rules, arguments=hidden).effect for hidden in ARGUMENTS[1:]] == [Effect.DENY] * 3


NOTHING = Condition(argument="nothing", op="exists", value=False)
"""Always holds, and counts towards specificity like any other condition."""


@given(rules=sets, agent=st.sampled_from(AGENTS), unclear=st.sampled_from(ARGUMENTS[2:]), risk=st.sampled_from(Risk))
def test_rules_that_cannot_be_judged_give_the_strictest_possible_result(
    rules: list[Rule], agent: str | None, unclear: Any, risk: Risk
) -> None:
    """Hiding what a condition checks never gains anything."""
    plain = [each for each in rules if not each.when]
    doubtful = [each.model_copy(update={"when": (NOTHING,)}) for each in rules if each.when]
    subsets = itertools.chain.from_iterable(itertools.combinations(doubtful, n) for n in range(len(doubtful) + 1))
    could_be = [applies([*plain, *subset], agent, {}, risk) for subset in subsets]
    held = applies(rules, agent, unclear, risk)
    assert STRICT.index(held.effect) == max(STRICT.index(each.effect) for each in could_be)


@given(rules=sets, agent=st.sampled_from(AGENTS), arguments=st.sampled_from(ARGUMENTS))
def test_a_rule_for_an_agent_never_changes_what_workflow_code_may_do(
    rules: list[Rule], agent: str | None, arguments: Any
) -> None:
    assert applies(rules, None, arguments) == applies([each for each in rules if each.agent is None], None, arguments)


A, ASK, DENY = Effect.ALLOW, Effect.REQUIRE_APPROVAL, Effect.DENY


@pytest.mark.parametrize(
    ("rules", "agent", "arguments", "held"),
    [
        ([rule("t", ASK), rule("both", A, "refund", "triager")], "triager", {}, "both"),
        ([rule("t", ASK), rule("both", A, "refund", "triager")], None, {}, "t"),
        ([rule("t", DENY), rule("both", A, "refund", "triager")], "triager", {}, "both"),
        ([rule("t", DENY), rule("both", A, "refund", "tr*")], "triager", {}, "t"),
        ([rule("t", A), rule("all", DENY, "*", "triager")], "triager", {}, "all"),
        ([rule("tool:refund", A), rule("agent:triager", ASK, "*", "triager")], "triager", {}, "agent:triager"),
        ([rule("tool:refund", ASK), rule("agent:triager", A, "*", "triager")], "triager", {}, "tool:refund"),
        ([rule("closed", DENY, "re*"), rule("agent:triager", A, "*", "triager")], "triager", {}, "closed"),
        ([rule("t", ASK, "re*"), rule("agent:triager", A, "*", "triager")], "triager", {}, "t"),
        ([rule("t", ASK, "*"), rule("agent:triager", A, "*", "triager")], "triager", {}, "agent:triager"),
        ([rule("tool:refund", ASK), rule("small", A, "refund", None, SMALL)], None, {"amount": 50}, "small"),
        ([rule("tool:refund", ASK), rule("small", A, "refund", None, SMALL)], None, {"amount": 500}, "tool:refund"),
        ([rule("tool:refund", ASK), rule("small", A, "refund", None, SMALL)], None, {}, "tool:refund"),
        ([rule("tool:refund", A), rule("large", DENY, "refund", None, LARGE)], None, {"amount": 500}, "large"),
        ([rule("tool:refund", A), rule("large", DENY, "refund", None, LARGE)], None, {}, "large"),
        ([rule("tool:refund", A), rule("large", ASK, "refund", None, LARGE)], None, {"amount": "500"}, "large"),
        (
            [rule("large", DENY, "refund", None, LARGE), rule("both", A, "refund", "triager")],
            "triager",
            {"amount": 500},
            "large",
        ),
        ([rule("closed", DENY), rule("small", A, "refund", None, SMALL)], None, {"amount": 50}, "closed"),
    ],
)
def test_the_rule_that_applies(rules: list[Rule], agent: str | None, arguments: Any, held: str) -> None:
    assert applies(rules, agent, arguments).rule_id == held


def test_a_rule_with_a_field_from_a_later_version_cannot_be_judged() -> None:
    """An older worker must not treat it as a rule without that field."""

    def later(effect: Effect) -> Rule:
        return Rule.model_validate({"rule_id": "later", "tool": "refund", "effect": effect, "hours": "9-17"})

    assert applies([later(Effect.ALLOW)], risk=Risk.DESTRUCTIVE) == BY_RISK[Risk.DESTRUCTIVE]
    assert applies([later(Effect.DENY), rule("tool:refund", Effect.ALLOW)]).rule_id == "later"
    assert applies([later(Effect.REQUIRE_APPROVAL), rule("all", Effect.DENY, "*")]).rule_id == "all"


def test_a_rule_for_an_agent_requires_approval_of_a_model_turn_only_if_it_names_the_kind() -> None:
    snapshot = Snapshot(
        version=1,
        made_at=datetime(2026, 1, 1, tzinfo=UTC),
        rules=(rule("all", Effect.DENY, "*"), rule("agent:triager", Effect.REQUIRE_APPROVAL, "*", "triager")),
    )
    assert snapshot.rule_for("triager", Risk.READ, StepKind.MODEL, agent="triager") == BY_RISK[Risk.READ]


def test_the_snapshot_omits_default_values() -> None:
    """Otherwise a worker of an earlier version could not judge rules that don't use a new field."""
    assert {"agent", "when"} & rule("t", Effect.DENY).model_dump(mode="json").keys() == set()
    full = rule("t", Effect.DENY, "refund", "triager", LARGE)
    assert Rule.model_validate_json(full.model_dump_json()) == full
