"""Lists as tables that fit the terminal, one line a row.

Where a table is too wide, ids and times take their short form, the least important columns are left out, and texts end in an ellipsis.
Output into a pipe or a file is never shortened.
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
"""How much of a UUID is shown at least. It is its end: the beginning of a UUIDv7 is the time, and so alike in a list."""
LONG_ID = 20
"""Ids that are no UUIDs are cut in the middle beyond this."""
LEAST = 4
"""No text is cut shorter than this, however narrow the terminal."""
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
    """A time that people read as its distance from now."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column. Those of the highest rank are left out first, those of rank 0 never."""

    heading: str
    kind: ColumnKind
    rank: int
    least: int = 0
    """How short a text may be cut before the column, or a less important one, is left out."""


def text(heading: str, rank: int = 0, *, least: int = 10) -> Column:
    """A column of texts, which may end in an ellipsis."""
    return Column(heading=heading, kind=ColumnKind.TEXT, rank=rank, least=least)


def fixed(heading: str, rank: int = 0) -> Column:
    """A column of statuses, numbers and the like."""
    return Column(heading=heading, kind=ColumnKind.FIXED, rank=rank)


def ids(heading: str, rank: int = 0) -> Column:
    """A column of ids: whole where there is room, else as much as tells them apart."""
    return Column(heading=heading, kind=ColumnKind.ID, rank=rank)


def time(heading: str, rank: int = 0) -> Column:
    """A column of times: in UTC where there is room, else how long ago."""
    return Column(heading=heading, kind=ColumnKind.TIME, rank=rank)


def ago(heading: str, rank: int = 0) -> Column:
    """A column of times: how long ago; in UTC into a pipe."""
    return Column(heading=heading, kind=ColumnKind.AGO, rank=rank)


def short_ids(values: Sequence[str]) -> list[str]:
    """The shortest forms that tell these ids apart and that commands accept: the end of a UUID, or `beginning…end`."""
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
            short = [words.lately(value) for value in values]
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
class _Place:
    """A column that is shown, and how wide."""

    cells: _Cells
    width: int
    full: bool

    @property
    def wish(self) -> int:
        """How much wider it would show more."""
        return self.cells.width(full=self.full) - self.width if self.cells.column.kind is ColumnKind.TEXT else 0


class TextTable:
    """A table of these columns. `below` holds what is printed beneath a row, indented, in full."""

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
        """As wide as it is laid out, or as what is beneath a row needs."""
        widest = sum(place.width + GAP for place in self._places(options.max_width)) - GAP
        below = max((cell_len(each.plain) + 2 * GAP for each in self._below if each is not None), default=0)
        return Measurement(0, min(max(widest, below), options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Its lines."""
        places = self._places(options.max_width)
        indent = GAP if self._headings else places[0].width + GAP
        if self._headings:
            yield _line([Text(place.cells.column.heading, style="bold") for place in places], places)
        for number in range(self._count):
            yield _line(
                [(place.cells.full if place.full else place.cells.short)[number] for place in places],
                places,
            )
            below = self._below[number] if number < len(self._below) else None
            if below is not None:
                yield Padding(below, (0, 0, 0, indent), expand=False)

    def _places(self, width: int) -> list[_Place]:
        piped = width >= PIPED_WIDTH
        if piped:
            return [_Place(cells=each, width=each.width(full=True), full=True) for each in self._cells]
        shown = [each for each in self._cells if each.column.rank == 0 or not each.empty]
        places = {id(each): self._narrow(each) for each in shown}
        chosen: set[int] = set()
        used = -GAP
        for each in sorted(shown, key=lambda each: each.column.rank):
            needed = places[id(each)].width + GAP
            if each.column.rank == 0 or used + needed <= width:
                chosen.add(id(each))
                used += needed
        laid = [places[id(each)] for each in shown if id(each) in chosen]
        _widen(laid, width - used)
        _squeeze(laid, width)
        return laid

    def _narrow(self, cells: _Cells) -> _Place:
        """The column at its least."""
        needed = cells.width(full=False)
        if self._headings:
            least = max(cells.column.least, cell_len(cells.column.heading))
        else:
            least = cells.column.least
        if cells.column.kind is ColumnKind.TEXT:
            needed = min(needed, least)
        return _Place(
            cells=cells, width=needed, full=cells.column.kind not in (ColumnKind.ID, ColumnKind.TIME, ColumnKind.AGO)
        )


def _widen(places: Sequence[_Place], room: int) -> None:
    """Give the room to the texts that are cut, in equal shares, then to the full forms of ids and times."""
    while room > 0 and (cut := [place for place in places if place.wish > 0]):
        share = max(1, room // len(cut))
        for place in cut:
            given = min(share, place.wish, room)
            place.width += given
            room -= given
    for place in sorted(places, key=lambda place: place.cells.column.rank):
        whole = place.cells.width(full=True)
        if place.cells.column.kind in (ColumnKind.ID, ColumnKind.TIME) and whole - place.width <= room:
            room -= whole - place.width
            place.width, place.full = whole, True


def _squeeze(places: Sequence[_Place], width: int) -> None:
    """Where even the columns of rank 0 are too wide, cut the widest texts."""
    texts = [place for place in places if place.cells.column.kind is ColumnKind.TEXT]
    excess = sum(place.width + GAP for place in places) - GAP - width
    while excess > 0 and texts and (widest := max(texts, key=lambda place: place.width)).width > LEAST:
        widest.width -= 1
        excess -= 1


def _line(cells: Sequence[Text], places: Sequence[_Place]) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    for number, (each, place) in enumerate(zip(cells, places, strict=True)):
        shown = each.copy()
        shown.truncate(place.width, overflow="ellipsis", pad=number < len(places) - 1)
        line.append_text(shown)
        if number < len(places) - 1:
            line.append(" " * GAP)
    return line
