"""Newest-first lists with keyset pagination: the next page begins after this page's last row, so inserts never shift it.

A filter with its own index in list order reads from that index. For any other filter, the planner would have to guess between scanning the list
until a page is full and collecting all matches; a wrong guess (all matches are old, or the parts of a filter never match together) reads the whole
table. So nothing is left to the planner's guess: first scan a short stretch of the list, then a longer one if it had some matches but too few, and
if that doesn't fill the page, collect all matches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, literal, select, tuple_
from sqlalchemy.orm import aliased

from agentgrid.db.rows import Query, compiled
from agentgrid.db.session import ReadSession

STRETCH = 2_000
"""How many rows of a list to scan before collecting all matches: a millisecond or two."""
LONGEST = 16_000
"""If some rows of the first stretch matched, scan twice as many rows as should be enough, unless that exceeds this limit."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """Where a page ended: the time and id of its last row."""

    at: datetime
    id: str | int


def older_than(at: Any, identifier: Any, key: Key) -> ColumnElement[bool]:
    """Rows after the key in a newest-first list."""
    return tuple_(at, identifier) < tuple_(literal(key.at, at.type), literal(key.id, identifier.type))


def newer_than(at: Any, identifier: Any, key: Key) -> ColumnElement[bool]:
    """Rows after the key in an oldest-first list."""
    return tuple_(at, identifier) > tuple_(literal(key.at, at.type), literal(key.id, identifier.type))


def _itself(entity: Any) -> Select[Any]:
    return select(entity)


def _nothing(_entity: Any) -> Sequence[Any]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A table as a newest-first list. A function's `entity` parameter is the table, or the stretch of it that is scanned."""

    table: Any
    at: str
    identifier: str
    """`at` and `identifier` order the list, and are indexed in that order."""
    key: tuple[str, ...]
    """The primary key."""
    shown: Callable[[Any], Select[Any]] = _itself
    """The SELECT that produces the list's rows."""
    belongs: Callable[[Any], Sequence[Any]] = _nothing
    """Conditions that every row of the list meets."""
    options: Callable[[Any], Sequence[Any]] = _nothing
    """Loader options for the rows."""


Conditions = Callable[[Any, bool], Sequence[Any]]
"""The filter's conditions on an entity. The flag is true if all matches are collected, so that any index helps; false if rows are scanned one by one."""


async def newest(
    session: ReadSession, listing: Listing, conditions: Conditions, *, limit: int, after: Key | None, ordered: bool
) -> Sequence[Row[Any]]:
    """A page. `ordered`: a single index returns the matches in list order."""
    if ordered:
        return await _page(session, listing, *_ordered(listing, conditions, after), limit)
    page = await _page(session, listing, *_scanned(listing, conditions, after, STRETCH), limit)
    farther = 2 * STRETCH * limit // len(page) if page else LONGEST + 1
    if len(page) < limit and farther <= LONGEST:
        page = await _page(session, listing, *_scanned(listing, conditions, after, farther), limit)
    if len(page) == limit:
        return page
    return await _page(session, listing, *_collected(listing, conditions, after, limit), limit)


def in_order(listing: Listing, conditions: Conditions, *, limit: int, after: Key | None) -> Query:
    """The query for a page that a single index returns in list order, for a driver connection."""
    statement, entity = _ordered(listing, conditions, after)
    return compiled(statement.options(*listing.options(entity)).order_by(*_order(listing, entity)).limit(limit))


def _ordered(listing: Listing, conditions: Conditions, after: Key | None) -> tuple[Select[Any], Any]:
    table = listing.table
    clauses = (*listing.belongs(table), *conditions(table, True), *_after(listing, table, after))
    return listing.shown(table).where(*clauses), table


def _scanned(listing: Listing, conditions: Conditions, after: Key | None, stretch: int) -> tuple[Select[Any], Any]:
    """The matches in the next stretch of the list. The subquery's limit keeps the planner from searching elsewhere."""
    table = listing.table
    rows = select(table).where(*listing.belongs(table), *_after(listing, table, after))
    entity = aliased(table, rows.order_by(*_order(listing, table)).limit(stretch).subquery("scanned"))
    return listing.shown(entity).where(*conditions(entity, False)), entity


def _collected(listing: Listing, conditions: Conditions, after: Key | None, limit: int) -> tuple[Select[Any], Any]:
    """The matches in the whole rest of the list: collects all keys in any order, then selects the page."""
    table = listing.table
    clauses = (*listing.belongs(table), *conditions(table, True), *_after(listing, table, after))
    names = dict.fromkeys((listing.at, listing.identifier, *listing.key))
    matching = listing.shown(table).where(*clauses)
    keys = matching.with_only_columns(*(getattr(table, name) for name in names), maintain_column_froms=True)
    every = keys.cte("matches").prefix_with("MATERIALIZED")
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
