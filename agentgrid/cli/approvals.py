"""`agentgrid approval`: list, show and decide approvals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from agentgrid.cli import words
from agentgrid.cli.changed import arguments_of, difference
from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.groups import make_group
from agentgrid.cli.identifiers import approval_id_of, run_id_of
from agentgrid.cli.inputs import part
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import facts, indented, payload, put, stderr
from agentgrid.cli.session import (
    CursorOption,
    LimitOption,
    OutputOption,
    ProfileOption,
    YesOption,
    confirm,
    session,
)
from agentgrid.cli.show import rendered, show_answer, show_page
from agentgrid.cli.tables import TextTable, ago, fixed, ids, text
from agentgrid.cli.text import safe
from agentgrid.domain.approval_status import ApprovalStatus

if TYPE_CHECKING:
    from rich.console import RenderableType

SECOND_PERSON = "second_person"

app = make_group()

ApprovalId = Annotated[
    str,
    typer.Argument(
        metavar="APPROVAL", help="The approval's id, or a unique beginning or end of it, of at least 4 characters."
    ),
]
CommentOption = Annotated[
    str | None,
    typer.Option("--comment", "-c", help="A comment on the decision; the run receives it, and the audit log keeps it."),
]
DigestOption = Annotated[
    str | None, typer.Option(help="Decide only if the digest is still this one, as shown to you earlier.")
]


@app.command("list")
def list_(
    status: Annotated[
        list[ApprovalStatus] | None,
        typer.Option(metavar="STATUS", help="Only this status, such as approved; may be repeated."),
    ] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only approvals of this run, of any status.")] = None,
    agent: Annotated[
        str | None, typer.Option(metavar="AGENT", help="Only approvals that this agent requested.")
    ] = None,
    mine: Annotated[
        bool,
        typer.Option(
            "--mine", help="Only approvals that I can decide now; with another --status, those I was an approver of."
        ),
    ] = False,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List approvals, newest first. Without --status or --run: pending approvals."""
    with session(profile, output) as client:
        now = mine and set(status or ()) <= {ApprovalStatus.PENDING}
        any_status = bool(status or run)
        answer = client.get(
            "/approvals",
            status=status or ([] if any_status or now else [ApprovalStatus.PENDING]),
            run=run and run_id_of(client, run),
            agent=agent,
            assigned_to="me" if mine and not now else None,
            decidable_by="me" if now else None,
            limit=limit,
            cursor=cursor,
        )
        none = (
            "no approvals that you can decide now" if now else "no approvals" if any_status else "no pending approvals"
        )
        show_page(answer, output, _table, empty=none)


