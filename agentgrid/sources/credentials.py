"""Credentials of tools from elsewhere: the project's code holds the secret's name, and the value is read in the activity."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

from agentgrid.domain.secrets import known
from agentgrid.sdk.secrets import Secret, secret

Credential = str | Secret | Callable[[], str | Awaitable[str]]
"""The name of a secret, `ag.secret(...)`, or a function that returns the value."""


def shown_name(credential: Credential) -> str:
    """How versions and messages name it. Never contains its value."""
    if isinstance(credential, str):
        return credential
    return credential.name if isinstance(credential, Secret) else getattr(credential, "__qualname__", "a function")


def name_fault(credential: Credential) -> str | None:
    """Why it can't be a secret's name, or None."""
    try:
        if isinstance(credential, str):
            secret(credential)
    except ValueError as error:
        return str(error)
    return None


async def value_of(credential: Credential) -> str:
    """Read the value, and redact it from now on. Raises what `Secret.value` raises."""
    if isinstance(credential, str):
        credential = secret(credential)
    if isinstance(credential, Secret):
        return await credential.value()
    result = credential()
    value = await result if inspect.isawaitable(result) else result
    known.learn(getattr(credential, "__name__", "function"), value)
    return value
