"""Lists as tables that fit the terminal, one line per row.

If a table is too wide, ids and times take their short form, the least important columns are dropped, and texts are truncated with an
ellipsis. Output to a pipe or a file is never shortened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.text import Text

from agentgrid.cli import words
from agentgrid.cli.output import PIPED_WIDTH, cell
from agentgrid.cli.text import safe

GAP = 2
SHORT_ID = 8
"""The minimum shown of a UUID. It is the end: a UUIDv7 begins with the time, so beginnings look alike in a list."""
LONG_ID = 20
"""Ids other than UUIDs are cut in the middle beyond this length."""
MIN_TEXT_WIDTH = 4
"""Texts are never cut shorter than this, however narrow the terminal."""
ELLIPSIS = "…"

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class ColumnKind(Enum):
    """What a column holds."""

    TEXT = auto()
    FIXED = auto()
    """Something short that is never cut."""
    ID = auto()
    TIME = auto()
    AGO = auto()
    """A time, shown relative to now."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column. Those of the highest rank are dropped first, those of rank 0 never."""

    heading: str
    kind: ColumnKind
    rank: int
    least: int = 0
    """How far a text may be cut before this or a less important column is dropped."""


def text(heading: str, rank: int = 0, *, least: int = 10) -> Column:
    """A column of texts, which may be truncated."""
    return Column(heading=heading, kind=ColumnKind.TEXT, rank=rank, least=least)


def fixed(heading: str, rank: int = 0) -> Column:
    """A column of statuses, numbers and the like."""
    return Column(heading=heading, kind=ColumnKind.FIXED, rank=rank)


def ids(heading: str, rank: int = 0) -> Column:
    """A column of ids: in full if there is room, otherwise as much as distinguishes them."""
    return Column(heading=heading, kind=ColumnKind.ID, rank=rank)


def time(heading: str, rank: int = 0) -> Column:
    """A column of times: in UTC if there is room, otherwise relative."""
    return Column(heading=heading, kind=ColumnKind.TIME, rank=rank)


def ago(heading: str, rank: int = 0) -> Column:
    """A column of times: relative on a terminal, in UTC in a pipe."""
    return Column(heading=heading, kind=ColumnKind.AGO, rank=rank)


def short_ids(values: Sequence[str]) -> list[str]:
    """The shortest forms that distinguish these ids and that commands accept: the end of a UUID, or `beginning…end`."""
    uuids = {value for value in values if UUID.fullmatch(value)}
    size = next((n for n in range(SHORT_ID, 13) if len({uuid[-n:] for uuid in uuids}) == len(uuids)), 36)
    return [value[-size:] if value in uuids else _middle_cut(value) for value in values]


def _middle_cut(value: str) -> str:
    if cell_len(value) <= LONG_ID:
        return value
    half = LONG_ID // 2
    return f"{value[:half]}{ELLIPSIS}{value[-half + 1 :]}"


@dataclass(frozen=True, kw_only=True)
class _Cells:
    """The cells of one column, in both forms."""

    column: Column
    full: list[Text]
    short: list[Text]
    empty: bool

    @classmethod
    def of(cls, column: Column, values: Sequence[Any]) -> _Cells:
        if column.kind in (ColumnKind.TIME, ColumnKind.AGO):
            full = [cell(None if value is None else words.absolute(value)) for value in values]
            short = [words.short_ago(value) for value in values]
        else:
            full = short = [cell(value) for value in values]
        if column.kind is ColumnKind.ID:
            short = [cell(value and brief) for value, brief in zip(values, _brief(values), strict=True)]
        empty = all(value.plain == words.NOTHING.plain for value in full)
        return cls(column=column, full=full, short=short, empty=empty)

    def width(self, *, full: bool) -> int:
        return max(
            cell_len(self.column.heading), *(cell_len(each.plain) for each in (self.full if full else self.short)), 0
        )


def _brief(values: Sequence[Any]) -> list[str]:
    return short_ids([safe(value or "") for value in values])


@dataclass(kw_only=True)
class _Slot:
    """A displayed column and its width."""

    cells: _Cells
    width: int
    full: bool

    @property
    def missing_width(self) -> int:
        """How much wider the column must be to show its texts in full."""
        return self.cells.width(full=self.full) - self.width if self.cells.column.kind is ColumnKind.TEXT else 0


