"""Runs another program with only the named environment variables, and ties its life to its parent's. Run as a script, isolated.

    python -I -S leash.py PARENT_PID NAME,NAME -- command argument...

It imports nothing from AgentGrid, so it starts in a few milliseconds, and then becomes the other program.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Replace this process with the command."""
    parent, names, _, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != int(parent):
            raise SystemExit("the parent has ended")
    environment = {name: os.environ[name] for name in names.split(",") if name in os.environ}
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        raise SystemExit(f"{command[0]} can't be run: {error.strerror}") from None


if __name__ == "__main__":
    main()
