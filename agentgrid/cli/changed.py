"""Changed arguments for an approval: given as an option, edited in an editor as with `git commit`, or taken from another approver's proposal."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.inputs import MAX_INPUT_BYTES, read_json
from agentgrid.cli.readable import Difference

if TYPE_CHECKING:
    from rich.console import RenderableType

MIN_PREFIX = 4
"""Minimum length of a beginning or end of a command's id."""


def arguments_of(
    approval: Mapping[str, Any], *, from_option: str | None, edit: bool, proposed: str | None
) -> dict[str, Any] | None:
    """The arguments to approve instead, or None to approve the call unchanged. Raises CommandFailed before anything is sent."""
    if (from_option is not None) + edit + (proposed is not None) > 1:
        raise CommandFailed("use only one of --arguments, --edit and --proposed", ExitCode.USAGE)
    if from_option is not None:
        arguments = read_json(from_option, option="--arguments")
    elif edit:
        arguments = _edited(original_of(approval))
    elif proposed is not None:
        arguments = _proposed(approval, proposed)
    else:
        return None
    if not isinstance(arguments, dict):
        raise CommandFailed("the arguments must be a JSON object with the tool's parameters as keys", ExitCode.USAGE)
    if arguments == original_of(approval):
        raise CommandFailed(
            "the arguments are unchanged. Nothing was sent; to approve them as they are, omit the option.",
            ExitCode.FAILED,
        )
    return arguments


def original_of(approval: Mapping[str, Any]) -> Any:
    """The arguments that the workflow passed. Raises CommandFailed if they aren't shown in full."""
    payload = approval.get("payload") or {}
    if "value" not in payload:
        raise CommandFailed(
            "you can't see this approval's arguments in full, so you can't change them", ExitCode.FAILED
        )
    return payload["value"]


def difference(approval: Mapping[str, Any], arguments: Any) -> RenderableType:
    """What these arguments change, line by line."""
    return Difference((approval.get("payload") or {}).get("value"), arguments)


def _proposed(approval: Mapping[str, Any], part: str) -> Any:
    matches = [
        proposal
        for proposal in approval["proposals"]
        if len(part) >= MIN_PREFIX
        and (proposal["command_id"].startswith(part) or proposal["command_id"].endswith(part))
    ]
    if len(matches) != 1:
        what = "no proposal" if not matches else "more than one proposal"
        raise CommandFailed(
            f"{what} on this approval matches {part!r}; `agentgrid approval show` lists them", ExitCode.USAGE
        )
    return matches[0]["arguments"]


def _edited(value: Any) -> Any:
    """The value after the user edited it in `$VISUAL` or `$EDITOR`, in a file that only they can read."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="agentgrid-") as folder:
        file = Path(folder) / "arguments.json"
        file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        try:
            completed = subprocess.run([*shlex.split(editor), str(file)], check=False)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CommandFailed(
                f"the editor {editor!r} can't be started: {reason}; set EDITOR. Nothing was sent.", ExitCode.FAILED
            ) from None
        if completed.returncode != 0:
            raise CommandFailed(
                f"the editor exited with status {completed.returncode}. Nothing was sent.", ExitCode.FAILED
            )
        if not file.exists() or file.stat().st_size > MAX_INPUT_BYTES or not file.read_bytes().strip():
            raise CommandFailed("the edited file is empty, too large or missing. Nothing was sent.", ExitCode.FAILED)
        return read_json(f"@{file}", option="--edit")
