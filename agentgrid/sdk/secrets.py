"""Secrets by reference: workflow code and tools hold only a name; code in an activity, a test or a script reads the value.

A worker tries its providers in order: those of the plugin and the grid, then environment variables, then files in `AGENTGRID_SECRETS_DIR`. Every
value that a process has read is redacted in everything that leaves its worker (`worker/secrets.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from agentgrid.domain.secrets import NAME, known, mark
from agentgrid.errors import SecretMissing, SecretUnavailable
from agentgrid.protocol import ErrorType

CACHE_SECONDS = 10.0
"""How long a worker may use a value after its rotation. Values in environment variables change only with a restart."""
LOOKUP_SECONDS = 10.0
"""The time limit of one provider."""
MAX_BYTES = 64 * 1024
FOLDER_VARIABLE = "AGENTGRID_SECRETS_DIR"


class Secret:
    """The name of a secret. It contains no value, so it can be printed, logged, copied and pickled."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or NAME.fullmatch(name) is None:
            # The argument is not shown, because it may be the value.
            raise ValueError(f"the name of a secret must match {NAME.pattern}; pass its name, never its value")
        self._name = name

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    async def value(self) -> str:
        """The value, at most `CACHE_SECONDS` old. Read it for each call instead of keeping it.

        Raises SecretMissing, which a worker doesn't retry, and SecretUnavailable, which it does. In workflow code it raises a non-retryable
        ApplicationError, because the value would be written to history.
        """
        value = await find(self._name)
        if value is None:
            raise SecretMissing(self._name, [provider.where(self._name) for provider in _store().providers])
        return value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._name == self._name

    def __hash__(self) -> int:
        return hash((Secret, self._name))

    def __repr__(self) -> str:
        return mark(self._name)

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return Secret, (self._name,)


def secret(name: str) -> Secret:
    """Refer to a secret by name, at module level or inside a tool: `key = await ag.secret("STRIPE_KEY").value()`.

    Raises ValueError if the name can't be the name of an environment variable or a file.
    """
    return Secret(name)


async def find(name: str) -> str | None:
    """The value of the secret with this name, or None if no provider has it. Raises the same errors as `Secret.value`, except SecretMissing."""
    if workflow.in_workflow():
        raise ApplicationError(
            f"workflow code can't read the secret {name}: its value would be written to history; read it inside a tool",
            type=ErrorType.SECRET_IN_WORKFLOW,
            non_retryable=True,
        )
    return await _store().find(name)


class SecretProvider(Protocol):
    """A source of secrets. Pass custom ones to `ag.Grid(..., secret_providers=[...])` or `AgentGridPlugin(secret_providers=[...])`."""

    def where(self, name: str) -> str:
        """Where it looks for this secret, for error messages: `the environment variable STRIPE_KEY`."""

    async def get(self, name: str) -> str | None:
        """The value, or None if it doesn't have the secret. Must return within `LOOKUP_SECONDS`. If it raises, the tool's call is retried."""


class Environment:
    """Reads environment variables with the secret's name."""

    def where(self, name: str) -> str:
        """The variable."""
        return f"the environment variable {name}"

    async def get(self, name: str) -> str | None:
        """The variable's value."""
        return os.environ.get(name)


class Folder:
    """Reads files with the secret's name in a folder, as mounted by Docker and Kubernetes. A trailing line break is not part of the value."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def where(self, name: str) -> str:
        """The file."""
        return f"the file {self._path / name}"

    async def get(self, name: str) -> str | None:
        """The file's content."""
        return await asyncio.to_thread(self._read, name)

    def _read(self, name: str) -> str | None:
        path = self._path / name
        if not path.is_file():
            return None
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"over {MAX_BYTES:,} bytes")
        return content.decode().removesuffix("\n").removesuffix("\r")


class Fixed:
    """Values in memory, for tests."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def where(self, name: str) -> str:
        """The test helper."""
        return "the values given to agentgrid.testing.secrets"

    async def get(self, name: str) -> str | None:
        """The value in memory."""
        return self._values.get(name)


def standard_providers(folder: Path | None) -> tuple[SecretProvider, ...]:
    """The providers of every worker: environment variables, then files in the folder, if there is one."""
    return (Environment(),) if folder is None else (Environment(), Folder(folder))


class SecretStore:
    """The providers of one worker, tried in order, with a short cache. Values are redacted once they have been read."""

    def __init__(self, providers: Iterable[SecretProvider]) -> None:
        self.providers: Sequence[SecretProvider] = tuple(providers)
        self._cache: dict[str, tuple[float, str]] = {}

    async def find(self, name: str) -> str | None:
        """The value, or None if there is none or it is empty. Raises SecretUnavailable."""
        cached = self._cache.get(name)
        if cached is not None and time.monotonic() - cached[0] < CACHE_SECONDS:
            return cached[1]
        started_at = time.monotonic()
        for provider in self.providers:
            value = await _read_from(provider, name)
            if value:
                known.learn(name, value)
                self._cache[name] = (started_at, value)
                return value
        return None

    async def missing(self, names: Iterable[str]) -> list[str]:
        """The names of the secrets that no provider has. Raises SecretUnavailable."""
        return [name for name in names if await self.find(name) is None]


async def _read_from(provider: SecretProvider, name: str) -> str | None:
    """The value from a provider. The message and cause of the provider's error are left out: they may quote the value or credentials."""
    why = None
    value: str | None = None
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            value = await provider.get(name)
        if value is not None and not isinstance(value, str):
            why = f"a {type(value).__name__}, not a str"
        elif value is not None and len(value.encode()) > MAX_BYTES:
            why = f"over {MAX_BYTES:,} bytes"
    except UnicodeError:
        why = "not UTF-8 text"
    except TimeoutError:
        why = f"no answer in {LOOKUP_SECONDS:g} s"
    except Exception as error:
        why = type(error).__name__
    if why is not None:
        raise SecretUnavailable(name, provider.where(name), why)
    return value


current_store: ContextVar[SecretStore | None] = ContextVar("agentgrid_secrets", default=None)
"""The store of the running activity's worker, or of a test."""


def _store() -> SecretStore:
    """The current store; in a script, a new one with the standard providers."""
    if (store := current_store.get()) is not None:
        return store
    folder = os.environ.get(FOLDER_VARIABLE)
    return SecretStore(standard_providers(Path(folder) if folder else None))


@contextlib.contextmanager
def secrets(values: Mapping[str, str]) -> Iterator[None]:
    """Give tools called and workers started in this block exactly these secrets. The environment and files are not read."""
    token = current_store.set(SecretStore([Fixed(values)]))
    try:
        yield
    finally:
        current_store.reset(token)
        for name, value in values.items():
            known.forget(name, value)
