"""What the tools take and return: frozen values, created from rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

import agentgrid as ag
from activities.backoffice.connections import Row


class Record(BaseModel):
    """A frozen value. A released one may only gain fields with defaults, so that old histories can still be read."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def of(cls, row: Row | None) -> Self:
        """The value of a row. Raises LookupError for `None`, which no statement with an unconditional RETURNING returns."""
        if row is None:
            raise LookupError(f"the database returned no row for a {cls.__name__}")
        return cls.model_validate(dict(row))


Limit = Annotated[int, Field(ge=1, le=200, description="Maximum number of rows to return.")]
Cents = Annotated[int, Field(gt=0, description="An amount in US cents."), ag.unit("cents", currency="USD")]


def utcnow() -> datetime:
    return datetime.now(UTC)
