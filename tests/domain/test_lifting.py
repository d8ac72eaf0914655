"""Which calls a change of rules relaxes, checked against every short name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from agentgrid.domain.approvals import Changes
from agentgrid.domain.conditions import Condition
from agentgrid.domain.effects import Effect
from agentgrid.domain.lifting import lifted, needs_less
from agentgrid.domain.policies import Risk, Rule, Snapshot
from agentgrid.domain.steps import StepKind

NAMES = ["".join(letters) for length in range(4) for letters in itertools.product("abx", repeat=length)]

globs = st.text("ab*?", min_size=1, max_size=3) | st.sampled_from(["[ab]", "[!a]*", "[", "a]", "*[b]"])
effects = st.sampled_from(Effect)
approvers = st.sets(st.sampled_from(["role:approver", "finance", "sales"]), min_size=1).map(
    lambda each: tuple(sorted(each))
)
kinds = st.sampled_from([None, StepKind.TOOL, StepKind.ACTIVITY])
agents = st.sampled_from([None, None, "one", "o*", "*e", "two"])
conditions = st.sampled_from(
    [(), (), (Condition(argument="n", op=">", value=1),), (Condition(argument="m", op="exists"),)]
)
rules = st.builds(
    Rule,
    rule_id=st.sampled_from(["r1", "r2", "r3", "tool:a", "tool:ab", "agent:one"]),
    kind=kinds,
    tool=globs,
    agent=agents,
    when=conditions,
    effect=effects,
    approvers=approvers,
    changes=st.sampled_from(Changes),
)
CALLERS = [None, "one", "two", "other"]
ARGUMENTS: list[dict[str, int]] = [{}, {"n": 2}, {"n": 1, "m": 1}]
CALLS = [*((name, risk, StepKind.TOOL) for name in NAMES for risk in Risk)] + [
    (name, Risk.READ, StepKind.ACTIVITY) for name in NAMES
]


Called = tuple[tuple[str, Risk, StepKind], str | None, dict[str, int]]


def calls_of(*rules: Rule) -> Iterator[Called]:
    """Every call for which these rules can differ."""
    callers = CALLERS if any(rule.agent for rule in rules) else CALLERS[:1]
    arguments = ARGUMENTS if any(rule.when for rule in rules) else ARGUMENTS[:1]
    calls = CALLS if len(callers) == len(arguments) == 1 else [call for call in CALLS if len(call[0]) < 3]
    return itertools.product(calls, callers, arguments)


def applies(
    snapshot: Snapshot, call: tuple[str, Risk, StepKind], caller: str | None, arguments: dict[str, int]
) -> Rule:
    return snapshot.rule_for(*call, agent=caller, arguments=lambda: arguments)


def snapshot(*rules: Rule) -> Snapshot:
    return Snapshot(version=1, made_at=datetime.now(UTC), rules=rules)


def one(tool: str, effect: Effect, rule_id: str = "r1", *approvers: str) -> Rule:
    return Rule(rule_id=rule_id, tool=tool, effect=effect, approvers=approvers or ("role:approver",))


@given(
    kept=st.lists(rules, max_size=3, unique_by=lambda rule: rule.rule_id),
    before=rules | st.none(),
    after=rules | st.none(),
)
@example(kept=[one("a*", Effect.REQUIRE_APPROVAL)], before=None, after=one("*b?", Effect.ALLOW, "changed"))
@example(kept=[], before=one("a*", Effect.DENY, "changed"), after=one("ab*", Effect.DENY, "changed"))
@example(
    kept=[one("aa*", Effect.DENY), one("a*a*", Effect.ALLOW, "r2")],
    before=one("aa*a", Effect.DENY, "changed"),
    after=None,
)
def test_every_relaxed_name_is_reported(kept: list[Rule], before: Rule | None, after: Rule | None) -> None:
    """If any call is less restricted after the change, the change is reported."""
    changed = [each.model_copy(update={"rule_id": "changed"}) for each in (before, after) if each is not None]
    old = snapshot(*kept, *(changed[:1] if before is not None else ()))
    new = snapshot(*kept, *(changed[-1:] if after is not None else ()))
    if not lifted(old, new, {}):
        relaxed = [
            call for call in calls_of(*old.rules, *new.rules) if needs_less(applies(new, *call), applies(old, *call))
        ]
        assert not relaxed, relaxed[:5]
    assert lifted(old, old, {}) == ()


def test_a_rule_that_adds_a_kind_relaxes_the_other_kinds() -> None:
    """Even if the name is that of a known tool, because a plain activity can have the same name."""
    known = {"wire": Risk.DESTRUCTIVE}
    for glob in ("wire", "wi*", "later"):
        both = one(glob, Effect.DENY)
        tools = both.model_copy(update={"kind": StepKind.TOOL})
        assert lifted(snapshot(both), snapshot(tools), known) == (glob,)
        assert lifted(snapshot(tools), snapshot(both), known) == ()
        assert lifted(snapshot(both), snapshot(both, tools.model_copy(update={"rule_id": "r2"})), known) == ()
    assert lifted(snapshot(one("wire", Effect.REQUIRE_APPROVAL)), snapshot(), known) == ("wire",), (
        "only the tool still requires approval"
    )
    asks = Rule(rule_id="r1", kind=StepKind.ACTIVITY, tool="a*", effect=Effect.REQUIRE_APPROVAL)
    allows = asks.model_copy(update={"effect": Effect.ALLOW})
    assert lifted(snapshot(asks), snapshot(allows), {}) == ("a*",)
    assert lifted(snapshot(), snapshot(allows), {"ab": Risk.DESTRUCTIVE}) == (), "plain activities are allowed anyway"


def test_conditions_and_agents_that_change_are_reported() -> None:
    asks = one("wire", Effect.REQUIRE_APPROVAL)
    large = one("wire", Effect.DENY, "r2").model_copy(update={"when": (Condition(argument="n", op=">", value=1),)})
    true = large.model_copy(update={"when": (Condition(argument="n", op=">", value=True),)})
    agents = one("*", Effect.DENY, "r3").model_copy(update={"agent": "payer"})
    known = {"wire": Risk.DESTRUCTIVE}
    assert lifted(snapshot(asks), snapshot(asks, large, agents), known) == ()
    assert lifted(snapshot(asks, large), snapshot(asks), known) == ("wire",)
    assert lifted(snapshot(asks, large), snapshot(asks, true), known) == ("wire",), "true is not 1"
    assert lifted(snapshot(asks, agents), snapshot(asks), known) == ("*", "wire")
    excepted = one("wire", Effect.ALLOW, "r4").model_copy(update={"agent": "payer"})
    assert lifted(snapshot(asks), snapshot(asks, excepted), known) == ("wire",)


def test_a_change_that_relaxes_only_calls_with_hidden_arguments_is_reported() -> None:
    """The tool's own rule displaces the denial, except where their condition can't be judged."""
    large = (Condition(argument="n", op=">", value=1),)
    denial = one("wire", Effect.DENY).model_copy(update={"when": large})
    allows = denial.model_copy(update={"rule_id": "tool:wire", "effect": Effect.ALLOW})
    assert applies(snapshot(denial, allows), ("wire", Risk.READ, StepKind.TOOL), None, {}) == denial
    assert lifted(snapshot(denial, allows), snapshot(allows), {"wire": Risk.READ}) == ("wire",)


def test_a_change_that_is_not_weaker_relaxes_nothing() -> None:
    asks = one("pay*", Effect.REQUIRE_APPROVAL, "r1", "finance", "sales")
    fewer = asks.model_copy(update={"approvers": ("sales",), "version": 2, "reason": "quarter end"})
    harder = asks.model_copy(update={"effect": Effect.DENY})
    looser = one("pay_small*", Effect.ALLOW, "r2")
    assert lifted(snapshot(asks), snapshot(fewer), {}) == ()
    assert lifted(snapshot(asks), snapshot(harder), {}) == ()
    assert lifted(snapshot(asks, looser), snapshot(fewer, looser), {}) == ()
    assert lifted(snapshot(looser), snapshot(asks, looser), {"pay_small_change": Risk.DESTRUCTIVE}) == ()
    assert lifted(snapshot(), snapshot(one("mail", Effect.ALLOW)), {"mail": Risk.WRITE}) == ()


def test_relaxed_names_and_patterns_are_reported() -> None:
    asks = one("pay*", Effect.REQUIRE_APPROVAL, "r1", "finance")
    known = {"pay_out": Risk.READ, "mail": Risk.WRITE, "wipe": Risk.DESTRUCTIVE}
    assert lifted(snapshot(asks), snapshot(), known) == ("pay*", "pay_out")
    wider = asks.model_copy(update={"approvers": ("finance", "interns")})
    assert lifted(snapshot(asks), snapshot(wider), known) == ("pay*", "pay_out")
    assert lifted(snapshot(), snapshot(one("wipe", Effect.ALLOW)), known) == ("wipe",)
    assert lifted(snapshot(), snapshot(one("later", Effect.ALLOW)), known) == ("later",), (
        "a future tool may be destructive"
    )


def test_changes_by_one_person_are_less_restricted_than_changes_by_two() -> None:
    one = Rule(rule_id="r", tool="crm_*", effect=Effect.REQUIRE_APPROVAL)
    two = one.model_copy(update={"changes": Changes.SECOND_PERSON})
    assert lifted(snapshot(two), snapshot(one), {"crm_x": Risk.READ}) == ("crm_*", "crm_x")
    assert lifted(snapshot(one), snapshot(two), {"crm_x": Risk.READ}) == ()
