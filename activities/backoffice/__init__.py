"""The reference back office: one PostgreSQL database that stands for help desk, CRM, CMS, task list and metrics.

`APP_DATABASE_URL` says where it is; `python -m activities.backoffice` makes and fills it. The tools in `activities/`
use what is exported here and nothing else of this package.
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
