"""The actions a caller may take on a run, an approval, a workflow or a tool, and why not; and what a run waits for."""

from __future__ import annotations

from collections.abc import Sequence

from agentgrid.api.access import ACCESS, V1, Access
from agentgrid.api.routing import authorise
from agentgrid.api.schemas.common import Action, ActionVerb
from agentgrid.api.schemas.runs import Next, You
from agentgrid.api.shown import HIDDEN_TITLE, Shown
from agentgrid.control import switches
from agentgrid.control.approvals import obstacle
from agentgrid.control.plane import Caller
from agentgrid.control.signing import Signer
from agentgrid.db.approvals import ApprovalFacts
from agentgrid.db.tables import Approval, Run, Step, Switch
from agentgrid.domain import asks, moments
from agentgrid.domain.principals import Principal, approvers_in_words
from agentgrid.domain.runs import RunStatus, Verb, WaitingOn, refusal
from agentgrid.domain.steps import StepKind
from agentgrid.domain.timeline import in_words
from agentgrid.errors import Forbidden

START = ACCESS[f"POST {V1}/workflows/{{name}}/runs"]
PATHS = {Verb.UPDATE: "updates/{name}"}
"""The path of a verb's route below the run, where it isn't the verb itself."""
TOOL_POLICY = ACCESS[f"PUT {V1}/tools/{{name}}/policy"]
AGENT_POLICY = ACCESS[f"PUT {V1}/agents/{{name}}/policy"]


def _forbidden(principal: Principal, access: Access) -> str | None:
    try:
        authorise(principal, access)
    except Forbidden as error:
        return error.message
    return None


def of_run(principal: Principal, run: Run, *, taken: bool, at_work: bool) -> list[Action]:
    """The verbs of a run. taken: a worker has completed one of its workflow tasks. at_work: an agent works in it."""
    found = []
    for verb in Verb:
        status = RunStatus(run.status)
        why = refusal(verb, status, governed=run.governed, taken=taken, at_work=at_work) or _forbidden(
            principal, ACCESS[f"POST {V1}/runs/{{run_id}}/{PATHS.get(verb, verb)}"]
        )
        found.append(Action(verb=ActionVerb(verb), allowed=why is None, reason=why))
    return found


def of_approval(caller: Caller, found: ApprovalFacts, signer: Signer | None) -> list[Action]:
    """Approve and reject."""
    error = obstacle(caller, found, signer)
    why = None if error is None else error.message
    return [Action(verb=ActionVerb(verb), allowed=why is None, reason=why) for verb in ("approve", "reject")]


def of_workflow(principal: Principal, name: str, switch: Switch | None) -> list[Action]:
    """Start, disable, enable."""
    disabled = switches.refusal(switch)
    unseen = None if principal.reaches(name) else f"{principal.name}'s scope does not include this workflow"
    start = _forbidden(principal, START) or unseen or (disabled.message if disabled else None)
    return [Action(verb=ActionVerb.START, allowed=start is None, reason=start), *_switched(principal, "workflows")]


def of_tool(principal: Principal) -> list[Action]:
    """Set the policy, disable, enable."""
    why = _forbidden(principal, TOOL_POLICY)
    return [Action(verb=ActionVerb.POLICY, allowed=why is None, reason=why), *_switched(principal, "tools")]


def of_agent(principal: Principal) -> list[Action]:
    """Make a version, use another one, set the policy, disable, enable."""
    found = []
    for verb, route in (("edit", f"PUT {V1}/agents/{{name}}"), ("use", f"POST {V1}/agents/{{name}}/use")):
        why = _forbidden(principal, ACCESS[route])
        found.append(Action(verb=ActionVerb(verb), allowed=why is None, reason=why))
    why = _forbidden(principal, AGENT_POLICY)
    return [*found, Action(verb=ActionVerb.POLICY, allowed=why is None, reason=why), *_switched(principal, "agents")]


