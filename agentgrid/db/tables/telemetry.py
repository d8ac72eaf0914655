"""Attempts and log lines reported by workers; partitioned by time in the migration."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
)
from sqlmodel import Field, SQLModel

from agentgrid.db.tables import columns


class Job(SQLModel, table=True):
    """One attempt of a step on one worker, as the worker reported it."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'completed', 'failed', 'cancelled')", name="status"),
        Index("ix_jobs_execution", "execution_id", "started_at"),
        {"postgresql_partition_by": "RANGE (started_at)"},
    )

    job_id: str = columns.text(primary=True)
    """`execution/activity id/attempt`; for a local activity, also the start in milliseconds."""
    started_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True, nullable=False))
    login: str = columns.text(primary=True, default="''")
    """The database login that reported it. No other login can change the row."""
    execution_id: str = columns.text()
    workflow_id: str = columns.text()
    activity_id: str = columns.text()
    activity_type: str = columns.text()
    attempt: int = Field(nullable=False)
    local: bool = columns.flag()
    call_key: str | None = columns.text(null=True)
    worker: str = columns.text()
    task_queue: str = columns.text()
    status: str = columns.text()
    finished_at: datetime | None = columns.time()
    error: Any = columns.json()


class Log(SQLModel, table=True):
    """One log line written by a workflow or a tool."""

    __tablename__ = "logs"
    __table_args__ = (
        Index("ix_logs_execution", "execution_id", "log_id"),
        {"postgresql_partition_by": "RANGE (logged_at)"},
    )

    log_id: int = Field(sa_column=Column(BigInteger, primary_key=True, nullable=False, autoincrement=True))
    logged_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True, nullable=False))
    login: str = columns.text(default="''")
    """The database login that reported it."""
    execution_id: str = columns.text()
    workflow_id: str = columns.text()
    activity_id: str | None = columns.text(null=True)
    attempt: int | None = Field(default=None, nullable=True)
    level: str = columns.text()
    logger: str = columns.text()
    message: str = columns.text()
    fields: Any = columns.json()
    worker: str = columns.text()
    task_queue: str | None = columns.text(null=True)
    """The worker's queue; None for lines written before this column existed."""
