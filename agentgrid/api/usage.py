"""Usage in a period: the parameters that routes take, and their answer."""

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
MOST = {"hour": timedelta(days=31), "day": timedelta(days=366)}
"""The longest time that one answer covers, by the size of its buckets."""


@dataclass(frozen=True, kw_only=True)
class Spanned:
    """A time, and how it is divided."""

    since: datetime
    before: datetime
    bucket: Literal["hour", "day"]


async def _span(
    since: Annotated[Moment | None, Query(alias="from", description="Default: a day before `to`.")] = None,
    before: Annotated[Moment | None, Query(alias="to", description="Default: now.")] = None,
    bucket: Literal["hour", "day"] = "hour",
) -> Spanned:
    try:
        end = before or (datetime.now(UTC) if since is None else max(datetime.now(UTC), since))
        begin = since or end - DAY
        if not begin <= end <= begin + MOST[bucket]:
            most = f"must not be before `from`, and at most {MOST[bucket].days} days after it with bucket={bucket}"
            raise InvalidInput("the time range is not valid", [InvalidPlace(pointer="to", message=most)])
    except OverflowError:
        raise InvalidInput(
            "the time range is not valid", [InvalidPlace(pointer="from", message="is out of range")]
        ) from None
    return Spanned(since=begin, before=end, bucket=bucket)


Span = Annotated[Spanned, Depends(_span)]


def over(span: Spanned, found: Sequence[Bucket]) -> UsageOver:
    """The answer."""
    total = Usage()
    for each in found:
        total = add(total, each.usage)
    return UsageOver(
        since=span.since,
        before=span.before,
        bucket=span.bucket,
        total=UsageOut(**asdict(total)),
        items=[UsageBucket(start=each.start, **asdict(each.usage)) for each in found],
    )
