"""Ids as people give them: whole, a workflow id, or a unique beginning or end, as lists print them."""

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
LOOKED_AT = 200
"""The maximum number of candidates to fetch."""
SHORTEST = 4
"""A part of an id that is shorter than this is not looked up."""
NAMED = 8
"""How many candidates an error lists."""


def run_id_of(client: ApiClient, given: str, *, doing: str = "") -> str:
    """The id of the run that is meant; what was given, if nothing is found. Raises CommandFailed if it could be several.

    `doing` names the change that is requested next.
    """
    part(given)
    if UUID.fullmatch(given) or len(given) < SHORTEST:
        return given
    first, _, last = given.partition(ELLIPSIS)
    found = [] if last else _items(client, "/runs", doing, workflow_id=given)
    if not found:
        found = _items(client, "/runs", doing, q=max(first, last, key=len))
        found = [run for run in found if any(_fits(run[name], first, last) for name in ("run_id", "workflow_id"))]
    return _only(given, found, "run_id", "run", _about_run)


def approval_id_of(client: ApiClient, given: str, *, doing: str = "") -> str:
    """The id of the approval that is meant, sought among the newest pending ones, then among the newest of all."""
    return _among_newest(
        client, given, "/approvals", "approval_id", "approval", _about_approval, {"status": ["pending"]}, doing
    )


def command_id_of(client: ApiClient, given: str, *, doing: str = "") -> str:
    """The id of the command that is meant, sought among the newest."""
    return _among_newest(client, given, "/commands", "command_id", "command", _about_command, {}, doing)


def _among_newest(
    client: ApiClient,
    given: str,
    path: str,
    field: str,
    noun: str,
    about: Callable[[Document], str],
    first_among: Mapping[str, Any],
    doing: str,
) -> str:
    part(given)
    if UUID.fullmatch(given) or len(given) < SHORTEST:
        return given
    first, _, last = given.partition(ELLIPSIS)
    for wanted in (first_among, {}) if first_among else ({},):
        found = [each for each in _items(client, path, doing, **wanted) if _fits(each[field], first, last)]
        if found:
            return _only(given, found, field, noun, about)
    return given


def _fits(identifier: object, first: str, last: str) -> bool:
    """Whether the id begins or ends so; with both, begins and ends."""
    whole = str(identifier)
    if last:
        return len(whole) > len(first) + len(last) and whole.startswith(first) and whole.endswith(last)
    return whole.startswith(first) or whole.endswith(first)


def _items(client: ApiClient, path: str, doing: str, **wanted: Any) -> list[Document]:
    """What the server finds; nothing if it can't make sense of what was given."""
    try:
        answer = client.get_before(doing, path, limit=LOOKED_AT, **wanted)
    except CommandFailed as error:
        if error.exit_code in (ExitCode.FAILED, ExitCode.NOT_FOUND):
            return []
        raise
    page = answer.json()
    return list(page["items"]) if isinstance(page, dict) and isinstance(page.get("items"), list) else []


def _only(given: str, found: Iterable[Document], field: str, noun: str, about: Callable[[Document], str]) -> str:
    candidates = list({each[field]: each for each in found}.values())
    if not candidates:
        return given
    if len(candidates) == 1:
        return str(candidates[0][field])
    lines = [f"  {safe(each[field])}  {about(each)}" for each in candidates[:NAMED]]
    if len(candidates) > NAMED:
        lines.append(f"  and {len(candidates) - NAMED} more")
    raise CommandFailed(
        f"{given!r} could be any of {len(candidates)} {noun}s; give more of its id:\n" + "\n".join(lines),
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
