"""A module that the sandbox lets through: workflow code and worker see the same one."""

import os

PROCESS = os.getpid()
SHARED: list[int] = []


def shared() -> list[int]:
    """The very list."""
    return SHARED
