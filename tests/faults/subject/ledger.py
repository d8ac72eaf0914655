"""The outside world: a file of its own, in which every attempt leaves a trace and every effect has the key under which it landed.

It is apart from the servers that are killed, so that it can bear witness.
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
    """The ledger in one transaction, which is committed when the block ends well."""
    connection = sqlite3.connect(path or os.environ[VARIABLE], timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    finally:
        connection.close()


def make(path: Path) -> None:
    """A ledger with nothing in it."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(SCHEMA)
    connection.close()


def attempt(key: str, workflow_id: str, step: str) -> int:
    """Note that the effect is about to be made; how often that was noted under this key by now."""
    with opened() as connection:
        connection.execute(
            "INSERT INTO attempts VALUES (?, ?, ?, ?, ?)", (key, workflow_id, step, os.getpid(), time.time())
        )
        (count,) = connection.execute("SELECT count(*) FROM attempts WHERE key = ?", (key,)).fetchone()
    return int(count)


def land(key: str, workflow_id: str, step: str) -> None:
    """Make the effect; under a key that has landed already nothing happens."""
    with opened() as connection:
        connection.execute(
            "INSERT INTO effects VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", (key, workflow_id, step, os.getpid())
        )
