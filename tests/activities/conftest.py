"""A seeded back office: one shared by all tests that only read, and a separate copy for each test that writes.

A test that writes must use `backoffice`, `db` or `one_call`; otherwise its database refuses writes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from typing import Protocol

import asyncpg
import pytest

from activities.backoffice import close_pool
from activities.backoffice.seed import prepare
from agentgrid.sdk.context import current_key
from tests.conftest import Postgres

ANCHOR = date(2026, 3, 2)
"""A Monday: the last full week before it is 2026-W09."""


@pytest.fixture(scope="session")
async def seeded_template(postgres_server: Postgres) -> AsyncIterator[str]:
    """The name of a seeded template database. Copy it, but never connect to it."""
    name = await postgres_server.create()
    await prepare(postgres_server.dsn_of(name), anchor=ANCHOR)
    yield name
    await postgres_server.drop(name)


@pytest.fixture(scope="session")
async def shared_backoffice(postgres_server: Postgres, seeded_template: str) -> AsyncIterator[str]:
    """The DSN of the seeded back office shared by all tests that only read. It refuses writes."""
    name = await postgres_server.create(template=seeded_template)
    dsn = postgres_server.dsn_of(name)
    admin = await asyncpg.connect(dsn)
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await admin.close()
    yield dsn
    await close_pool()
    await postgres_server.drop(name)


@pytest.fixture(autouse=True)
def reading(shared_backoffice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set `APP_DATABASE_URL` to the shared back office in every test."""
    monkeypatch.setenv("APP_DATABASE_URL", shared_backoffice)


@pytest.fixture
async def backoffice(
    reading: None, postgres_server: Postgres, seeded_template: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """The DSN of a seeded, writable back office for this test alone. `APP_DATABASE_URL` is set to it."""
    name = await postgres_server.create(template=seeded_template)
    dsn = postgres_server.dsn_of(name)
    monkeypatch.setenv("APP_DATABASE_URL", dsn)
    yield dsn
    await close_pool()
    await postgres_server.drop(name)


@pytest.fixture
async def db(backoffice: str) -> AsyncIterator[asyncpg.Connection]:
    """A separate connection, to check what the tools did."""
    connection = await asyncpg.connect(backoffice)
    yield connection
    await connection.close()


class OneCall(Protocol):
    def __call__(self, key: str) -> AbstractContextManager[None]: ...


@pytest.fixture
def one_call(backoffice: str) -> OneCall:
    """`with one_call("key"):` runs its block as attempts of one governed call."""

    @contextmanager
    def attempt(key: str) -> Iterator[None]:
        token = current_key.set(key)
        try:
            yield
        finally:
            current_key.reset(token)

    return attempt
