"""A seeded back office of its own for each test, as a copy of one that the session seeds once."""

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


@pytest.fixture(autouse=True)
async def backoffice(
    postgres_server: Postgres, seeded_template: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """The DSN of a seeded back office for this test alone, which `APP_DATABASE_URL` names."""
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
def one_call() -> OneCall:
    """`with one_call("key"):` runs what follows as attempts of one governed call."""

    @contextmanager
    def attempt(key: str) -> Iterator[None]:
        token = current_key.set(key)
        try:
            yield
        finally:
            current_key.reset(token)

    return attempt
