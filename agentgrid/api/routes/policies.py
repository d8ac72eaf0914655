"""Policies: operators' rules for tools and plain activities, by name or glob."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import policy_previews, policy_tests, views
from agentgrid.api.access import V1
from agentgrid.api.deps import DEFAULT_LIMIT, CurrentCaller, CurrentPrincipal, Cursor, Id, Limit, Plane, Session
from agentgrid.api.paging import cut, decode, encode
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.commands import Proposed
from agentgrid.api.schemas.common import Page, Reason
from agentgrid.api.schemas.policies import (
    PolicyDetail,
    PolicyIn,
    PolicyPreview,
    PolicyPreviewed,
    PolicySummary,
    PolicyTest,
    PolicyTested,
    PolicyVersionOut,
    RuleIn,
)
from agentgrid.control import policies as control_policies
from agentgrid.control import snapshots
from agentgrid.db import policies, principals, tools
from agentgrid.db.session import ReadSession, reading
from agentgrid.db.tables import PolicyRow
from agentgrid.domain.conditions import Condition
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import BY_RISK, Risk, Rule, Snapshot, prevailing
from agentgrid.errors import NotFound

router = make_router(tags=["policies"], prefix=f"{V1}/policies")

MAX_VERSIONS = 50
MAX_TOOLS = 200
GLOB = frozenset("*?[")


def rule_put(body: RuleIn) -> control_policies.RulePut:
    """The rule in the request body."""
    return control_policies.RulePut(
        effect=body.effect,
        approvers=tuple(dict.fromkeys(body.approvers)),
        expires=timedelta(seconds=body.expires_seconds),
        reason=body.reason,
        changes=body.changes,
        title=body.title,
    )


@router.get("", summary="List the rules in force, by id")
async def list_policies(
    request: Request,
    session: Session,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    tool: Annotated[
        str | None,
        Query(min_length=1, max_length=255, description="Only rules that match this tool or activity."),
    ] = None,
    agent: Annotated[
        str | None,
        Query(min_length=1, max_length=255, description="Only rules that match this agent, by name or glob."),
    ] = None,
) -> Page[PolicySummary]:
    """If no rule matches a call, destructive tools require approval and everything else is allowed."""
    after = decode(request, cursor, str)[0] if cursor else ""
    # Reads all rules at once; the workers' snapshot holds them all too.
    rows = [
        row
        for row in await policies.in_force(session)
        if row.rule_id > after
        and (tool is None or snapshots.rule_of(row).matches(tool))
        and (agent is None or (row.agent is not None and snapshots.rule_of(row).is_about(agent)))
    ]
    page, next_cursor = cut(rows, limit, lambda row: encode(request, row.rule_id))
    return Page[PolicySummary](items=[PolicySummary.model_validate(row) for row in page], next_cursor=next_cursor)


@router.get("/{rule_id}", summary="One rule, with its versions and the tools it governs")
async def get_policy(session: Session, rule_id: Id) -> PolicyDetail:
    """Also returns withdrawn rules."""
    return await _detail(session, rule_id)


@router.put(
    "/{rule_id}",
    summary="Create or replace a rule for tools or plain activities, by name or glob",
    response_model=PolicyDetail,
    responses={202: {"model": Proposed}},
)
async def put_policy(plane: Plane, caller: CurrentCaller, rule_id: Id, body: PolicyIn) -> PolicyDetail | Response:
    """Workers receive it within seconds; it applies to the next call, including in running workflows.

    One rule applies to each call. A rule displaces another that is less specific in its tool, agent or conditions, unless it is itself less specific
    in one of these; a rule that denies is displaced only by a rule that names the tool exactly. Of the remaining rules the strictest
    applies; if there is none, the built-in rule for the tool's risk applies. `POST /api/v1/policies/test` shows the result for a call.

    An unchanged rule keeps its version, because a new version would reopen the approvals pending under it.

    `202` if the change relaxes the policy and there is a second administrator, who must confirm it.
    """
    when = [Condition(**condition.model_dump()) for condition in body.when]
    command = await control_policies.put(
        plane,
        caller,
        rule_id,
        body.tool or "*",
        rule_put(body),
        kind=body.kind,
        agent=body.agent,
        when=when,
        expected=body.expected_version,
    )
    if views.is_proposed(command):
        return views.proposed(command)
    async with reading(plane.engine) as session:
        return await _detail(session, rule_id)


@router.delete(
    "/{rule_id}",
    summary="Withdraw a rule; its versions are kept",
    response_model=PolicyDetail,
    responses={202: {"model": Proposed}},
)
async def withdraw_policy(
    plane: Plane,
    caller: CurrentCaller,
    rule_id: Id,
    body: Reason | None = None,
    expected_version: Annotated[
        int | None, Query(ge=0, description="`409` if the rule is at a different version.")
    ] = None,
) -> PolicyDetail | Response:
    """From the next call on, the next matching rule applies, or the built-in one. Kill switches are unaffected.

    `202` if this relaxes the policy and there is a second administrator, who must confirm it.
    """
    reason = (body.reason if body else None) or ""
    command = await control_policies.withdraw(plane, caller, rule_id, reason=reason, expected=expected_version)
    if views.is_proposed(command):
        return views.proposed(command)
    async with reading(plane.engine) as session:
        return await _detail(session, rule_id)


@router.post("/preview", summary="Preview what a rule for a tool or an agent would change")
async def preview_policy(session: Session, principal: CurrentPrincipal, body: PolicyPreview) -> PolicyPreviewed:
    """Evaluates calls as a worker would once the rule is in force, with all other rules unchanged."""
    return await policy_previews.previewed(session, body, principal.workflows)


async def _detail(session: ReadSession, rule_id: str) -> PolicyDetail:
    row = await policies.newest(session, rule_id)
    if row is None:
        raise NotFound("rule", rule_id)
    snapshot = snapshots.of(await policies.in_force(session))
    risks = await tools.risks(session)
    rule = snapshots.rule_of(row)
    fits = [] if row.withdrawn else [name for name in risks if rule.fits(name)]
    holds_for = [name for name in fits if _holds(snapshot, rule, name, Risk(risks[name]))]
    return PolicyDetail(
        **PolicySummary.model_validate(row).model_dump(),
        fits=fits[:MAX_TOOLS],
        holds_for=holds_for[:MAX_TOOLS],
        note=_note(row, fits, holds_for) or await approver_warning(session, row.effect, row.approvers),
        versions=[
            PolicyVersionOut.model_validate(version)
            for version in await policies.versions(session, rule_id, limit=MAX_VERSIONS)
        ],
    )


async def approver_warning(session: ReadSession, effect: str, approvers: Collection[str]) -> str | None:
    """A warning if nobody may decide under some of a rule's approvers. Not an error: they may be created later."""
    if effect != Effect.REQUIRE_APPROVAL:
        return None
    known = await principals.approver_entries(session)
    missing = [entry for entry in approvers if entry not in known]
    if not missing:
        return None
    similar = get_close_matches(missing[0], sorted(known), n=1, cutoff=0.6)
    suggestion = f"; did you mean {similar[0]!r}?" if similar else ""
    consequence = "" if len(missing) < len(approvers) else ", so nobody can approve"
    return (
        f"nobody is in {' or '.join(map(repr, missing))}: no approver has that name or group{consequence}{suggestion}"
    )


