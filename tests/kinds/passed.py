"""A module that the sandbox passes through: workflow code and the worker share it."""

import os

PROCESS = os.getpid()
SHARED: list[int] = []


def shared() -> list[int]:
    """The same list object."""
    return SHARED
