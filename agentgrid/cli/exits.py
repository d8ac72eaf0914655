"""The exit codes, which scripts may rely on, and the error that carries them."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from agentgrid.errors import (
    AgentGridError,
    Forbidden,
    NotFound,
    RateLimited,
    SettingsError,
    Unauthenticated,
    Unavailable,
)


class ExitCode(IntEnum):
    """Exit codes of commands. Never renumber."""

    OK = 0
    FAILED = 1
    """Refused or failed; for `run watch` and `run result`: the run ended with a status other than completed."""
    USAGE = 2
    """The command, its options or the configuration are invalid."""
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    """Not authenticated, or not allowed."""
    UNAVAILABLE = 5
    """No answer, or no result yet; the same command may work later."""
    INTERRUPTED = 130


class CommandFailed(AgentGridError):
    """Ends the command with this message and exit code."""

    code = "command_failed"

    def __init__(
        self, message: str, exit_code: ExitCode = ExitCode.FAILED, *, problem: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.problem = problem
        """The API's problem document, if there is one."""
        self.as_json = False
        """Whether the caller asked for JSON, errors included."""


BY_ERROR: tuple[tuple[type[AgentGridError], ExitCode], ...] = (
    (NotFound, ExitCode.NOT_FOUND),
    (Forbidden, ExitCode.NOT_ALLOWED),
    (Unauthenticated, ExitCode.NOT_ALLOWED),
    (Unavailable, ExitCode.UNAVAILABLE),
    (RateLimited, ExitCode.UNAVAILABLE),
    (SettingsError, ExitCode.USAGE),
)


def exit_code_of(error: AgentGridError) -> ExitCode:
    """The exit code for an error raised below the command line."""
    if isinstance(error, CommandFailed):
        return error.exit_code
    return next((code for kind, code in BY_ERROR if isinstance(error, kind)), ExitCode.FAILED)