def _holds(snapshot: Snapshot, rule: Rule, name: str, risk: Risk) -> bool:
    """Whether the rule applies to this tool's calls within its scope, if no other rule's conditions hold."""
    unconditional = [other for other in snapshot.rules if other.rule_id == rule.rule_id or not other.when]
    candidates = [(other, True) for other in unconditional if other.fits(name) and other.is_about(rule.agent)]
    return prevailing(candidates, name, rule.agent, BY_RISK[risk]).rule.rule_id == rule.rule_id


@router.post("/test", summary="Test which rule would apply to a call, and why")
async def test_policy(session: Session, body: PolicyTest) -> PolicyTested:
    """Evaluates the call as a worker with the newest policy would. The agent's own tool list, which is part of its code, is not considered."""
    return await policy_tests.tested(session, body)


def _note(row: PolicyRow, fits: list[str], holds_for: list[str]) -> str | None:
    if row.withdrawn:
        return "the rule is withdrawn and applies to nothing"
    if not fits:
        verb = "matches" if GLOB & set(row.tool) else "is the name of"
        return f"{row.tool!r} {verb} no registered tool; the types of plain activities are not registered"
    if not holds_for:
        return "the rule applies to no registered tool: for each tool it matches, a more specific rule or one that denies takes precedence"
    return None
