"""The data for the console's screenshots: two dozen runs in all states, by named people, and pending approvals."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from agentgrid.control import api_keys, principals
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.sdk.grid import Grid
from tests.api.conftest import SETUP
from tests.console import warehouse
from tests.console.stack import Stack

OPERATORS = ("mara", "jonas")
APPROVERS = {"ada": frozenset({"support-leads", "editors"}), "noor": frozenset({"support-leads"})}
EXPIRES_SOON = timedelta(minutes=40)


class Demonstration:
    """Acts as the people of an installation."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._loop = stack.loop

    async def people(self) -> None:
        """Create the people, each with an API key, beside the administrators."""
        engine = self._loop.api.plane.engine
        people = [
            *(Principal(name=n, kind=PrincipalKind.HUMAN, roles=frozenset({Role.OPERATOR})) for n in OPERATORS),
            *(
                Principal(
                    name=n, kind=PrincipalKind.HUMAN, roles=frozenset({Role.APPROVER, Role.OPERATOR}), groups=groups
                )
                for n, groups in APPROVERS.items()
            ),
        ]
        for person in people:
            await principals.put(engine, SETUP, person)
            key = await api_keys.create(engine, SETUP, principal=person.name, lifetime=timedelta(days=1))
            self._loop.api.tokens[person.name] = key.secret

    async def start(self, who: str, workflow: str, value: Any, **more: Any) -> str:
        run = await self._loop.call(who, "POST", f"/workflows/{workflow}/runs", 201, json={"input": value, **more})
        return str(run["run_id"])

    async def ticket(self, who: str, ticket: str, **more: Any) -> str:
        return await self.start(who, "support_triage", {"ticket_id": ticket}, reference=ticket, **more)

    async def verb(self, who: str, run_id: str, verb: str, reason: str) -> None:
        await self._loop.call(who, "POST", f"/runs/{run_id}/{verb}", 202, json={"reason": reason})

    async def decided(self, ticket: str, verdict: str, comment: str, *, who: str = "ada") -> str:
        """A refund with a decision."""
        run_id = await self.ticket("mara", ticket, tags=["refunds"])
        await self._loop.decide(await self._loop.approval(run_id), verdict, who=who, comment=comment)
        return run_id

    async def rule(self, tool: str, **rule: Any) -> None:
        await self._loop.call("admin", "PUT", f"/tools/{tool}/policy", 200, json=rule)


@contextlib.asynccontextmanager
async def demonstrated(stack: Stack) -> AsyncIterator[dict[str, str]]:
    """The ids shown on the screens, by name, while the workers run. `both` is the name of the viewing person."""
    show, loop = Demonstration(stack), stack.loop
    await show.people()
    async with loop.worker("warehouse", Grid("warehouse", warehouse)):
        yield {"both": "ada", **await _shown(show, loop)}


async def _shown(show: Demonstration, loop: Any) -> dict[str, str]:
    ended = [await show.ticket("jonas", ticket) for ticket in ("T-1003", "T-1008", "T-1011", "T-1040")]
    ended += [
        await show.start("mara", "lead_qualification", {"lead_id": f"L-{n}"}, reference=f"L-{n}") for n in (204, 206)
    ]
    ended.append(await show.decided("T-1002", "approved", "The outage was ours"))
    ended.append(await show.decided("T-1006", "approved", "Within 14 days", who="noor"))
    ended.append(await show.decided("T-1053", "rejected", "The seats were in use until October"))
    failed = await show.ticket("mara", "T-9999")
    ended += [failed, await show.ticket("jonas", "T-9998")]
    for run_id in ended:
        await loop.until(run_id, timeout_seconds=60)
    waiting = await _open(show, loop)
    return {"failed": failed, **waiting}


async def _open(show: Demonstration, loop: Any) -> dict[str, str]:
    """Open runs, and pending approvals."""
    await show.rule(
        "update_account",
        effect="require_approval",
        expires_seconds=EXPIRES_SOON.total_seconds(),
        title="Account changes are reviewed",
        reason="Last week’s notes were wrong",
    )
    for account in ("A-302", "A-305", "A-309"):
        await show.start("jonas", "account_research", {"account_id": account}, reference=account)
    page = {"title": "Winter opening hours", "points": ["Open 10 to 18", "Closed on 25 December"], "author": "jonas"}
    page_run = await show.start("jonas", "content_publish", page, reference="winter-hours", tags=["site"])
    spring = await show.start(
        "jonas", "content_publish", page | {"title": "Spring price list"}, reference="spring-prices"
    )
    order = {"lines": [{"sku": "LAMP-02", "quantity": 3}, {"sku": "DESK-11", "quantity": 1}]}
    for order_id in ("O-7001", "O-7002", warehouse.UNREACHABLE):
        retrying = await show.start("mara", "fulfil_order", {"order_id": order_id} | order, reference=order_id)
    prices = await show.start("mara", "reprice_catalogue", {"percent": -10}, reference="winter-sale")
    later = datetime.now(UTC) + timedelta(hours=5)
    await show.start("mara", "weekly_digest", {"week": _last_week()}, reference="digest", start_at=later.isoformat())
    paused = await show.ticket("jonas", "T-1018", tags=["refunds"])
    for ticket in ("T-1045", "T-1038", "T-1097"):
        await show.ticket("mara", ticket, tags=["refunds"])
    run_id = await show.ticket("mara", "T-1015", tags=["refunds"])
    approval = await loop.approval(run_id)
    for run in (paused, spring):
        await loop.approval(run)
    await show.verb("jonas", paused, "pause", "The customer is on the phone")
    await show.verb("jonas", spring, "cancel", "The list comes in March")
    await loop.until(spring, "cancelled")
    await _settled(loop, prices)
    view = {"title": "Pending refunds", "filter": {"tag": ["refunds"], "status": ["waiting"]}, "shared": True}
    await loop.call("developer", "PUT", "/views/pending-refunds", 200, json=view)
    ids = {"waiting": run_id, "approval": approval["approval_id"], "many": prices, "page": page_run}
    return ids | {"retrying": retrying}


async def _settled(loop: Any, *runs: str) -> None:
    """Wait until these runs wait on a timer."""
    for run_id in runs:
        await loop.until(run_id, "waiting", timeout_seconds=120)


def _last_week() -> str:
    year, week, _ = (datetime.now(UTC) - timedelta(days=7)).isocalendar()
    return f"{year}-W{week:02}"
