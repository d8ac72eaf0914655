"""Files that hold secrets: written with mode 0600, and not read if other users could read or write them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from agentgrid.errors import SettingsError

PRIVATE = 0o600


def write_private(path: Path, content: str) -> None:
    """Write the content atomically, with mode 0600."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_private(path: Path) -> str:
    """The content. Raises SettingsError if the file can't be read, or if other users could read or write it."""
    try:
        with path.open(encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            mode = stat.S_IMODE(status.st_mode)
            if not stat.S_ISREG(status.st_mode):
                raise SettingsError(f"{path} is not a file")
            if mode & ~PRIVATE:
                raise SettingsError(
                    f"{path} has mode {mode:04o} and may have been read by others; make it private with "
                    f"`chmod 600 {path}`, and create a new key if others use this machine"
                )
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{path} can't be read: {reason}") from None
