"""Usage over a period: the query parameters and the response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import Depends, Query

from agentgrid.api.schemas.agents import UsageBucket, UsageOver
from agentgrid.api.schemas.common import Moment
from agentgrid.api.schemas.steps import UsageOut
from agentgrid.db.agent_usage import Bucket
from agentgrid.domain.agents import Usage, add
from agentgrid.errors import InvalidInput, InvalidPlace

DAY = timedelta(days=1)
MAX_PERIOD = {"hour": timedelta(days=31), "day": timedelta(days=366)}
"""The longest period of one response, by bucket size."""


@dataclass(frozen=True, kw_only=True)
class UsagePeriod:
    """A period, divided into buckets."""

    since: datetime
    before: datetime
    bucket: Literal["hour", "day"]


async def _span(
    since: Annotated[Moment | None, Query(alias="from", description="Default: one day before `to`.")] = None,
    before: Annotated[Moment | None, Query(alias="to", description="Default: now.")] = None,
    bucket: Literal["hour", "day"] = "hour",
) -> UsagePeriod:
    try:
        end = before or (datetime.now(UTC) if since is None else max(datetime.now(UTC), since))
        begin = since or end - DAY
        if not begin <= end <= begin + MAX_PERIOD[bucket]:
            message = (
                f"must not be before `from`, and at most {MAX_PERIOD[bucket].days} days after it with bucket={bucket}"
            )
            raise InvalidInput("invalid time range", [InvalidPlace(pointer="to", message=message)])
    except OverflowError:
        raise InvalidInput("invalid time range", [InvalidPlace(pointer="from", message="is out of range")]) from None
    return UsagePeriod(since=begin, before=end, bucket=bucket)


Span = Annotated[UsagePeriod, Depends(_span)]


def over(span: UsagePeriod, buckets: Sequence[Bucket]) -> UsageOver:
    """The usage buckets as a response, with their total."""
    total = Usage()
    for bucket in buckets:
        total = add(total, bucket.usage)
    return UsageOver(
        since=span.since,
        before=span.before,
        bucket=span.bucket,
        total=UsageOut(**asdict(total)),
        items=[UsageBucket(start=bucket.start, **asdict(bucket.usage)) for bucket in buckets],
    )
