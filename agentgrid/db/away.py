"""What the driver raises when the database does not answer as it should: the one list, so that no loop dies of an error it did not name.

asyncpg's own confusion belongs to it: a connection that breaks while a statement is prepared ends in InternalClientError, which is neither
of its two error families (seen at a `kill -9` of PostgreSQL, of which every projector died).
"""

from __future__ import annotations

import asyncpg

DATABASE_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
)
"""It can't answer now, whatever was asked: the same may work later."""

DATABASE_FAULTS = (*DATABASE_AWAY, asyncpg.PostgresError)
"""It can't answer now, or not this."""