@app.command()
def show(approval_id: ApprovalId, profile: ProfileOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show an approval: its exact arguments, who may decide it and until when."""
    with session(profile, output) as client:
        answer = client.get(f"/approvals/{part(approval_id_of(client, approval_id))}")
        show_answer(answer, output, _detail)


@app.command()
def approve(
    approval_id: ApprovalId,
    comment: CommentOption = None,
    digest: DigestOption = None,
    arguments: Annotated[
        str | None,
        typer.Option(
            metavar="JSON|@FILE|-",
            help="Approve a tool call with these arguments instead: all of them, as a JSON object.",
        ),
    ] = None,
    edit: Annotated[
        bool, typer.Option("--edit", help="Change the arguments in $EDITOR and approve the result.")
    ] = False,
    proposed: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Approve the changed arguments that another approver proposed."),
    ] = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Approve the call, with exactly the arguments shown or with changed ones."""
    change = ChangeSource(from_option=arguments, edit=edit, proposed=proposed)
    _decide("approved", approval_id, comment, digest, yes, profile, output, change)


@app.command()
def reject(
    approval_id: ApprovalId,
    comment: CommentOption = None,
    digest: DigestOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Reject the call."""
    _decide("rejected", approval_id, comment, digest, yes, profile, output)


@dataclass(frozen=True, kw_only=True)
class ChangeSource:
    """Where changed arguments come from."""

    from_option: str | None = None
    edit: bool = False
    proposed: str | None = None


UNCHANGED = ChangeSource()


def _decide(
    verdict: str,
    approval_id: str,
    comment: str | None,
    digest: str | None,
    yes: bool,
    profile: str | None,
    output: OutputFormat,
    change: ChangeSource = UNCHANGED,
) -> None:
    with session(profile, output) as client:
        doing = f"the decision on approval {approval_id}"
        place = f"/approvals/{part(approval_id_of(client, approval_id, doing=doing))}"
        approval = client.get_before(doing, place).json()
        # Show the approval first, on standard error, so that `-o json` still prints only the API's response.
        put(stderr(), rendered(approval, _detail))
        shown = approval["digest"]
        if digest is not None and digest != shown:
            raise CommandFailed(
                f"the digest is now {shown!r}, not {digest!r}: the approval has changed since you saw it. Nothing was sent; review it again.",
                ExitCode.FAILED,
            )
        arguments = arguments_of(approval, from_option=change.from_option, edit=change.edit, proposed=change.proposed)
        if arguments is not None:
            put(stderr(), _change_of(approval, arguments, "Your change"))
        reason = _refusal_reason(approval)
        if reason is None:
            approving = "Approve exactly this?" if arguments is None else "Approve the call with exactly this change?"
            confirm(approving if verdict == "approved" else "Reject this?", yes=yes)
        # Otherwise send the request anyway: the server refuses it with the reason and records the attempt.
        optional = {"comment": comment, "arguments": arguments}
        body = {"verdict": verdict, "digest": shown} | {
            name: value for name, value in optional.items() if value is not None
        }
        answer = client.write("POST", f"{place}/decisions", body, doing=doing)
        show_answer(answer, output, lambda decided: _confirmation(verdict, decided))


def _refusal_reason(approval: Mapping[str, Any]) -> str | None:
    for action in approval["actions"]:
        if action["verb"] in ("approve", "reject") and not action["allowed"]:
            return str(action["reason"])
    return None


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    return TextTable(
        (
            ids("APPROVAL"),
            text("TITLE", 1, least=24),
            text("TOOL", 4, least=10),
            fixed("STATUS", 0),
            text("WORKFLOW", 6, least=12),
            text("ASKED BY", 4, least=10),
            text("STARTED BY", 3, least=8),
            ago("OPENED", 5),
            ago("EXPIRES", 2),
            text("DECIDED BY", 2, least=8),
        ),
        (
            (
                approval["approval_id"],
                approval["title"],
                approval["tool"],
                words.status(approval["status"]),
                approval["workflow"],
                _asked_by(approval),
                approval["initiator"],
                approval["opened_at"],
                approval["expires_at"] if approval["status"] == ApprovalStatus.PENDING else None,
                _decided_by(approval),
            )
            for approval in items
        ),
    )


def _detail(approval: Mapping[str, Any]) -> RenderableType:
    heading = Text(safe(approval["title"]), style="bold")
    heading.append("  ").append_text(words.status(approval["status"]))
    parts: list[RenderableType] = [
        heading,
        indented(
            facts(
                {
                    "approval": approval["approval_id"],
                    "tool": approval["tool"],
                    "run": f"{approval['run_id']} ({approval['workflow']}, {approval['run_status']})",
                    "asked by": f"agent {asker}" if (asker := _asked_by(approval)) else None,
                    "started by": _started_by(approval),
                    "approvers": approval["approvers"],
                    "policy": approval["policy"],
                    "reason": approval["reason"],
                    "opened": words.absolute(approval["opened_at"]),
                    "expires": words.absolute(approval["expires_at"]) if approval["expires_at"] else None,
                    "decided by": _decided_by(approval),
                    "proposed by": approval.get("proposed_by"),
                    "comment": approval.get("comment"),
                    "changes require": "two approvers" if approval.get("changes") == SECOND_PERSON else None,
                    "digest": approval["digest"],
                    "approved digest": approval.get("changed_digest"),
                }
            )
        ),
    ]
    if approval.get("change_refused"):
        refused = f"\nThe worker refused the change approved earlier: {safe(approval['change_refused'])}"
        parts.append(Text(refused, style="yellow"))
    parts += [
        Text(_heading(approval), style="bold"),
        indented(payload(approval["payload"], names=approval.get("parameters", ()))),
    ]
    if approval.get("changed"):
        parts.append(_change_of(approval, approval["changed"].get("value"), "Approved with this change"))
    for proposal in approval.get("proposals", ()):
        title = f"Proposed by {safe(proposal['principal'])}, command {safe(proposal['command_id'])}"
        parts.append(_change_of(approval, proposal["arguments"], title))
    if approval["decisions"]:
        decisions = TextTable(
            (
                fixed("JUDGED"),
                fixed("VERDICT", 1),
                text("BY", 2, least=10),
                ago("WHEN", 4),
            ),
            (
                (
                    decision["judged"],
                    decision["verdict"],
                    decision["principal"] if decision["attributed"] else words.unattributed(decision),
                    decision["signalled_at"],
                )
                for decision in approval["decisions"]
            ),
            below=[_why_and_comment(decision) for decision in approval["decisions"]],
        )
        parts += [Text("\nDecisions", style="bold"), indented(decisions)]
    if approval["status"] == ApprovalStatus.PENDING and (reason := _refusal_reason(approval)):
        parts.append(Text(f"\nyou can't decide this approval: {safe(reason)}", style="yellow"))
    return Group(*parts)


def _heading(approval: Mapping[str, Any]) -> str:
    if not approval["tool"]:
        return "\nShown"
    return (
        "\nArguments, as the run requested them"
        if approval.get("changed_digest")
        else "\nArguments, exactly as they would be used"
    )


def _change_of(approval: Mapping[str, Any], arguments: Any, title: str) -> RenderableType:
    shown = payload(None) if arguments is None else difference(approval, arguments)
    return Group(Text(f"\n{title}", style="bold"), indented(shown))


def _why_and_comment(decision: Mapping[str, Any]) -> Text | None:
    """Shown in full below the row, which has no room for them."""
    parts = [Text(f"why: {safe(decision['reason'])}", style="yellow")] if decision["reason"] else []
    if comment := decision.get("comment"):
        parts.append(Text(f"comment: {safe(comment)}"))
    return Text("\n").join(parts) if parts else None


def _decided_by(approval: Mapping[str, Any]) -> str | None:
    if approval["attributed"] is False:
        return f"unattributed: {approval['unattributed_because']}"
    return str(approval["decided_by"]) if approval["decided_by"] else None


def _asked_by(approval: Mapping[str, Any]) -> str | None:
    """The agent that requested the approval, with its version and turn; None if workflow code did."""
    if not approval.get("agent"):
        return None
    version = f"@{approval['agent_version']}" if approval["agent_version"] else ""
    turn = f", turn {approval['turn']}" if approval["turn"] else ""
    return f"{approval['agent']}{version}{turn}"


def _started_by(approval: Mapping[str, Any]) -> str:
    claimed = approval["claimed_initiator"]
    return (
        f"{approval['initiator']} (the worker claims {claimed}: unverified)" if claimed else str(approval["initiator"])
    )


def _confirmation(verdict: str, approval: Mapping[str, Any]) -> RenderableType:
    command = approval["command"]
    done = "✓ approved  " if verdict == "approved" else "✗ rejected  "
    if command.get("kind") == "approval.propose":
        done = "proposed; another approver must approve exactly this change  "
    text = Text(done, style="green")
    text.append(safe(approval["title"]), style="bold")
    return text.append(f"  command {safe(command['command_id'])} {safe(command['status'])}", style="dim")
