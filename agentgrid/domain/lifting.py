"""Which calls a change of rules relaxes: those that are less restricted under the new rules than under the old ones. Pure.

Every known tool is checked by name. A plain activity, or a future tool, can have any name, so for these the rules are compared pair by pair.
Where the comparison can't be exact, it reports too much rather than too little: the contents of conditions are not compared, so any
combination of them is assumed to hold, not to hold, or to be impossible to judge; and an agent that no rule names is assumed to match any glob of
agents.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

from agentgrid.domain.activities import about, governed
from agentgrid.domain.approvals import Changes
from agentgrid.domain.conditions import Condition
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import BY_RISK, Risk, Rule, Snapshot, prevailing
from agentgrid.domain.principals import ANY_APPROVER
from agentgrid.domain.steps import StepKind

Judged = Sequence[tuple[Rule, bool | None]]
GLOB = frozenset("*?[")
MANY, ANY = "many", ""
"""Parts of a glob that match any text, and any single character."""
FILLER = "x"
STRANGER = ""
"""An agent that no rule names."""
MAX_CASES = 256
"""With more combinations of conditions and agent globs than this for one name, they are not enumerated: the name is reported."""
STRICTNESS = {Effect.ALLOW: 0, Effect.REQUIRE_APPROVAL: 1, Effect.DENY: 2}


def lifted(before: Snapshot, after: Snapshot, tools: Mapping[str, Risk]) -> tuple[str, ...]:
    """The tools, activities and patterns that become less restricted: a weaker effect (deny, require approval, allow), more
    approvers, or changed arguments approved by one person.

    tools: the known tools with their risks.
    """
    exact = [rule for rule in (*before.rules, *after.rules) if not _is_glob(rule)]
    named = {rule.tool for rule in exact}
    tried = [
        *((name, risk, StepKind.TOOL) for name, risk in tools.items()),
        *((name, risk, StepKind.TOOL) for name in named - tools.keys() for risk in Risk),
        # A plain activity can have the name of a tool.
        *((name, Risk.READ, kind.step) for name in named for kind in governed() if kind.step is not StepKind.TOOL),
    ]
    names = {name for name, risk, kind in tried if _may_need_less(before.rules, after.rules, name, risk, kind)}
    return tuple(sorted(names | _patterns(before, after)))


def _may_need_less(before: Sequence[Rule], after: Sequence[Rule], name: str, risk: Risk, kind: StepKind) -> bool:
    """Whether some call of this name, by any agent or none, may become less restricted."""
    old, new = ([rule for rule in rules if rule.fits(name, kind)] for rules in (before, after))
    if not any(_is_narrow(rule) for rule in (*old, *new)):
        return _less([(rule, True) for rule in old], [(rule, True) for rule in new], name, None, risk)
    if all(rule in old for rule in new) and all(rule in new for rule in old):
        return False
    cases = _cases([*old, *new])
    if cases is None:
        return True
    return any(
        _less([(rule, judge(rule)) for rule in old], [(rule, judge(rule)) for rule in new], name, agent, risk)
        for agent, judge in cases
    )


def _less(old: Judged, new: Judged, name: str, agent: str | None, risk: Risk) -> bool:
    then, now = (prevailing(judged, name, agent, BY_RISK[risk]).rule for judged in (old, new))
    return needs_less(now, then)


def _cases(rules: Sequence[Rule]) -> Iterator[tuple[str | None, Callable[[Rule], bool | None]]] | None:
    """The combinations of caller and condition results that may differ: who calls, and which rules then match. None if there are too many."""
    agents = {rule.agent for rule in rules if rule.agent is not None}
    globs = sorted(agent for agent in agents if GLOB & set(agent))
    conditions = list(dict.fromkeys(rule.when for rule in rules if rule.when))
    if 2 ** len(globs) * 3 ** len(conditions) > MAX_CASES:
        return None
    return _combinations(sorted(agents - set(globs)), globs, conditions)


def _combinations(
    named: Sequence[str], globs: Sequence[str], conditions: Sequence[tuple[Condition, ...]]
) -> Iterator[tuple[str | None, Callable[[Rule], bool | None]]]:
    for results in itertools.product((True, False, None), repeat=len(conditions)):
        holds = {(): True, **dict(zip(conditions, results, strict=True))}
        for caller in (None, *named):
            yield caller, lambda rule, caller=caller, holds=holds: rule.is_about(caller) and holds[rule.when]  # type: ignore[misc]
        for matched in _subsets(globs):
            # An agent that no rule names. `STRANGER` can stand for it, because it equals no rule's agent.
            yield (
                STRANGER,
                lambda rule, matched=matched, holds=holds: (  # type: ignore[misc]
                    (rule.agent is None or rule.agent in matched) and holds[rule.when]
                ),
            )


def _subsets(values: Sequence[str]) -> list[tuple[str, ...]]:
    return [subset for size in range(len(values) + 1) for subset in itertools.combinations(values, size)]


def _is_narrow(rule: Rule) -> bool:
    """Whether it applies only to some callers or arguments."""
    return rule.agent is not None or bool(rule.when)


def needs_less(rule: Rule, than: Rule) -> bool:
    """Whether this rule is less restrictive than the other."""
    if rule.effect is not than.effect:
        return STRICTNESS[rule.effect] < STRICTNESS[than.effect]
    if rule.effect is not Effect.REQUIRE_APPROVAL:
        return False
    if (rule.changes, than.changes) == (Changes.ONE_PERSON, Changes.SECOND_PERSON):
        return True
    return ANY_APPROVER not in than.approvers and not set(rule.approvers) <= set(than.approvers)


def _patterns(before: Snapshot, after: Snapshot) -> set[str]:
    """The globs under which some name, of any risk, may become less restricted."""
    old, new = _globs(before.rules), _globs(after.rules)
    relaxed = set()
    for rule in new:
        if any(_same(rule, other) for other in old):
            continue
        # Names that this rule newly governs, and that its earlier version, another rule or a built-in rule governed before.
        loosened = [other for other in old if needs_less(rule, other)]
        as_loose = any(_covers(other, rule) and not needs_less(rule, other) for other in old)
        if any(
            _shared(rule, other) is not None if other.rule_id == rule.rule_id else _may_precede(rule, other)
            for other in loosened
        ) or (any(needs_less(rule, other) for other in _built_in(rule)) and not as_loose):
            relaxed.add(rule.tool)
    for rule in old:
        if any(_same(rule, other) for other in new):
            continue
        # Names that this rule governed, and that other or built-in rules now govern because its next version doesn't.
        successors = [other for other in new if other.rule_id == rule.rule_id and _covers(other, rule)]
        looser = [other for other in new if other.rule_id != rule.rule_id and needs_less(other, rule)]
        if any(
            _may_precede(rule, other) and all(_may_precede(other, successor) for successor in successors)
            for other in looser
        ) or (not successors and any(needs_less(other, rule) for other in _built_in(rule))):
            relaxed.add(rule.tool)
    return relaxed


def _may_precede(rule: Rule, other: Rule) -> bool:
    """Whether this rule may take precedence over the other for a call that both match."""
    shared = _shared(rule, other)
    if shared is None:
        return False
    name, kind, agent = shared
    if not all(candidate.fits(name, kind) and candidate.is_about(agent) for candidate in (rule, other)):
        return True
    return prevailing([(rule, True), (other, True)], name, agent, BY_RISK[Risk.READ]).rule is rule


def _shared(rule: Rule, other: Rule) -> tuple[str, StepKind, str | None] | None:
    """The name, kind and agent of a call that both rules match; None if there is no such call."""
    kinds = about(rule.kind) & about(other.kind)
    name = _common(rule.tool, other.tool) if kinds else None
    if name is None:
        return None
    agents = [candidate.agent for candidate in (rule, other) if candidate.agent is not None]
    agent = _common(agents[0], agents[-1]) if agents else None
    return None if agents and agent is None else (name, min(kinds), agent)


def _covers(rule: Rule, other: Rule) -> bool:
    """Whether this rule matches everything that the other does: the same name or glob, and at least the same kinds, callers and arguments."""
    named = rule.tool == other.tool and about(other.kind) <= about(rule.kind)
    return named and rule.agent in (None, other.agent) and rule.when in ((), other.when)


def _built_in(rule: Rule) -> list[Rule]:
    """The built-in rules that may apply where this rule does. Only tools have a risk; everything else counts as `read`."""
    risks = Risk if StepKind.TOOL in about(rule.kind) else (Risk.READ,)
    return [BY_RISK[risk] for risk in risks]


def _same(rule: Rule, other: Rule) -> bool:
    """Whether both are equal, ignoring versions, reasons and expiries."""
    scopes = [
        (candidate.rule_id, candidate.kind, candidate.tool, candidate.agent, candidate.when)
        for candidate in (rule, other)
    ]
    return scopes[0] == scopes[1] and not _differ(rule, other)


def _differ(rule: Rule, other: Rule) -> bool:
    return (rule.effect, rule.changes, set(rule.approvers)) != (other.effect, other.changes, set(other.approvers))


def _is_glob(rule: Rule) -> bool:
    return bool(GLOB & set(rule.tool))


def _globs(rules: Sequence[Rule]) -> list[Rule]:
    return [rule for rule in rules if _is_glob(rule)]


def _common(one: str, other: str) -> str | None:
    """A name that matches both globs, or None if there is none. A character set is treated as any character."""
    first, second = _parts(one), _parts(other)
    # Dynamic programming from the ends: a common match of the remaining parts, column by column.
    below: list[str | None] = []
    for i in range(len(first), -1, -1):
        row: list[str | None] = [None] * (len(second) + 1)
        for j in range(len(second), -1, -1):
            here = first[i] if i < len(first) else None
            there = second[j] if j < len(second) else None
            down, right = (below[j] if here is not None else None), (row[j + 1] if there is not None else None)
            if here is None and there is None:
                row[j] = ""
            elif here == MANY or there == MANY:
                # The star matches nothing more, or the other glob's next part.
                row[j] = _first(
                    down if here == MANY else _prepended(here, down),
                    right if there == MANY else _prepended(there, right),
                )
            elif here is not None and there is not None and (here == there or ANY in (here, there)):
                row[j] = _prepended(here or there, below[j + 1])
        below = row
    return below[0]


def _first(*texts: str | None) -> str | None:
    return next((text for text in texts if text is not None), None)


def _prepended(part: str | None, rest: str | None) -> str | None:
    return None if part is None or rest is None else (part or FILLER) + rest


def _parts(glob: str) -> list[str]:
    """The glob's parts, as `fnmatch` parses them: MANY, ANY, or one character."""
    parts, i = [], 0
    while i < len(glob):
        if glob[i] == "[":
            start = i + 1 + glob[i + 1 : i + 2].count("!")
            end = glob.find("]", start + glob[start : start + 1].count("]"))
            if end >= 0:
                parts.append(ANY)
                i = end + 1
                continue
        parts.append({"*": MANY, "?": ANY}.get(glob[i], glob[i]))
        i += 1
    return parts
