"""Approvals and the decisions about them. Copies inherited by a reset are not separate approvals, and are omitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, exists, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB, array
from sqlalchemy.orm import aliased, defer

from agentgrid.db import approval_search, paging, scopes
from agentgrid.db.arrays import holds_any
from agentgrid.db.paging import Key, Listing
from agentgrid.db.pool import Connection
from agentgrid.db.rows import loaded
from agentgrid.db.run_counts import BY_INDEX
from agentgrid.db.session import ReadSession, WriteSession
from agentgrid.db.tables import Approval, Command, DecisionRow, Run
from agentgrid.domain.approval_status import ApprovalStatus
from agentgrid.domain.approvals import ApprovalKind, Terms
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.principals import UNKNOWN_INITIATOR
from agentgrid.domain.scopes import is_everything

A: Any = Approval
C: Any = Command
D: Any = DecisionRow
R: Any = Run

_UNREADABLE = r"\\u(0000|d[89a-f]..)"
"""JSON escapes of U+0000 and of surrogates. This includes surrogate pairs, which don't occur in the names and keys that are compared."""


@dataclass(frozen=True, kw_only=True)
class ApprovalFilter:
    """The filter of a list of approvals."""

    status: tuple[str, ...] = ()
    run_id: str | None = None
    tool: str | None = None
    agent: str | None = None
    workflow: str | None = None
    approver_entries: frozenset[str] | None = None
    """Only approvals that name one of these entries among their approvers."""
    not_behind: frozenset[str] | None = None
    """Exclude runs that any of these principals started, or whose starting key they issued."""
    open_under: frozenset[tuple[str, str]] | None = None
    """Only approvals that are open for a decision now, under one of these signing keys: id and public key."""
    started_by: str | None = None
    """Only approvals of runs that this principal started."""
    approver: str | None = None
    """Only approvals that name this entry among their approvers."""
    shape: str | None = None
    decided_by: str | None = None
    opened_after: datetime | None = None
    expires_within: timedelta | None = None
    q: str | None = None
    """Search for this in the tool's or the agent's name and the run's searchable text, or as the complete approval id."""
    titles: bool = False
    """Whether `q` and `shape` also match explicit approvals by title, which is a payload (their shapes are built from titles)."""


@dataclass(frozen=True, kw_only=True)
class ApprovalFacts:
    """An approval with everything that determines who may decide it now."""

    approval: Approval
    run: Run
    """Only the run's identifying fields and initiator, without payloads and counts."""
    now: datetime
    """The time on the database's clock."""
    revoked_keys: frozenset[str]
    """The ids of the revoked signing keys."""

    @cached_property
    def terms(self) -> Terms:
        """The parsed terms of the approval."""
        return Terms.model_validate(self.approval.terms)


_RUN = ("run_id", "workflow_id", "workflow", "status", "initiator", "issuers", "reference")
_GET = """
    SELECT a.*, r.workflow_id AS run_workflow_id, r.workflow AS run_workflow, r.status AS run_status, r.initiator AS run_initiator,
        r.issuers AS run_issuers, r.reference AS run_reference, r.run_id AS run_run_id, clock_timestamp() AS now,
        ARRAY(SELECT key_id FROM signing_keys WHERE revoked_at IS NOT NULL) AS revoked_keys
    FROM approvals a JOIN runs r ON r.run_id = a.run_id
    WHERE a.approval_id = $1 AND NOT a.inherited AND ($2::text[] IS NULL OR r.workflow LIKE ANY ($2)) ORDER BY a.opened_at LIMIT 1
"""
# Approval ids are random: a second approval with the same id was opened by somebody who saw the first, so the first is the genuine one.

_DECISIONS = """
    SELECT d.*, c.reason AS comment FROM decisions d LEFT JOIN commands c ON c.command_id = d.command_id AND c.approval_id = $2
    WHERE d.execution_id = $1 AND NOT d.inherited AND (d.approval_id = $2
        OR (d.approval_id IS NULL AND d.signalled_at >= $3 AND ($4::timestamptz IS NULL OR d.signalled_at <= $4)))
    ORDER BY d.judged <> 'counted', d.signalled_at, d.event_id LIMIT $5
"""

MAX_PROPOSALS = 50
# Each proposer's newest proposals come first, so that nobody can hide another's proposal by making many.
_PROPOSALS = """
    SELECT c.* FROM (
        SELECT command_id FROM (
            SELECT command_id, row_number() OVER (PARTITION BY principal ORDER BY created_at DESC, command_id DESC) AS nth
            FROM commands WHERE approval_id = $1 AND kind = $2 AND status = 'applied'
        ) AS each_ones ORDER BY nth, command_id LIMIT $3
    ) AS listed JOIN commands c ON c.command_id = listed.command_id ORDER BY c.created_at DESC, c.command_id DESC
"""
_PROPOSALS_OF = """
    SELECT DISTINCT ON (principal, key_id) * FROM commands
    WHERE approval_id = $1 AND kind = $2 AND status = 'applied' AND body -> 'changed' ->> 'digest' = $3 AND principal <> $4
    ORDER BY principal, key_id, created_at DESC, command_id DESC
"""

