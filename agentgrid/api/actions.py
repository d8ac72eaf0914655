"""The actions a caller may take on a run, approval, workflow or tool, or why not; and what a run is waiting for."""

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
"""The path of a verb's route below the run, if it isn't the verb itself."""
TOOL_POLICY = ACCESS[f"PUT {V1}/tools/{{name}}/policy"]
AGENT_POLICY = ACCESS[f"PUT {V1}/agents/{{name}}/policy"]


def _forbidden(principal: Principal, access: Access) -> str | None:
    try:
        authorise(principal, access)
    except Forbidden as error:
        return error.message
    return None


def of_run(principal: Principal, run: Run, *, taken: bool, agent_running: bool) -> list[Action]:
    """The verbs of a run.

    taken: a worker has completed one of its workflow tasks. agent_running: an agent is running in it.
    """
    actions = []
    for verb in Verb:
        status = RunStatus(run.status)
        why = refusal(verb, status, governed=run.governed, taken=taken, agent_running=agent_running) or _forbidden(
            principal, ACCESS[f"POST {V1}/runs/{{run_id}}/{PATHS.get(verb, verb)}"]
        )
        actions.append(Action(verb=ActionVerb(verb), allowed=why is None, reason=why))
    return actions


def of_approval(caller: Caller, facts: ApprovalFacts, signer: Signer | None) -> list[Action]:
    error = obstacle(caller, facts, signer)
    why = None if error is None else error.message
    return [Action(verb=ActionVerb(verb), allowed=why is None, reason=why) for verb in ("approve", "reject")]


def of_workflow(principal: Principal, name: str, switch: Switch | None) -> list[Action]:
    disabled = switches.refusal(switch)
    out_of_scope = None if principal.reaches(name) else f"{principal.name}'s scope does not include this workflow"
    start = _forbidden(principal, START) or out_of_scope or (disabled.message if disabled else None)
    return [
        Action(verb=ActionVerb.START, allowed=start is None, reason=start),
        *_switch_actions(principal, "workflows"),
    ]


def of_tool(principal: Principal) -> list[Action]:
    why = _forbidden(principal, TOOL_POLICY)
    return [Action(verb=ActionVerb.POLICY, allowed=why is None, reason=why), *_switch_actions(principal, "tools")]


def of_agent(principal: Principal) -> list[Action]:
    actions = []
    for verb, route in (("edit", f"PUT {V1}/agents/{{name}}"), ("use", f"POST {V1}/agents/{{name}}/use")):
        why = _forbidden(principal, ACCESS[route])
        actions.append(Action(verb=ActionVerb(verb), allowed=why is None, reason=why))
    why = _forbidden(principal, AGENT_POLICY)
    return [
        *actions,
        Action(verb=ActionVerb.POLICY, allowed=why is None, reason=why),
        *_switch_actions(principal, "agents"),
    ]


def _switch_actions(principal: Principal, noun: str) -> list[Action]:
    actions = []
    for verb in ("disable", "enable"):
        why = _forbidden(principal, ACCESS[f"POST {V1}/{noun}/{{name}}/{verb}"])
        actions.append(Action(verb=ActionVerb(verb), allowed=why is None, reason=why))
    return actions


HOLDS = {
    "loop": "its agent was looping",
    "budget_exceeded": "its agent has used up its budget",
    "interrupted": "a person interrupted its agent",
}
"""Why a run paused itself, in words."""


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
    """What or whom the run is waiting for, until when, and what this caller may do about it.

    titles: the approvals' titles, as visible to the caller.
    """
    pending = approvals if not RunStatus(run.status).closed else ()
    approvers = sorted({entry for approval in pending for entry in approval.approvers})
    expiries = [approval.expires_at for approval in pending if approval.expires_at is not None]
    waits_for_people = run.waiting_on == WaitingOn.APPROVAL
    return Next(
        waiting_on=WaitingOn(run.waiting_on) if run.waiting_on else None,
        summary=_summary(run, titles if pending else (), approvers, waiting, shown),
        until=min(expiries) if waits_for_people and expiries else run.next_at,
        approval_ids=[approval.approval_id for approval in pending],
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
        return f"paused itself: {HOLDS.get(run.hold, run.hold)}; resume it to let its agent continue"
    if status is RunStatus.PAUSED:
        return "paused: timers, timeouts and approval expiry continue; resume it to continue"
    if status is RunStatus.CANCELLING:
        return "cancelling: the workflow is finishing"
    names = ", ".join(dict.fromkeys(_name(step, shown) for step in waiting[:3]))
    match run.waiting_on:
        case WaitingOn.APPROVAL:
            return f"waits for {approvers_in_words(approvers)} to decide: {_first(titles)}"
        case WaitingOn.TIMER:
            return f"waits for a timer{_durations(waiting)}"
        case WaitingOn.SIGNAL:
            return "waits for a signal"
        case WaitingOn.CHILD:
            return f"waits for a child{f': {names}' if names else ''}"
        case WaitingOn.WORKER:
            return f"waits for a worker on task queue {run.task_queue}"
        case WaitingOn.RETRY:
            return f"waits to retry{f': {names}' if names else ''}"
        case WaitingOn.POLICY:
            return "waits for its worker to receive the current policy"
        case _:
            return f"runs{f': {names}' if names else ''}"


def _name(step: Step, shown: Shown) -> str:
    title = None if step.kind == StepKind.APPROVAL else step.title
    return title or shown.step_name(step.kind, step.name)


def _first(titles: Sequence[str]) -> str:
    """The first title that the reader may see, and the number of other approvals."""
    visible = [title for title in titles if title != HIDDEN_TITLE]
    if not visible:
        return f"{len(titles)} approvals" if len(titles) > 1 else HIDDEN_TITLE
    return asks.several(visible[0], len(titles))


def _durations(waiting: Sequence[Step]) -> str:
    """The durations of the timers among these steps, as the end of a sentence."""
    timers = [step for step in waiting[:3] if step.kind == StepKind.TIMER and step.due_at is not None]
    durations = dict.fromkeys(in_words(step.due_at - step.scheduled_at) for step in timers if step.due_at is not None)
    return f" of {' and of '.join(durations)}" if durations else ""
