"""`agentgrid approval`: list, show and decide approvals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.groups import group
from agentgrid.cli.inputs import part
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.session import (
    CursorOption,
    LimitOption,
    OutputOption,
    ProfileOption,
    YesOption,
    confirm,
    session,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

app = group("List, show and decide approvals.")

ApprovalId = Annotated[str, typer.Argument(metavar="APPROVAL", help="The approval's id.")]
CommentOption = Annotated[
    str | None, typer.Option("--comment", "-c", help="A comment on the decision; stored in the audit log.")
]
DigestOption = Annotated[
    str | None, typer.Option(help="Decide only if the digest is still this one, which you were shown earlier.")
]


@app.command("list")
def list_(
    status: Annotated[list[str] | None, typer.Option(help="Only this status; may be repeated.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only approvals that I may decide.")] = False,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List approvals, newest first. Without --status: pending approvals."""
    with session(profile, output) as client:
        answer = client.get(
            "/approvals",
            status=status or ["pending"],
            assigned_to="me" if mine else None,
            limit=limit,
            cursor=cursor,
        )
        from agentgrid.cli.show import show_page

        show_page(answer, output, _table)


@app.command()
def show(approval_id: ApprovalId, profile: ProfileOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show an approval: its exact arguments, who may decide it, and until when."""
    with session(profile, output) as client:
        answer = client.get(f"/approvals/{part(approval_id)}")
        from agentgrid.cli.show import show as show_answer

        show_answer(answer, output, _detail)


@app.command()
def approve(
    approval_id: ApprovalId,
    comment: CommentOption = None,
    digest: DigestOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Approve the call, with exactly the arguments that are shown."""
    _decide("approved", approval_id, comment, digest, yes, profile, output)


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


def _decide(
    verdict: str,
    approval_id: str,
    comment: str | None,
    digest: str | None,
    yes: bool,
    profile: str | None,
    output: OutputFormat,
) -> None:
    with session(profile, output) as client:
        place = f"/approvals/{part(approval_id)}"
        doing = f"the decision on approval {approval_id}"
        approval = client.get_before(doing, place).json()
        from agentgrid.cli.output import put, stderr
        from agentgrid.cli.show import rendered
        from agentgrid.cli.show import show as show_answer

        # The approval is shown first, on standard error, so that `-o json` still prints only the API's response.
        put(stderr(), rendered(approval, _detail))
        shown = approval["digest"]
        if digest is not None and digest != shown:
            raise CommandFailed(
                f"the digest is now {shown!r}, not {digest!r}: the approval has changed since you saw it. Nothing was sent.",
                ExitCode.FAILED,
            )
        reason = _why_not(approval)
        if reason is None:
            confirm("Approve exactly this?" if verdict == "approved" else "Reject this?", yes=yes)
        # Otherwise the request is sent anyway: the server refuses it with the reason, and records the attempt.
        body = {"verdict": verdict, "digest": shown} | ({} if comment is None else {"comment": comment})
        answer = client.write("POST", f"{place}/decisions", body, doing=doing)
        show_answer(answer, output, lambda decided: _decided(verdict, decided))


def _why_not(approval: Mapping[str, Any]) -> str | None:
    for action in approval["actions"]:
        if action["verb"] in ("approve", "reject") and not action["allowed"]:
            return str(action["reason"])
    return None


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    from agentgrid.cli import words
    from agentgrid.cli.output import rows, table

    return rows(
        table("APPROVAL", "TITLE", "TOOL", "STATUS", "WORKFLOW", "STARTED BY", "OPENED", "EXPIRES"),
        (
            (
                approval["approval_id"],
                approval["title"],
                approval["tool"],
                words.status(approval["status"]),
                approval["workflow"],
                approval["initiator"],
                words.ago(approval["opened_at"]),
                words.ago(approval["expires_at"]),
            )
            for approval in items
        ),
    )


def _detail(approval: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from agentgrid.cli import words
    from agentgrid.cli.output import facts, indented, payload, rows, table
    from agentgrid.cli.text import safe

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
                    "started by": _started_by(approval),
                    "approvers": approval["approvers"],
                    "policy": approval["policy"],
                    "reason": approval["reason"],
                    "opened": words.absolute(approval["opened_at"]),
                    "expires": words.absolute(approval["expires_at"]) if approval["expires_at"] else None,
                    "decided by": _decided_by(approval),
                    "digest": approval["digest"],
                }
            )
        ),
        Text("\nArguments, exactly as they would be used" if approval["tool"] else "\nShown", style="bold"),
        indented(payload(approval["payload"])),
    ]
    if approval["decisions"]:
        made = rows(
            table("JUDGED", "VERDICT", "BY", "WHEN", "WHY", "COMMENT"),
            (
                (
                    said["judged"],
                    said["verdict"],
                    said["principal"] if said["attributed"] else words.unattributed(said),
                    words.ago(said["signalled_at"]),
                    said["reason"],
                    said.get("comment"),
                )
                for said in approval["decisions"]
            ),
        )
        parts += [Text("\nDecisions", style="bold"), indented(made)]
    if reason := _why_not(approval):
        parts.append(Text(f"\nyou can't decide it: {safe(reason)}", style="yellow"))
    return Group(*parts)


def _decided_by(approval: Mapping[str, Any]) -> str | None:
    if approval["attributed"] is False:
        return f"unattributed: {approval['unattributed_because']}"
    return str(approval["decided_by"]) if approval["decided_by"] else None


def _started_by(approval: Mapping[str, Any]) -> str:
    claimed = approval["claimed_initiator"]
    return (
        f"{approval['initiator']} (the worker claims {claimed}: unverified)" if claimed else str(approval["initiator"])
    )


def _decided(verdict: str, approval: Mapping[str, Any]) -> RenderableType:
    from rich.text import Text

    from agentgrid.cli.text import safe

    text = Text("✓ approved  " if verdict == "approved" else "✗ rejected  ", style="green")
    text.append(safe(approval["title"]), style="bold")
    command = approval["command"]
    return text.append(f"  command {safe(command['command_id'])} {safe(command['status'])}", style="dim")
