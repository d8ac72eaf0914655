"""The driver's errors for a database fault, in a single list, so that no loop dies of an error that it forgot to catch.

The list includes asyncpg's internal errors: a connection that breaks while a statement is being prepared raises InternalClientError, which
belongs to neither of asyncpg's two error families (seen after a `kill -9` of PostgreSQL, which killed every projector).
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
"""The database is unavailable, regardless of the statement; a retry may succeed."""

DATABASE_FAULTS = (*DATABASE_AWAY, asyncpg.PostgresError)
"""The database is unavailable, or rejected the statement."""