_ORDERED = ("status", "tool", "agent", "decided_by")
"""Each of these filters on its own has an index in list order."""


def _ordered(wanted: ApprovalFilter) -> bool:
    """Whether a single index returns the matches in list order."""
    active = {item.name: getattr(wanted, item.name) for item in fields(wanted)}
    active = {name: value for name, value in active.items() if value not in (None, (), False)}
    return not active or (len(active) == 1 and len(wanted.status) <= 1 and next(iter(active)) in _ORDERED)


def conditions(wanted: ApprovalFilter, scope: frozenset[str], approval: Any, *, collected: bool = False) -> list[Any]:
    """Conditions for the filter, on approvals joined with their runs. collected: all matches are collected, by index."""
    clauses: list[Any] = list(scopes.within(R.workflow, scope))
    if wanted.status:
        clauses.append(approval.status.in_(wanted.status))
    if wanted.run_id is not None:
        clauses.append(approval.run_id == wanted.run_id)
    if wanted.tool is not None:
        clauses.append(approval.tool == wanted.tool)
    if wanted.agent is not None:
        clauses.append(approval.agent == wanted.agent)
    if wanted.workflow is not None:
        clauses.append(R.workflow == wanted.workflow)
    if wanted.approver_entries is not None:
        clauses.append(holds_any(approval.approvers, wanted.approver_entries))
    if wanted.not_behind is not None:
        clauses.append(func.coalesce(approval.initiator, "").not_in(wanted.not_behind))
        clauses.append(R.initiator.not_in(wanted.not_behind))
        clauses.append(~holds_any(R.issuers, wanted.not_behind))
        clauses.append(~func.coalesce(_terms(approval)["issuers"].has_any(array(sorted(wanted.not_behind))), False))
        clauses.append(
            ~func.coalesce(_terms(approval)["changed_issuers"].has_any(array(sorted(wanted.not_behind))), False)
        )
        clauses.append(func.coalesce(_terms(approval)["changed_by"].astext, "").not_in(wanted.not_behind))
    if wanted.open_under is not None:
        clauses.extend(_open(approval, wanted.open_under))
    if wanted.started_by is not None:
        clauses.append(R.initiator == wanted.started_by)
    if wanted.q is not None:
        find = approval_search.is_among_matches if collected else approval_search.matches
        clauses.append(find(approval, R, wanted.q, titles=wanted.titles))
    return clauses + _further(wanted, approval)


def _further(wanted: ApprovalFilter, approval: Any) -> list[Any]:
    clauses: list[Any] = []
    if wanted.approver is not None:
        clauses.append(holds_any(approval.approvers, [wanted.approver]))
    if wanted.shape is not None:
        clauses.append(approval.shape == wanted.shape)
        if not wanted.titles:
            clauses.append(approval.kind == ApprovalKind.TOOL.value)
    if wanted.decided_by is not None:
        clauses.append(approval.decided_by == wanted.decided_by)
    if wanted.opened_after is not None:
        clauses.append(approval.opened_at > wanted.opened_after)
    if wanted.expires_within is not None:
        clauses.append(approval.expires_at <= func.now() + wanted.expires_within)
    return clauses


def _open(approval: Any, keys: frozenset[tuple[str, str]]) -> list[ColumnElement[bool]]:
    """The conditions of `control.approvals.obstacle` in SQL, except those about the person who decides."""
    other: Any = aliased(Approval)
    earlier = select(other.approval_id).where(
        other.approval_id == approval.approval_id, ~other.inherited, other.opened_at < approval.opened_at
    )
    named = _terms(approval)["keys"]
    return [
        approval.status == ApprovalStatus.PENDING.value,
        approval.decidable,
        or_(approval.expires_at.is_(None), approval.expires_at > func.now()),
        or_(R.initiator == UNKNOWN_INITIATOR, R.initiator == approval.initiator),
        or_(*(named[key_id].astext == public_key for key_id, public_key in sorted(keys))),
        ~exists(earlier),
    ]


def _terms(approval: Any) -> Any:
    """The terms as JSONB. Replaces U+0000 and lone surrogates, which a worker may send but PostgreSQL rejects in JSONB."""
    return cast(func.regexp_replace(cast(approval.terms, Text), _UNREADABLE, r"\\ufffd", "gi"), JSONB)


def _with_runs(approval: Any) -> Any:
    return select(approval, Run).join(Run, approval.run_id == R.run_id)


_LISTING = Listing(
    table=Approval,
    at="opened_at",
    identifier="approval_id",
    key=("execution_id", "approval_id"),
    shown=_with_runs,
    belongs=lambda approval: [~approval.inherited],
    options=lambda approval: without_payloads(approval),
)


def without_payloads(approval: Any) -> list[Any]:
    """Options that load an approval and its run without payloads, which make up most of both rows."""
    columns = (approval.payload, approval.changed, R.input, R.result, R.error)
    return [defer(column, raiseload=True) for column in columns]


