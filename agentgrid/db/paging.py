"""Lists of the newest first, by keyset: the next page begins after the last row of this one, so inserts never shift it.

A filter with an index of its own in the list's order is read from there. For any other filter the planner has to guess between walking the
list until a page is full and collecting all that match; a wrong guess (all matches are old, or the parts of a filter never meet) reads the
whole table. So nothing is guessed: a short stretch of the list is walked, a longer one where matches were met but not enough, and what doesn't
fill a page there is collected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, literal, select, tuple_
from sqlalchemy.orm import aliased

from agentgrid.db.rows import Question, question
from agentgrid.db.session import ReadSession

STRETCH = 2_000
"""How many rows of a list are looked at, one by one, before anything is collected: a millisecond or two."""
LONGEST = 16_000
"""Where some matched there, twice as far is walked as should be enough, if that is no farther than this."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """Where a page ended: the time and the identifier of its last row."""

    at: datetime
    id: str | int


def older_than(at: Any, identifier: Any, key: Key) -> ColumnElement[bool]:
    """Rows that come after the key in a list of the newest first."""
    return tuple_(at, identifier) < tuple_(literal(key.at, at.type), literal(key.id, identifier.type))


def newer_than(at: Any, identifier: Any, key: Key) -> ColumnElement[bool]:
    """Rows that come after the key in a list of the oldest first."""
    return tuple_(at, identifier) > tuple_(literal(key.at, at.type), literal(key.id, identifier.type))


def _itself(entity: Any) -> Select[Any]:
    return select(entity)


def _nothing(_entity: Any) -> Sequence[Any]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A table as a list of the newest first. Where a function takes an entity, it is the table or the stretch of it that is walked."""

    table: Any
    at: str
    identifier: str
    """The columns that order the list; both are indexed so."""
    key: tuple[str, ...]
    """The primary key."""
    shown: Callable[[Any], Select[Any]] = _itself
    """What a row of the list holds."""
    belongs: Callable[[Any], Sequence[Any]] = _nothing
    """What holds for every row of the list."""
    options: Callable[[Any], Sequence[Any]] = _nothing
    """How rows are loaded."""


Conditions = Callable[[Any, bool], Sequence[Any]]
"""What is wanted of an entity. The flag: all that match are collected, so every index helps; else rows are looked at one by one."""


async def newest(
    session: ReadSession, listing: Listing, conditions: Conditions, *, limit: int, after: Key | None, ordered: bool
) -> Sequence[Row[Any]]:
    """A page. `ordered`: one index holds what is wanted in the list's order."""
    if ordered:
        return await _page(session, listing, *_ordered(listing, conditions, after), limit)
    walked = await _page(session, listing, *_walked(listing, conditions, after, STRETCH), limit)
    farther = 2 * STRETCH * limit // len(walked) if walked else LONGEST + 1
    if len(walked) < limit and farther <= LONGEST:
        walked = await _page(session, listing, *_walked(listing, conditions, after, farther), limit)
    if len(walked) == limit:
        return walked
    return await _page(session, listing, *_collected(listing, conditions, after, limit), limit)


def in_order(listing: Listing, conditions: Conditions, *, limit: int, after: Key | None) -> Question:
    """The query for a page that a single index returns in the list's order, for a connection of the driver."""
    statement, entity = _ordered(listing, conditions, after)
    return question(statement.options(*listing.options(entity)).order_by(*_order(listing, entity)).limit(limit))


def _ordered(listing: Listing, conditions: Conditions, after: Key | None) -> tuple[Select[Any], Any]:
    table = listing.table
    wanted = (*listing.belongs(table), *conditions(table, True), *_after(listing, table, after))
    return listing.shown(table).where(*wanted), table


def _walked(listing: Listing, conditions: Conditions, after: Key | None, stretch: int) -> tuple[Select[Any], Any]:
    """What matches in the next stretch of the list. Its limit keeps the planner from looking for matches elsewhere."""
    table = listing.table
    rows = select(table).where(*listing.belongs(table), *_after(listing, table, after))
    entity = aliased(table, rows.order_by(*_order(listing, table)).limit(stretch).subquery("walked"))
    return listing.shown(entity).where(*conditions(entity, False)), entity


def _collected(listing: Listing, conditions: Conditions, after: Key | None, limit: int) -> tuple[Select[Any], Any]:
    """What matches anywhere in the rest of the list: all keys first, without a thought of their order, then the page."""
    table = listing.table
    wanted = (*listing.belongs(table), *conditions(table, True), *_after(listing, table, after))
    names = dict.fromkeys((listing.at, listing.identifier, *listing.key))
    matching = listing.shown(table).where(*wanted)
    found = matching.with_only_columns(*(getattr(table, name) for name in names), maintain_column_froms=True)
    every = found.cte("found").prefix_with("MATERIALIZED")
    page = select(every).order_by(*_order(listing, every.c)).limit(limit).subquery("page")
    same = and_(*(getattr(table, name) == page.c[name] for name in listing.key))
    return listing.shown(table).join(page, same), table


async def _page(
    session: ReadSession, listing: Listing, statement: Select[Any], entity: Any, limit: int
) -> Sequence[Row[Any]]:
    ordered = statement.options(*listing.options(entity)).order_by(*_order(listing, entity)).limit(limit)
    rows: Sequence[Row[Any]] = (await session.execute(ordered)).all()
    return rows


def _order(listing: Listing, entity: Any) -> tuple[Any, Any]:
    return getattr(entity, listing.at).desc(), getattr(entity, listing.identifier).desc()


def _after(listing: Listing, entity: Any, after: Key | None) -> Sequence[Any]:
    if after is None:
        return ()
    return (older_than(getattr(entity, listing.at), getattr(entity, listing.identifier), after),)
