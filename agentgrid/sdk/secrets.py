"""Secrets by reference: workflow code and tools hold a name; only code in an activity, a test or a script reads the value.

A worker asks its providers in order: those of the plugin and of the grid, then environment variables, then files below
`AGENTGRID_SECRETS_DIR`. Every value that a process has read is redacted in what leaves its worker (`worker/secrets.py`).
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
"""How long a worker may use a value after it was rotated. Values in environment variables change only with a restart."""
LOOKUP_SECONDS = 10.0
"""How long one provider may take."""
MAX_BYTES = 64 * 1024
FOLDER_VARIABLE = "AGENTGRID_SECRETS_DIR"


class Secret:
    """The name of a secret. It holds no value, so it may be printed, logged, copied and pickled."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or NAME.fullmatch(name) is None:
            # Not shown: somebody may have passed the value in place of the name.
            raise ValueError(f"the name of a secret must match {NAME.pattern}; give its name here, never its value")
        self._name = name

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    async def value(self) -> str:
        """The value, at most `CACHE_SECONDS` old; ask again for each call instead of keeping it.

        Raises SecretMissing, which a worker doesn't retry, and SecretUnavailable, which it does; in workflow code a
        non-retryable ApplicationError, because everything that workflow code holds is written to history.
        """
        found = await find(self._name)
        if found is None:
            raise SecretMissing(self._name, [provider.where(self._name) for provider in _store().providers])
        return found

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

    Raises ValueError if the name can't be that of an environment variable or a file.
    """
    return Secret(name)


async def find(name: str) -> str | None:
    """The value of the secret with this name, or None if no provider has it. Raises what `Secret.value` raises, except SecretMissing."""
    if workflow.in_workflow():
        raise ApplicationError(
            f"workflow code can't read the secret {name}: its value would be written to history; read it inside a tool",
            type=ErrorType.SECRET_IN_WORKFLOW,
            non_retryable=True,
        )
    return await _store().find(name)


class SecretProvider(Protocol):
    """A source of secrets. Pass yours to `ag.Grid(..., secret_providers=[...])` or `AgentGridPlugin(secret_providers=[...])`."""

    def where(self, name: str) -> str:
        """Where it looks for this secret, for error messages: `the environment variable STRIPE_KEY`."""

    async def get(self, name: str) -> str | None:
        """The value, or None if it has none. It may raise: the call is then retried. It has `LOOKUP_SECONDS`."""


class Environment:
    """Environment variables of the secret's own name."""

    def where(self, name: str) -> str:
        """The variable."""
        return f"the environment variable {name}"

    async def get(self, name: str) -> str | None:
        """Its value."""
        return os.environ.get(name)


class Folder:
    """Files with the secret's name in one folder, as Docker and Kubernetes mount them. A line break at the end is not part of the value."""

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
        """The test."""
        return "the values given to agentgrid.testing.secrets"

    async def get(self, name: str) -> str | None:
        """The value given."""
        return self._values.get(name)


def standard_providers(folder: Path | None) -> tuple[SecretProvider, ...]:
    """The providers that every worker has: environment variables, then files below the folder, if there is one."""
    return (Environment(),) if folder is None else (Environment(), Folder(folder))


class SecretStore:
    """The providers of one worker, asked in order, with a short cache. A value that is found is redacted from then on."""

    def __init__(self, providers: Iterable[SecretProvider]) -> None:
        self.providers: Sequence[SecretProvider] = tuple(providers)
        self._cache: dict[str, tuple[float, str]] = {}

    async def find(self, name: str) -> str | None:
        """The value, or None; an empty one counts as none. Raises SecretUnavailable."""
        kept = self._cache.get(name)
        if kept is not None and time.monotonic() - kept[0] < CACHE_SECONDS:
            return kept[1]
        asked_at = time.monotonic()
        for provider in self.providers:
            value = await _asked(provider, name)
            if value:
                known.learn(name, value)
                self._cache[name] = (asked_at, value)
                return value
        return None

    async def missing(self, names: Iterable[str]) -> list[str]:
        """Those of these secrets that no provider has. Raises SecretUnavailable."""
        return [name for name in names if await self.find(name) is None]


async def _asked(provider: SecretProvider, name: str) -> str | None:
    """The provider's answer. The message and the cause of its own error are left out: they may quote the value, or its credentials."""
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
    """The store in force here; in a script, a new one of the standard providers."""
    if (store := current_store.get()) is not None:
        return store
    folder = os.environ.get(FOLDER_VARIABLE)
    return SecretStore(standard_providers(Path(folder) if folder else None))


@contextlib.contextmanager
def secrets(values: Mapping[str, str]) -> Iterator[None]:
    """Give the tools called in this block, and workers started in it, exactly these secrets. Environment and files are not asked."""
    token = current_store.set(SecretStore([Fixed(values)]))
    try:
        yield
    finally:
        current_store.reset(token)
        for name, value in values.items():
            known.forget(name, value)
