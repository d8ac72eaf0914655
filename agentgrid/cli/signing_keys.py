"""`agentgrid signing-key`: list, retire and revoke signing keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgrid.cli import words
from agentgrid.cli.groups import make_group
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
    show_list,
)
from agentgrid.cli.show import show_answer
from agentgrid.cli.tables import TextTable, fixed, time

if TYPE_CHECKING:
    from rich.console import RenderableType

app = make_group()

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The key's id, as shown by `signing-key list`.")]


@app.command("list")
def list_(
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List signing keys, newest first, with the number of approvals that only they can decide."""
    show_list(
        "/signing-keys", _table, empty="no signing keys", profile=profile, output=output, limit=limit, cursor=cursor
    )


@app.command()
def retire(
    key_id: KeyId,
    reason: ReasonOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Retire a key: new approvals no longer accept it; open ones can still be decided with it. Can't be undone."""
    question = f"Retire {key_id}? This can't be undone: to sign again, create a new key."
    _end("retire", key_id, question, reason, yes, profile, output)


@app.command()
def revoke(
    key_id: KeyId,
    reason: ReasonOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Revoke a key: its signatures no longer count, even if an API process still signs with it. For a leaked key. Can't be undone."""
    question = f"Revoke {key_id}? Decisions that it signed no longer let a call through. This can't be undone."
    _end("revoke", key_id, question, reason, yes, profile, output)


def _end(
    verb: str, key_id: str, question: str, reason: str | None, yes: bool, profile: str | None, output: OutputFormat
) -> None:
    with session(profile, output) as client:
        confirm(question, yes=yes)
        body = {} if reason is None else {"reason": reason}
        place = f"/signing-keys/{part(key_id)}/{verb}"
        answer = client.write("POST", place, body, doing=f"{verb.removesuffix('e')}ing the signing key {key_id}")
        show_answer(answer, output, lambda key: _table([key]))


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    return TextTable(
        (
            fixed("KEY"),
            fixed("STATUS", 1),
            fixed("IN USE", 2),
            fixed("PENDING APPROVALS", 3),
            time("REGISTERED", 6),
            time("RETIRED", 4),
            time("REVOKED", 5),
        ),
        (
            (
                key["key_id"],
                words.status(key["status"]),
                words.yes_no(key["in_use"], no_style="dim"),
                str(key["approvals_pending"]),
                key["created_at"],
                key["retired_at"],
                key["revoked_at"],
            )
            for key in items
        ),
    )