class TextTable:
    """A table of these columns. `below` holds what is printed under each row, indented, in full."""

    def __init__(
        self,
        columns: Sequence[Column],
        rows: Iterable[Sequence[Any]],
        *,
        headings: bool = True,
        below: Sequence[Text | None] = (),
    ) -> None:
        items = [tuple(row) for row in rows]
        self._cells = [_Cells.of(column, [row[number] for row in items]) for number, column in enumerate(columns)]
        self._count = len(items)
        self._headings = headings
        self._below = below

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """The width of the layout, or of the widest text below a row."""
        widest = sum(slot.width + GAP for slot in self._slots(options.max_width)) - GAP
        below = max((cell_len(each.plain) + 2 * GAP for each in self._below if each is not None), default=0)
        return Measurement(0, min(max(widest, below), options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        slots = self._slots(options.max_width)
        indent = GAP if self._headings else slots[0].width + GAP
        if self._headings:
            yield _line([Text(slot.cells.column.heading, style="bold") for slot in slots], slots)
        for number in range(self._count):
            yield _line(
                [(slot.cells.full if slot.full else slot.cells.short)[number] for slot in slots],
                slots,
            )
            below = self._below[number] if number < len(self._below) else None
            if below is not None:
                yield Padding(below, (0, 0, 0, indent), expand=False)

    def _slots(self, width: int) -> list[_Slot]:
        piped = width >= PIPED_WIDTH
        if piped:
            return [_Slot(cells=cells, width=cells.width(full=True), full=True) for cells in self._cells]
        shown = [cells for cells in self._cells if cells.column.rank == 0 or not cells.empty]
        slots = {id(cells): self._narrow(cells) for cells in shown}
        chosen: set[int] = set()
        used = -GAP
        for cells in sorted(shown, key=lambda cells: cells.column.rank):
            needed = slots[id(cells)].width + GAP
            if cells.column.rank == 0 or used + needed <= width:
                chosen.add(id(cells))
                used += needed
        chosen_slots = [slots[id(cells)] for cells in shown if id(cells) in chosen]
        _widen(chosen_slots, width - used)
        _squeeze(chosen_slots, width)
        return chosen_slots

    def _narrow(self, cells: _Cells) -> _Slot:
        """The column at its minimum width."""
        needed = cells.width(full=False)
        if self._headings:
            least = max(cells.column.least, cell_len(cells.column.heading))
        else:
            least = cells.column.least
        if cells.column.kind is ColumnKind.TEXT:
            needed = min(needed, least)
        return _Slot(
            cells=cells, width=needed, full=cells.column.kind not in (ColumnKind.ID, ColumnKind.TIME, ColumnKind.AGO)
        )


def _widen(slots: Sequence[_Slot], room: int) -> None:
    """Give spare width to truncated texts in equal shares, then to the full forms of ids and times."""
    while room > 0 and (cut := [slot for slot in slots if slot.missing_width > 0]):
        share = max(1, room // len(cut))
        for slot in cut:
            added = min(share, slot.missing_width, room)
            slot.width += added
            room -= added
    for slot in sorted(slots, key=lambda slot: slot.cells.column.rank):
        whole = slot.cells.width(full=True)
        if slot.cells.column.kind in (ColumnKind.ID, ColumnKind.TIME) and whole - slot.width <= room:
            room -= whole - slot.width
            slot.width, slot.full = whole, True


def _squeeze(slots: Sequence[_Slot], width: int) -> None:
    """If even the columns of rank 0 are too wide, cut the widest texts."""
    texts = [slot for slot in slots if slot.cells.column.kind is ColumnKind.TEXT]
    excess = sum(slot.width + GAP for slot in slots) - GAP - width
    while excess > 0 and texts and (widest := max(texts, key=lambda slot: slot.width)).width > MIN_TEXT_WIDTH:
        widest.width -= 1
        excess -= 1


def _line(cells: Sequence[Text], slots: Sequence[_Slot]) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    for number, (cell_text, slot) in enumerate(zip(cells, slots, strict=True)):
        shown = cell_text.copy()
        shown.truncate(slot.width, overflow="ellipsis", pad=number < len(slots) - 1)
        line.append_text(shown)
        if number < len(slots) - 1:
            line.append(" " * GAP)
    return line
