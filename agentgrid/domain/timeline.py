"""A run's timeline: which steps are grouped into one line, how long the run worked, and what usually comes next."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from agentgrid.domain import asks, moments
from agentgrid.domain.principals import approvers_in_words
from agentgrid.domain.steps import StepKind, StepStatus

FAN_OUT = 20
"""If a run has too many steps, at least this many consecutive siblings of the same kind and name are folded into a group."""
BINS = 24
"""The number of equal time intervals in which a group's steps are counted."""
LABEL_PARTS = 3
LABEL_PART_CHARACTERS = 40
LABEL_CHARACTERS = 80
USUAL_STEPS = 8
USUAL_SHARE = 0.2
"""A step is usual if at least this share of the earlier runs took it."""
ERROR_HEAD = 1_500
"""The number of characters of a stored error that `error_head` needs."""
MESSAGE_CHARACTERS = 300

_STRING = r'"(?:[^"\\]|\\.)*'
_HEAD = re.compile(rf'\{{\s*"type"\s*:\s*({_STRING}"|null)(?:\s*,\s*"message"\s*:\s*({_STRING}"?))?', re.DOTALL)
_TORN_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?$")

StepKey = tuple[str, int]
"""The execution and the event id that identify a step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The fields of a step that folding needs."""

    key: StepKey
    parent: int | None
    kind: str
    name: str
    status: str
    scheduled_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """The number of a group's steps that ended in one time interval or, if still open, were scheduled in it."""

    done: int
    failed: int
    open: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Consecutive siblings of the same kind and name, shown as one line."""

    first: Shape
    last: Shape
    count: int
    done: int
    failed: int
    open: int
    beneath: int
    """The number of descendants of its steps, at any depth."""
    first_at: datetime
    last_at: datetime
    bins: tuple[Bin, ...]


@dataclass(frozen=True, kw_only=True)
class FoldedSteps:
    """The steps that are shown individually, and the groups of the others."""

    kept: Sequence[StepKey]
    groups: Sequence[Group]


def fold(steps: Sequence[Shape]) -> FoldedSteps:
    """Fold at least `FAN_OUT` consecutive siblings of the same kind and name into a group. steps: in the order in which they were scheduled."""
    known = {step.key for step in steps}
    children: dict[StepKey | None, list[Shape]] = {}
    for step in steps:
        above = None if step.parent is None else (step.key[0], step.parent)
        # A parent that is unknown, or not an earlier step, would make a cycle that is never reached.
        top = above is None or above not in known or above[1] >= step.key[1]
        children.setdefault(None if top else above, []).append(step)
    kept: list[StepKey] = []
    groups: list[Group] = []
    waiting: list[StepKey | None] = [None]
    while waiting:
        for row in _rows(children.get(waiting.pop(), ())):
            if len(row) >= FAN_OUT:
                groups.append(_group(row, children))
            else:
                kept.extend(step.key for step in row)
                waiting.extend(step.key for step in row if step.key in children)
    return FoldedSteps(kept=kept, groups=groups)


def _rows(siblings: Iterable[Shape]) -> Iterable[list[Shape]]:
    row: list[Shape] = []
    for step in siblings:
        if row and (step.kind, step.name, step.key[0]) != (row[0].kind, row[0].name, row[0].key[0]):
            yield row
            row = []
        row.append(step)
    if row:
        yield row


def _group(row: Sequence[Shape], children: Mapping[StepKey | None, Sequence[Shape]]) -> Group:
    first_at = min(step.scheduled_at for step in row)
    last_at = max(step.closed_at or step.scheduled_at for step in row)
    stretch = (last_at - first_at).total_seconds() / BINS
    bins = [[0, 0, 0] for _ in range(BINS)]
    for step in row:
        since = ((step.closed_at or step.scheduled_at) - first_at).total_seconds()
        bins[min(int(since / stretch), BINS - 1) if stretch else 0][_outcome(step.status)] += 1
    done, failed, still_open = (sum(counts[which] for counts in bins) for which in range(3))
    return Group(
        first=row[0],
        last=row[-1],
        count=len(row),
        done=done,
        failed=failed,
        open=still_open,
        beneath=_beneath(row, children),
        first_at=first_at,
        last_at=last_at,
        bins=tuple(Bin(done=counts[0], failed=counts[1], open=counts[2]) for counts in bins),
    )


def _outcome(status: str) -> int:
    if not StepStatus(status).closed:
        return 2
    return 0 if status == StepStatus.COMPLETED else 1


def _beneath(row: Sequence[Shape], children: Mapping[StepKey | None, Sequence[Shape]]) -> int:
    count, waiting = 0, [step.key for step in row]
    while waiting:
        below = children.get(waiting.pop(), ())
        count += len(below)
        waiting.extend(step.key for step in below)
    return count


Span = tuple[datetime, datetime]


def covered(spans: Iterable[Span]) -> timedelta:
    """The total time that the spans cover; overlaps count once."""
    total, until = timedelta(), None
    for start, end in sorted(spans):
        begin = start if until is None else max(start, until)
        if end > begin:
            total += end - begin
            until = end
    return total


# A child's work belongs to its own run; an agent's work is that of its model turns and tools.
WORKING = frozenset({StepKind.TOOL, StepKind.MODEL, StepKind.ACTIVITY, StepKind.UPDATE, StepKind.NEXUS})
"""The kinds of steps during which the run itself works."""


def label_of(value: Any, schema: Any = None) -> str | None:
    """The first small scalars of a call's arguments, to tell it from its siblings. schema: the tool's, for the units of numbers."""
    parts: list[str] = []
    arguments = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]
    names = list(value) if isinstance(value, dict) else [""] * len(arguments)
    for name, argument in zip(names, arguments, strict=True):
        text = _scalar(argument, asks.property_of(schema, name))
        if text is not None and len(text) <= LABEL_PART_CHARACTERS:
            parts.append(text)
        if len(parts) == LABEL_PARTS:
            break
    if not parts and (long := next((text for text in arguments if isinstance(text, str)), None)) is not None:
        parts = [" ".join(long[: 2 * LABEL_CHARACTERS].split())]
    # JSON may contain lone surrogates, which a response can't.
    label = " · ".join(parts).encode("utf-8", "replace").decode()
    return label if len(label) <= LABEL_CHARACTERS else label[: LABEL_CHARACTERS - 1] + "…" if label else None


def _scalar(value: Any, described: dict[str, Any]) -> str | None:
    if isinstance(value, str):
        if len(value) > LABEL_PART_CHARACTERS:
            return None
        return moments.readable(value) or " ".join(value.split()) or None
    if isinstance(value, bool):
        return "yes" if value else "no"
    return asks.number(value, described) if isinstance(value, int | float) else None


def in_words(duration: timedelta) -> str:
    """A duration in its one or two largest units: `3 s`, `2 h 30 min`."""
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{max(round(seconds * 1000), 0)} ms"
    left, parts = round(seconds), []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)


def waits_for(approvers: Sequence[str]) -> str:
    """The title of a pending approval, which names its approvers."""
    return f"Waits for {approvers_in_words(approvers)}"


def error_head(text: str | None) -> tuple[str | None, str | None]:
    """The type and message of a stored error, read only from its beginning, because the rest may be long."""
    match = _HEAD.match(text or "")
    if match is None:
        return None, None
    kind, message = (_text(part) for part in match.groups())
    if message is not None and len(message) > MESSAGE_CHARACTERS:
        message = message[: MESSAGE_CHARACTERS - 1] + "…"
    return kind, message


def _text(literal: str | None) -> str | None:
    if literal is None or literal == "null":
        return None
    if len(literal) < 2 or not literal.endswith('"'):
        literal = _TORN_ESCAPE.sub("", literal) + '"'
    try:
        text = json.loads(literal)
    except ValueError:
        return None
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Usual:
    """A step that often comes next, and how many of the earlier runs took it."""

    kind: str
    name: str
    title: str | None = field(default=None, compare=False)
    count: int = field(default=0, compare=False)


def usual_next(earlier: Sequence[Sequence[Usual]], taken: Sequence[Hashable]) -> list[Usual]:
    """What earlier runs did after the newest step that they share with this run, in their order.

    earlier: the distinct steps of each run, in the order in which they were first scheduled. taken: (kind, name) of this run's steps.
    """
    known = {(step.kind, step.name) for run in earlier for step in run}
    here = next((step for step in reversed(taken) if step in known), None)
    counts: Counter[tuple[str, str]] = Counter()
    places: Counter[tuple[str, str]] = Counter()
    titles: dict[tuple[str, str], str | None] = {}
    for run in earlier:
        names = [(step.kind, step.name) for step in run]
        if here is not None and here not in names:
            continue
        start = 0 if here is None else names.index(here) + 1
        for place, step in enumerate(run[start:]):
            name = (step.kind, step.name)
            if name not in taken:
                counts[name] += 1
                places[name] += place
                titles.setdefault(name, step.title)
    usual = [name for name, count in counts.items() if count >= max(1, USUAL_SHARE * len(earlier))]
    usual.sort(key=lambda name: (places[name] / counts[name], name))
    return [
        Usual(kind=kind, name=name, title=titles[kind, name], count=counts[kind, name])
        for kind, name in usual[:USUAL_STEPS]
    ]


def usual_steps(earlier: Sequence[Sequence[Usual]]) -> list[Usual]:
    """What earlier runs did, in their order. All approvals count as one step without a title: titles differ, and may quote payloads."""

    def named(step: Usual) -> Usual:
        approval = step.kind == StepKind.APPROVAL
        return replace(step, name=StepKind.APPROVAL.value, title=None) if approval else step

    return usual_next([list(dict.fromkeys(map(named, run))) for run in earlier], [])