def _switched(principal: Principal, noun: str) -> list[Action]:
    found = []
    for verb in ("disable", "enable"):
        why = _forbidden(principal, ACCESS[f"POST {V1}/{noun}/{{name}}/{verb}"])
        found.append(Action(verb=ActionVerb(verb), allowed=why is None, reason=why))
    return found


HOLDS = {
    "loop": "its agent went in circles",
    "budget_exceeded": "its agent has used up its budget",
    "interrupted": "a person interrupted its agent",
}
"""Why a run paused by itself, in words."""


def next_of(
    run: Run,
    approvals: Sequence[Approval],
    waiting: Sequence[Step],
    actions: Sequence[Action],
    shown: Shown,
    you: You,
    *,
    titles: Sequence[str],
) -> Next:
    """Who or what the run waits for, until when, and what this caller may do about it. titles: of the approvals, as the caller may see them."""
    open_gates = approvals if not RunStatus(run.status).closed else ()
    approvers = sorted({entry for approval in open_gates for entry in approval.approvers})
    expiries = [approval.expires_at for approval in open_gates if approval.expires_at is not None]
    waits_for_people = run.waiting_on == WaitingOn.APPROVAL
    return Next(
        waiting_on=WaitingOn(run.waiting_on) if run.waiting_on else None,
        summary=_summary(run, titles if open_gates else (), approvers, waiting, shown),
        until=min(expiries) if waits_for_people and expiries else run.next_at,
        approval_ids=[approval.approval_id for approval in open_gates],
        approvers=approvers,
        actions=[action.verb for action in actions if action.allowed],
        you=you,
    )


def _summary(run: Run, titles: Sequence[str], approvers: Sequence[str], waiting: Sequence[Step], shown: Shown) -> str:
    status = RunStatus(run.status)
    if status.closed:
        return f"ended: {status}"
    if status is RunStatus.QUEUED:
        return "waits to start" + (f", not before {moments.in_utc(run.start_at)}" if run.start_at else "")
    if status is RunStatus.PAUSED and run.hold is not None:
        return f"paused by itself: {HOLDS.get(run.hold, run.hold)}; resume it to let its agent go on"
    if status is RunStatus.PAUSED:
        return "paused: timers, timeouts and approval expiry go on; resume it to continue"
    if status is RunStatus.CANCELLING:
        return "cancelling: the workflow is finishing"
    names = ", ".join(dict.fromkeys(_name(step, shown) for step in waiting[:3]))
    match run.waiting_on:
        case WaitingOn.APPROVAL:
            return f"waits for {approvers_in_words(approvers)} to decide: {_first(titles)}"
        case WaitingOn.TIMER:
            return f"waits for a timer{_lengths(waiting)}"
        case WaitingOn.SIGNAL:
            return "waits for a signal"
        case WaitingOn.CHILD:
            return f"waits for a child{f': {names}' if names else ''}"
        case WaitingOn.WORKER:
            return f"waits for a worker on task queue {run.task_queue}"
        case WaitingOn.RETRY:
            return f"waits to try again{f': {names}' if names else ''}"
        case WaitingOn.POLICY:
            return "waits until its worker has a current policy"
        case _:
            return f"runs{f': {names}' if names else ''}"


def _name(step: Step, shown: Shown) -> str:
    title = None if step.kind == StepKind.APPROVAL else step.title
    return title or shown.step_name(step.kind, step.name)


def _first(titles: Sequence[str]) -> str:
    """The first title that the reader may see, and how many approvals there are beside it."""
    named = [title for title in titles if title != HIDDEN_TITLE]
    if not named:
        return f"{len(titles)} approvals" if len(titles) > 1 else HIDDEN_TITLE
    return asks.several(named[0], len(titles))


def _lengths(waiting: Sequence[Step]) -> str:
    """How long the timers among these steps are, as the end of a sentence."""
    timers = [step for step in waiting[:3] if step.kind == StepKind.TIMER and step.due_at is not None]
    lengths = dict.fromkeys(in_words(step.due_at - step.scheduled_at) for step in timers if step.due_at is not None)
    return f" of {' and of '.join(lengths)}" if lengths else ""
