"""Ids as people type them: in full, as a workflow id, or as a unique beginning or end, as shown in lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from agentgrid.cli import words
from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.inputs import part
from agentgrid.cli.text import safe

if TYPE_CHECKING:
    from agentgrid.cli.client import ApiClient

Document = Mapping[str, Any]

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ELLIPSIS = "…"
"""Replaces the middle of a long id in lists."""
MAX_CANDIDATES = 200
"""The maximum number of candidates to fetch."""
MIN_LENGTH = 4
"""Shorter parts of ids are not looked up."""
MAX_LISTED = 8
"""How many candidates an error message lists."""


def run_id_of(client: ApiClient, typed: str, *, doing: str = "") -> str:
    """Look up a run's full id; returns the input if nothing matches. Raises CommandFailed if it is ambiguous.

    `doing` names the change that will be requested next.
    """
    part(typed)
    if UUID.fullmatch(typed) or len(typed) < MIN_LENGTH:
        return typed
    first, _, last = typed.partition(ELLIPSIS)
    candidates = [] if last else _items(client, "/runs", doing, workflow_id=typed)
    if not candidates:
        candidates = _items(client, "/runs", doing, q=max(first, last, key=len))
        candidates = [
            run for run in candidates if any(_matches(run[name], first, last) for name in ("run_id", "workflow_id"))
        ]
    return _only(typed, candidates, "run_id", "run", _about_run)


def approval_id_of(client: ApiClient, typed: str, *, doing: str = "") -> str:
    """Look up an approval's full id, first among the newest pending ones, then among the newest of all."""
    return _among_newest(
        client, typed, "/approvals", "approval_id", "approval", _about_approval, {"status": ["pending"]}, doing
    )


def command_id_of(client: ApiClient, typed: str, *, doing: str = "") -> str:
    """Look up a command's full id among the newest commands."""
    return _among_newest(client, typed, "/commands", "command_id", "command", _about_command, {}, doing)


def _among_newest(
    client: ApiClient,
    typed: str,
    path: str,
    field: str,
    noun: str,
    about: Callable[[Document], str],
    first_among: Mapping[str, Any],
    doing: str,
) -> str:
    part(typed)
    if UUID.fullmatch(typed) or len(typed) < MIN_LENGTH:
        return typed
    first, _, last = typed.partition(ELLIPSIS)
    for filters in (first_among, {}) if first_among else ({},):
        candidates = [item for item in _items(client, path, doing, **filters) if _matches(item[field], first, last)]
        if candidates:
            return _only(typed, candidates, field, noun, about)
    return typed


def _matches(identifier: object, first: str, last: str) -> bool:
    """Whether the id begins or ends with `first`; if `last` is given too, begins with `first` and ends with `last`."""
    whole = str(identifier)
    if last:
        return len(whole) > len(first) + len(last) and whole.startswith(first) and whole.endswith(last)
    return whole.startswith(first) or whole.endswith(first)


def _items(client: ApiClient, path: str, doing: str, **filters: Any) -> list[Document]:
    """What the server finds; empty if it rejects the search."""
    try:
        answer = client.get_before(doing, path, limit=MAX_CANDIDATES, **filters)
    except CommandFailed as error:
        if error.exit_code in (ExitCode.FAILED, ExitCode.NOT_FOUND):
            return []
        raise
    page = answer.json()
    return list(page["items"]) if isinstance(page, dict) and isinstance(page.get("items"), list) else []


def _only(typed: str, matches: Iterable[Document], field: str, noun: str, about: Callable[[Document], str]) -> str:
    candidates = list({item[field]: item for item in matches}.values())
    if not candidates:
        return typed
    if len(candidates) == 1:
        return str(candidates[0][field])
    lines = [f"  {safe(item[field])}  {about(item)}" for item in candidates[:MAX_LISTED]]
    if len(candidates) > MAX_LISTED:
        lines.append(f"  and {len(candidates) - MAX_LISTED} more")
    raise CommandFailed(
        f"{typed!r} is ambiguous: it matches {len(candidates)} {noun}s; give more of the id:\n" + "\n".join(lines),
        ExitCode.USAGE,
    )


def _about_run(run: Document) -> str:
    started = words.ago(run["started_at"] or run["created_at"]).plain
    named = "" if run["workflow_id"] == run["run_id"] else f"  workflow id {safe(run['workflow_id'])}"
    return f"{safe(run['workflow'])}  {safe(run['status'])}  {started}{named}"


def _about_approval(approval: Document) -> str:
    return f"{safe(approval['title'])}  {safe(approval['status'])}  {words.ago(approval['opened_at']).plain}"


def _about_command(command: Document) -> str:
    return f"{safe(command['kind'])}  {safe(command['principal'])}  {words.ago(command['created_at']).plain}"
