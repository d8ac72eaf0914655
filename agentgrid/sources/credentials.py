"""Credentials of tools from elsewhere: the project's code holds a name, the value is read in the activity."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

from agentgrid.errors import ToolError


@runtime_checkable
class Named(Protocol):
    """A reference to a secret: its name, and its value for code in an activity."""

    @property
    def name(self) -> str:
        """Its name."""

    async def value(self) -> str:
        """Its value. Raises an error if there is none."""


Credential = str | Named | Callable[[], str | Awaitable[str]]
"""The name of a secret, a reference to one, or a function that returns the value."""


def shown_name(credential: Credential) -> str:
    """What to call it in a version and in messages: never its value."""
    if isinstance(credential, str):
        return credential
    return credential.name if isinstance(credential, Named) else getattr(credential, "__qualname__", "a function")


async def value_of(credential: Credential) -> str:
    """The value, read now. Raises ToolError if there is none."""
    if isinstance(credential, Named):
        return await credential.value()
    if isinstance(credential, str):
        value = os.environ.get(credential)
    else:
        found = credential()
        value = await found if inspect.isawaitable(found) else found
    if not value:
        raise ToolError(f"the secret {shown_name(credential)} is not set in the worker's environment")
    return value
