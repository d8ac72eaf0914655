"""`agentgrid signing-key`: which signing keys count, and ending one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgrid.cli.groups import group
from agentgrid.cli.inputs import part
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.session import (
    CursorOption,
    LimitOption,
    OutputOption,
    ProfileOption,
    ReasonOption,
    YesOption,
    confirm,
    session,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

app = group("See which keys decisions are signed with, and end one.")

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The key's id, as `signing-key list` shows it.")]


@app.command("list")
def list_(
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List signing keys, newest first, with the approvals that only they can decide."""
    with session(profile, output) as client:
        answer = client.get("/signing-keys", limit=limit, cursor=cursor)
        from agentgrid.cli.show import show_page

        show_page(answer, output, _table)


@app.command()
def retire(
    key_id: KeyId,
    reason: ReasonOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Let no new approval name a key; those that opened before can still be decided with it. Final."""
    question = f"Retire {key_id}? It can't be taken back: to sign again, make a new key."
    _end("retire", key_id, question, reason, yes, profile, output)


@app.command()
def revoke(
    key_id: KeyId,
    reason: ReasonOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Let nothing that a key signed count any more, also while an API signs with it: for a key that others may have. Final."""
    question = (
        f"Revoke {key_id}? No decision that it signed lets a call through from now on, and it can't be taken back."
    )
    _end("revoke", key_id, question, reason, yes, profile, output)


def _end(
    verb: str, key_id: str, question: str, reason: str | None, yes: bool, profile: str | None, output: OutputFormat
) -> None:
    with session(profile, output) as client:
        confirm(question, yes=yes)
        body = {} if reason is None else {"reason": reason}
        place = f"/signing-keys/{part(key_id)}/{verb}"
        answer = client.write("POST", place, body, doing=f"{verb} of the signing key {key_id}")
        from agentgrid.cli.show import show as show_answer

        show_answer(answer, output, lambda key: _table([key]))


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    from agentgrid.cli import words
    from agentgrid.cli.output import rows, table

    return rows(
        table("KEY", "STATUS", "AN API SIGNS WITH IT", "APPROVALS WAITING", "REGISTERED", "RETIRED", "REVOKED"),
        (
            (
                key["key_id"],
                words.status(key["status"]),
                words.yes_no(key["in_use"], no_style="dim"),
                str(key["approvals_pending"]),
                words.absolute(key["created_at"]),
                words.absolute(key["retired_at"]),
                words.absolute(key["revoked_at"]),
            )
            for key in items
        ),
    )
