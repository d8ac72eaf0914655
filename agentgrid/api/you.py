"""Whether a caller can do what a run is waiting for."""

from __future__ import annotations

from collections.abc import Sequence

from agentgrid.api.schemas.common import Action, ActionVerb
from agentgrid.api.schemas.runs import You
from agentgrid.control.approvals import obstacle, signer_for
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db.approvals import ApprovalFacts
from agentgrid.db.run_details import Details
from agentgrid.db.tables import Approval
from agentgrid.domain.runs import RunStatus, WaitingOn
from agentgrid.errors import Forbidden

DECIDING = (ActionVerb.APPROVE, ActionVerb.REJECT)
ANSWERS = {RunStatus.PAUSED: ActionVerb.RESUME}
"""The verb that a run in this status is waiting for."""


def you_of(
    plane: ControlPlane,
    caller: Caller,
    details: Details,
    approvals: Sequence[Approval],
    actions: Sequence[Action],
    *,
    hidden: bool,
) -> You:
    """What the caller can do now, or why not.

    approvals: the pending approvals that the caller may see. hidden: the caller may not see the run's approvals.
    """
    run, status = details.run, RunStatus(details.run.status)
    if status.closed:
        return _nothing(f"the run has ended: {status}")
    if approvals:
        return _deciding(plane, caller, details, approvals)
    verb = ANSWERS.get(status) or (ActionVerb.SIGNAL if run.waiting_on == WaitingOn.SIGNAL else None)
    if verb is not None:
        action = next(action for action in actions if action.verb == verb)
        return You(
            may_act=action.allowed, verbs=[verb] if action.allowed else [], approval_ids=[], reason=action.reason
        )
    if run.waiting_on == WaitingOn.APPROVAL and hidden:
        return _nothing("it waits for an approval; you may see only the approvals of your own runs")
    return _nothing("nobody needs to act")


def _deciding(plane: ControlPlane, caller: Caller, details: Details, approvals: Sequence[Approval]) -> You:
    mine, never, not_now = [], None, None
    for approval in approvals:
        facts = ApprovalFacts(approval=approval, run=details.run, now=details.now, revoked_keys=details.revoked_keys)
        error = obstacle(caller, facts, signer_for(plane, facts))
        if error is None:
            mine.append(approval.approval_id)
        elif isinstance(error, Forbidden):
            never = never or error.message
        else:
            not_now = not_now or error.message
    verbs = list(DECIDING) if mine else []
    return You(may_act=bool(mine), verbs=verbs, approval_ids=mine, reason=None if mine else not_now or never)


def _nothing(why: str) -> You:
    return You(may_act=False, verbs=[], approval_ids=[], reason=why)
