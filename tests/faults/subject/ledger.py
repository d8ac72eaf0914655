"""The outside world: a file that records every attempt, and every effect with its idempotency key.

It is independent of the servers that are killed, so that it is reliable evidence.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "FAULTS_LEDGER"
SCHEMA = """
CREATE TABLE IF NOT EXISTS attempts (key TEXT, workflow_id TEXT, step TEXT, pid INTEGER, at REAL);
CREATE INDEX IF NOT EXISTS attempts_of_key ON attempts (key);
CREATE TABLE IF NOT EXISTS effects (key TEXT PRIMARY KEY, workflow_id TEXT, step TEXT, pid INTEGER);
"""


@contextmanager
def opened(path: Path | None = None) -> Iterator[sqlite3.Connection]:
    """Open the ledger in a transaction, which is committed if the block succeeds."""
    connection = sqlite3.connect(path or os.environ[VARIABLE], timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    finally:
        connection.close()


def make(path: Path) -> None:
    """Create an empty ledger."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(SCHEMA)
    connection.close()


def attempt(key: str, workflow_id: str, step: str) -> int:
    """Record an attempt at the effect. Returns the number of attempts under this key so far."""
    with opened() as connection:
        connection.execute(
            "INSERT INTO attempts VALUES (?, ?, ?, ?, ?)", (key, workflow_id, step, os.getpid(), time.time())
        )
        (count,) = connection.execute("SELECT count(*) FROM attempts WHERE key = ?", (key,)).fetchone()
    return int(count)


def land(key: str, workflow_id: str, step: str) -> None:
    """Make the effect; no-op if there is already one under this key."""
    with opened() as connection:
        connection.execute(
            "INSERT INTO effects VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", (key, workflow_id, step, os.getpid())
        )
