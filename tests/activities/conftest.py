"""A seeded back office: one that all tests read, and for each test that writes a copy of its own.

A test that writes asks for `backoffice`, `db` or `one_call`; one that forgets meets a database that refuses writes.
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
    """The name of a seeded database, to be copied and never connected to."""
    name = await postgres_server.create()
    await prepare(postgres_server.dsn_of(name), anchor=ANCHOR)
    yield name
    await postgres_server.drop(name)


@pytest.fixture(scope="session")
async def shared_backoffice(postgres_server: Postgres, seeded_template: str) -> AsyncIterator[str]:
    """The DSN of the seeded back office that all tests share which only read. It refuses writes."""
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
    """`APP_DATABASE_URL` for every test: a back office to read."""
    monkeypatch.setenv("APP_DATABASE_URL", shared_backoffice)


@pytest.fixture
async def backoffice(
    reading: None, postgres_server: Postgres, seeded_template: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """The DSN of a seeded back office for this test alone, to write to; `APP_DATABASE_URL` names it."""
    name = await postgres_server.create(template=seeded_template)
    dsn = postgres_server.dsn_of(name)
    monkeypatch.setenv("APP_DATABASE_URL", dsn)
    yield dsn
    await close_pool()
    await postgres_server.drop(name)


@pytest.fixture
async def db(backoffice: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, to look at what the tools did."""
    connection = await asyncpg.connect(backoffice)
    yield connection
    await connection.close()


class OneCall(Protocol):
    def __call__(self, key: str) -> AbstractContextManager[None]: ...


@pytest.fixture
def one_call(backoffice: str) -> OneCall:
    """`with one_call("key"):` runs what follows as attempts of one governed call."""

    @contextmanager
    def attempt(key: str) -> Iterator[None]:
        token = current_key.set(key)
        try:
            yield
        finally:
            current_key.reset(token)

    return attempt
