"""The projector's input: executions that may have changed, and archived histories."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
)
from sqlmodel import Field, SQLModel

from agentgrid.db.tables import columns


class Touch(SQLModel, table=True):
    """A worker's hint that an execution's history has grown, kept until a projector moves it into `run_changes`. Lost if the server crashes."""

    __tablename__ = "touches"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    touch_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    execution_id: str = columns.text()
    workflow_id: str = columns.text()
    namespace: str = columns.text()
    expect: int = columns.big(default="0")
    urgent: bool = columns.flag()
    touched_at: datetime = columns.time(null=False, now=True)


class RunChange(SQLModel, table=True):
    """An execution to process, reported by a worker, the sweep, a command or the fold itself."""

    __tablename__ = "run_changes"
    __table_args__ = (Index("ix_run_changes_due", "due_at"),)

    execution_id: str = columns.text(primary=True)
    workflow_id: str = columns.text()
    namespace: str = columns.text()
    generation: int = columns.big(default="1")
    expect: int = columns.big(default="0")
    """The event id that history has reached at least."""
    due_at: datetime = columns.time(null=False, now=True)
    urgent_at: datetime | None = columns.time()
    """Since when no further events are expected soon, so processing needn't wait for more."""
    claimed_until: datetime | None = columns.time()
    failures: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    last_error: str | None = columns.text(null=True)


class History(SQLModel, table=True):
    """The whole history of a closed execution, for when Temporal no longer has it: a serialized `History` message, compressed with zstd."""

    __tablename__ = "histories"

    execution_id: str = columns.text(primary=True)
    run_id: str = columns.text()
    workflow_id: str = columns.text()
    namespace: str = columns.text()
    event_count: int = Field(nullable=False)
    events: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    archived_at: datetime = columns.time(null=False, now=True)
