"""Which rule applies to a call: a function of the set of rules, in the order of decision 0019."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import BY_RISK, Risk, Rule, Snapshot
from agentgrid.domain.steps import StepKind

PATTERNS = ["refund", "refund*", "ref*", "*", "re?und", "[a-z]*", "refund_card", "pay*", "*_card"]
NAMES = ["refund", "refund_card", "pay", "read"]

RULES = st.lists(
    st.builds(
        Rule,
        rule_id=st.sampled_from(["a", "b", "c", "tool:refund", "tool:refund_card", "tool:pay"]),
        tool=st.sampled_from(PATTERNS),
        effect=st.sampled_from(Effect),
    ),
    max_size=7,
    unique_by=lambda rule: rule.rule_id,
)


def applies(rules: list[Rule], name: str, risk: Risk = Risk.WRITE) -> Rule:
    return Snapshot(version=1, made_at=datetime(2026, 1, 1, tzinfo=UTC), rules=tuple(rules)).rule_for(name, risk)


def rule(rule_id: str, tool: str, effect: Effect) -> Rule:
    return Rule(rule_id=rule_id, tool=tool, effect=effect)


@given(rules=RULES, name=st.sampled_from(NAMES), risk=st.sampled_from(Risk), data=st.data())
def test_precedence_is_own_then_exact_then_denying_globs_then_length_then_risk(
    rules: list[Rule], name: str, risk: Risk, data: st.DataObject
) -> None:
    held = applies(rules, name, risk)
    assert applies(data.draw(st.permutations(rules)), name, risk) == held, "the order of the rules makes no difference"
    fitting = [each for each in rules if each.fits(name)]
    exact = [each for each in fitting if each.tool == name]
    own = [each for each in exact if each.rule_id == f"tool:{name}"]
    denying = [each for each in fitting if each.effect is Effect.DENY]
    if not fitting:
        assert held == BY_RISK[risk]
    elif own:
        assert held in own
    elif exact:
        assert held in exact
        assert (held.effect is Effect.DENY) == any(each.effect is Effect.DENY for each in exact)
    elif denying:
        assert held in denying
    else:
        longest = max(len(each.tool) for each in fitting)
        assert held in [each for each in fitting if len(each.tool) == longest]


def test_a_rule_may_name_a_kind() -> None:
    def held(kind: StepKind, *rules: Rule) -> str:
        snapshot = Snapshot(version=1, made_at=datetime(2026, 1, 1, tzinfo=UTC), rules=rules)
        return snapshot.rule_for("refund", Risk.WRITE, kind).rule_id

    both = rule("both", "refund", Effect.REQUIRE_APPROVAL)
    activities = Rule(rule_id="activities", kind=StepKind.ACTIVITY, tool="refund", effect=Effect.ALLOW)
    assert [held(kind, both) for kind in (StepKind.TOOL, StepKind.ACTIVITY)] == ["both", "both"]
    assert held(StepKind.MODEL, both, rule("all", "*", Effect.DENY)) == "default:write", "neither rule names the kind"
    assert [held(kind, both, activities) for kind in (StepKind.TOOL, StepKind.ACTIVITY)] == ["both", "activities"]
    denies = both.model_copy(update={"effect": Effect.DENY})
    assert held(StepKind.ACTIVITY, denies, activities) == "both", "a denial is not displaced by its kind"
    longer = Rule(rule_id="longer", tool="refun*", effect=Effect.REQUIRE_APPROVAL)
    shorter = Rule(rule_id="shorter", kind=StepKind.ACTIVITY, tool="ref*", effect=Effect.ALLOW)
    assert held(StepKind.ACTIVITY, longer, shorter) == "longer", "the glob's length takes precedence over the kind"
    own = rule("tool:refund", "refund", Effect.ALLOW)
    assert held(StepKind.TOOL, own, denies) == "tool:refund"
    later = Rule.model_validate({"rule_id": "later", "kind": "telepathy", "tool": "*", "effect": "deny"})
    assert held(StepKind.TOOL, later) == "default:write", "its kind is only known to a later version"


@given(rules=RULES, deny=st.sampled_from(["*", "?*", "[a-z]*"]), name=st.sampled_from(NAMES))
def test_no_other_glob_overrides_a_glob_that_denies_r36(rules: list[Rule], deny: str, name: str) -> None:
    globs = [each for each in rules if each.tool not in NAMES]
    assert applies([*globs, rule("closed", deny, Effect.DENY)], name).effect is Effect.DENY


@pytest.mark.parametrize(
    ("rules", "holds"),
    [
        ([], "default:write"),
        ([rule("short", "re*", Effect.ALLOW)], "short"),
        ([rule("short", "re*", Effect.DENY), rule("long", "refun*", Effect.ALLOW)], "short"),
        ([rule("short", "re*", Effect.REQUIRE_APPROVAL), rule("long", "refun*", Effect.ALLOW)], "long"),
        ([rule("x", "re*nd", Effect.ALLOW), rule("y", "refu*", Effect.REQUIRE_APPROVAL)], "y"),
        ([rule("glob", "*", Effect.DENY), rule("exact", "refund", Effect.ALLOW)], "exact"),
        ([rule("exact", "refund", Effect.DENY), rule("tool:refund", "refund", Effect.ALLOW)], "tool:refund"),
    ],
)
def test_the_rule_that_applies(rules: list[Rule], holds: str) -> None:
    assert applies(rules, "refund").rule_id == holds
