"""The filters of the audit log, as query parameters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Query

from agentgrid.api import views
from agentgrid.api.deps import Search
from agentgrid.api.schemas.common import Moment
from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.errors import InvalidInput, InvalidPlace

DEFAULT_SEARCH_PERIOD = timedelta(days=31)
"""How far back `q` searches by default."""

Text = Annotated[str | None, Query(min_length=1, max_length=300)]


async def _filters(
    principal: Text = None,
    run: Text = None,
    approval: Text = None,
    target: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=300,
            description="The affected tool, workflow, agent, rule, principal, key or view.",
        ),
    ] = None,
    address: Annotated[str | None, Query(min_length=1, max_length=100, description="The client's address.")] = None,
    kind: Annotated[list[CommandKind], Query(description="Any of these.")] = [],  # noqa: B006
    status: Annotated[list[CommandStatus], Query(description="Any of these.")] = [],  # noqa: B006
    since: Moment | None = None,
    until: Moment | None = None,
    q: Annotated[
        Search,
        Query(
            description="Words in principal, kind, target or reason, or the id of a run, approval or command. Without `since`, only the last 31 days "
            "are searched."
        ),
    ] = None,
) -> dict[str, Any]:
    if not views.in_order(since, until):
        raise InvalidInput(
            "the time range is reversed", [InvalidPlace(pointer="until", message="must not be before since")]
        )
    if q is not None and since is None:
        since = (until or datetime.now(UTC)) - DEFAULT_SEARCH_PERIOD
    return {
        "principal": principal,
        "run_id": run,
        "approval_id": approval,
        "target": target,
        "address": address,
        "kind": kind,
        "status": status,
        "since": since,
        "until": until,
        "q": q,
    }


CommandFilters = Annotated[dict[str, Any], Depends(_filters)]
