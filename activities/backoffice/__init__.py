"""The reference back office: one PostgreSQL database that stands in for a help desk, CRM, CMS, task list and metrics.

`APP_DATABASE_URL` is its address; `python -m activities.backoffice` creates and fills it. The tools in `activities/`
use only what this package exports here.
"""

from activities.backoffice.connections import (
    BackOfficeNotConfigured,
    Connection,
    Row,
    close_pool,
    connection,
    database_url,
    pool,
    transaction,
)
from activities.backoffice.effects import effect_key, unknown
from activities.backoffice.records import Cents, Limit, Record, utcnow

__all__ = [
    "BackOfficeNotConfigured",
    "Cents",
    "Connection",
    "Limit",
    "Record",
    "Row",
    "close_pool",
    "connection",
    "database_url",
    "effect_key",
    "pool",
    "transaction",
    "unknown",
    "utcnow",
]