async def newest(
    session: ReadSession, *, wanted: ApprovalFilter, scope: frozenset[str], limit: int, after: Key | None = None
) -> Sequence[tuple[Approval, Run]]:
    """Approvals in the scope with their runs, newest first, without payloads."""

    def matching(approval: Any, collected: bool) -> Sequence[Any]:
        return conditions(wanted, scope, approval, collected=collected)

    if wanted.q is not None:
        # Otherwise a search with many matches would scan the whole table of runs.
        await session.execute(BY_INDEX)
    ordered = _ordered(wanted) and is_everything(scope)
    rows = await paging.newest(session, _LISTING, matching, limit=limit, after=after, ordered=ordered)
    return [(approval, run) for approval, run in (tuple(row) for row in rows)]


async def count(session: ReadSession, *, wanted: ApprovalFilter, scope: frozenset[str]) -> int:
    """The number of matching approvals in the scope."""
    return int((await session.execute(_counting(wanted, scope))).scalar_one())


@lru_cache(maxsize=256)
def _counting(wanted: ApprovalFilter, scope: frozenset[str]) -> Any:
    # Cached because the overview polls: building the statement takes several times as long as executing it.
    statement = select(func.count()).select_from(Approval).join(Run, A.run_id == R.run_id)
    return statement.where(~A.inherited, *conditions(wanted, scope, A))


async def get(connection: Connection, approval_id: str, *, scope: frozenset[str]) -> ApprovalFacts | None:
    """One approval in the scope. A single query, because it delays a decision."""
    row = await connection.fetchrow(_GET, approval_id, scopes.patterns(scope))
    if row is None:
        return None
    values = dict(row)
    now, revoked_keys = values.pop("now"), frozenset(values.pop("revoked_keys"))
    run = loaded(Run, {name: values.pop(f"run_{name}") for name in _RUN})
    return ApprovalFacts(approval=loaded(Approval, values), run=run, now=now, revoked_keys=revoked_keys)


async def run_of(session: ReadSession | WriteSession, approval_id: str) -> str | None:
    """The id of the approval's run."""
    statement = select(A.run_id).where(A.approval_id == approval_id, ~A.inherited).order_by(A.opened_at).limit(1)
    run_id: str | None = (await session.execute(statement)).scalar()
    return run_id


async def decisions(
    connection: Connection, approval: Approval, *, limit: int = 200
) -> Sequence[tuple[DecisionRow, str | None]]:
    """The decision signals for the approval, and those without an approval id sent while it was open, as judged by `judge`; oldest first, with comments.

    The decision that counted is always included, however many others were sent.
    """
    records = await connection.fetch(
        _DECISIONS, approval.execution_id, approval.approval_id, approval.opened_at, approval.closed_at, limit
    )
    rows = [(loaded(DecisionRow, dict(record)), record["comment"]) for record in records]
    return sorted(rows, key=lambda row: (row[0].signalled_at, row[0].event_id))


async def proposals(connection: Connection, approval_id: str) -> Sequence[Command]:
    """The changed arguments that approvers have proposed, newest first; if there are more than 50, the newest of each approver."""
    rows = await connection.fetch(_PROPOSALS, approval_id, CommandKind.APPROVAL_PROPOSE.value, MAX_PROPOSALS)
    return [loaded(Command, dict(row)) for row in rows]


async def proposals_of(connection: Connection, approval_id: str, *, digest: str, but_by: str) -> Sequence[Command]:
    """The last proposal of exactly this change by each person and key except the principal `but_by`, newest first."""
    kind = CommandKind.APPROVAL_PROPOSE.value
    proposed = [
        loaded(Command, dict(row)) for row in await connection.fetch(_PROPOSALS_OF, approval_id, kind, digest, but_by)
    ]
    return sorted(proposed, key=lambda command: (command.created_at, command.command_id), reverse=True)


async def refused_since(session: ReadSession, since: timedelta) -> int:
    """The number of decision signals in the last `since` without effect: unsigned, forged or for something else."""
    statement = select(func.count()).where(D.judged == "refused", D.signalled_at > func.now() - since, ~D.inherited)
    return int((await session.execute(statement)).scalar_one())


async def pending_by_only_key(session: ReadSession) -> dict[str, int]:
    """The number of open approvals that name only one signing key, by that key."""
    keys = func.jsonb_object_keys(_terms(A)["keys"]).table_valued("key_id").render_derived(name="keys")
    named = (
        select(A.execution_id, A.approval_id, func.min(keys.c.key_id).label("key_id"))
        .select_from(Approval)
        .join(keys, literal(True))
        .where(A.status == ApprovalStatus.PENDING.value, ~A.inherited)
        .group_by(A.execution_id, A.approval_id)
        .having(func.count() == 1)
        .subquery()
    )
    statement = select(named.c.key_id, func.count()).group_by(named.c.key_id)
    return {key_id: count for key_id, count in (await session.execute(statement)).all()}
