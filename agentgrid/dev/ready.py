"""The ready file: tells scripts that `agentgrid dev` is ready and where everything is. It exists only while that is true."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from agentgrid.cli.exits import CommandFailed, ExitCode

MARK = "agentgrid dev"
MODE = 0o644
"""It contains addresses and paths, and no secrets."""


class ReadyFile:
    """A ready file. Without a path it does nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = None if path is None else path.absolute()

    def clear(self) -> None:
        """Remove the file left by a killed process: scripts would trust it.

        Raises CommandFailed if the file can't be written, isn't a ready file, or belongs to a running process.
        """
        if self._path is not None:
            self._check(self._path)
            self._path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the file if this process wrote it, but not if another process has overwritten it since."""
        if self._path is not None and (_read(self._path) or {}).get("pid") == os.getpid():
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _check(self, path: Path) -> None:
        if not path.parent.is_dir():
            raise CommandFailed(
                f"--ready-file: the folder {path.parent} doesn't exist; create it first", ExitCode.USAGE
            )
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise CommandFailed(f"--ready-file: files can't be created in {path.parent}", ExitCode.USAGE)
        facts = _read(path)
        if facts is not None and _runs(facts):
            raise CommandFailed(
                f"--ready-file: {path} belongs to `agentgrid dev` with process id {facts['pid']}, which is running; choose another path",
                ExitCode.USAGE,
            )
        if facts is None and os.path.lexists(path):
            raise CommandFailed(
                f"--ready-file: {path} exists and is not the ready file of an earlier `agentgrid dev`; choose another path, or remove it",
                ExitCode.USAGE,
            )

    def write(self, facts: Mapping[str, Any]) -> None:
        """Write the facts and this process's id, atomically."""
        if self._path is None:
            return
        text = json.dumps({"program": MARK, **_this_process(), **facts}, indent=2) + "\n"
        descriptor, partial = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), MODE)
                file.write(text)
            Path(partial).replace(self._path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise


def _this_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "process_started_at": psutil.Process().create_time()}


def _runs(facts: Mapping[str, Any]) -> bool:
    """Whether the process that wrote the file still runs. Process ids are reused, so the start time is compared too."""
    try:
        return bool(abs(psutil.Process(facts["pid"]).create_time() - facts["process_started_at"]) < 1)
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def _read(path: Path) -> dict[str, Any] | None:
    """The file's content, if it is a ready file."""
    if not path.is_file():
        return None  # reading a pipe would block
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and content.get("program") == MARK else None
