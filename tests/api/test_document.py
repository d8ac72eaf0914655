"""The API behaves as documented, for valid and invalid requests by every kind of caller."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentgrid.control import principals
from agentgrid.control.signing import Signer
from agentgrid.db.tables import Command, PolicyRow, SessionRow, SigningKey, View
from agentgrid.domain.ids import new_id
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.api import factories
from tests.api.conftest import SETUP, Api, listening

if TYPE_CHECKING:
    from tests.api.fuzzing import Search

EVERYBODY = ["viewer", "operator", "reviewer", "developer", "auditor", "admin", "robot", "agent", "nobody", None]
ABLE = {
    None: "auditor",
    "read": "operator",
    "read_payloads": "operator",
    "start": "operator",
    "control": "operator",
    "decide": "reviewer",
    "edit": "operator",
    "govern": "admin",
    "administer": "admin",
    "audit": "auditor",
}
"""Who has the permission that an operation needs."""

LONGER = "AGENTGRID_FUZZ_EXAMPLES" in os.environ

GREETED = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.fixture(scope="module")
async def search(api: Api) -> AsyncIterator[Search]:
    """A search of the API over a socket, with one of each resource in it."""
    from tests.api.fuzzing import Search  # lazy: the import takes a second, and every test process imports this file

    engine = api.plane.engine
    one = {"size": 1, "value": 1}
    run = factories.run(status="failed", error={"type": "E", "message": "no"}, input=one, result=one)
    approval = factories.approval(run)
    signer = Signer.of(Ed25519PrivateKey.generate())
    await factories.insert(
        engine,
        *factories.workflow("known", {}),
        *factories.workflow("greeted", GREETED),
        factories.tool("known"),
        *factories.agent("known"),
        run,
        factories.execution(run, status="failed"),
        factories.step(run, 5, input=one, output=one),
        approval,
        factories.decision(approval, 9),
        SigningKey(key_id=signer.key_id, public_key=signer.public_key),
        PolicyRow(
            rule_id="known",
            version=1,
            tool="known",
            effect="allow",
            approvers=[],
            expires_seconds=60.0,
            reason="",
            created_by="admin",
        ),
    )
    spare = Principal(name="spare", kind=PrincipalKind.SERVICE, roles=frozenset({Role.VIEWER}))
    await principals.put(engine, SETUP, spare)
    withdrawn = Command(
        command_id=new_id(),
        kind="principal.put",
        status="refused",
        principal="admin",
        target="mole",
        outcome={"proposal": {}, "code": "withdrawn", "message": "withdrawn by admin"},
    )
    expired = Command(
        command_id=new_id(),
        kind="run.update",
        status="failed",
        principal="operator",
        run_id=run.run_id,
        body={"name": "known", "arguments": []},
        outcome={"code": "update_expired", "message": "no worker accepted the update"},
    )
    opened = SessionRow(
        session_id=new_id(),
        token_hash="none",
        key_id=api.tokens["auditor"].split("_")[1],
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )
    views = [
        View(
            owner=owner,
            name="known",
            version=1,
            title="Known",
            filter={},
            changed_by=owner,
            changed_at=datetime.now(UTC),
        )
        for owner in EVERYBODY
        if owner is not None
    ]
    await factories.insert(engine, withdrawn, expired, opened, *views)
    things: dict[str | None, str] = {
        "runs": run.run_id,
        "steps": run.execution_id or "",
        "{execution_id}": "5",
        "approvals": approval.approval_id,
        "workflows": "known",
        "versions": "v1",
        "views": "known",
        "tools": "known",
        "agents": "known",
        "policies": "known",
        "principals": spare.name,
        "keys": api.tokens["second"].split("_")[1],
        "signing-keys": signer.key_id,
        "sessions": opened.session_id,
        "commands": withdrawn.command_id,
        "updates": expired.command_id,
    }
    async with listening(api.app) as url, api.client(None) as client:
        document = (await client.get("/api/openapi.json")).json()
        yield Search(url, document, api.tokens, things)


@pytest.mark.timeout(300)
async def test_the_documents_boundaries_are_enforced(search: Search) -> None:
    def look() -> None:
        for operation in search.operations():
            search.edges(operation, ABLE[operation.definition.raw.get("x-permission")])

    search.statuses.clear()
    await asyncio.to_thread(look)
    assert search.failures == []
    # Otherwise all of this might have tested nothing: each operation succeeded or met a conflicting state.
    idle = {label for label, statuses in search.statuses.items() if not statuses & {200, 201, 202, 409}}
    assert idle == {
        "GET /api/v1/events",
        "GET /api/v1/runs/{run_id}/events",
        "GET /api/v1/runs/{run_id}/history",  # this run was never in Temporal
        "POST /api/v1/keys",  # the existing resource is named in the body
        "POST /api/v1/session",  # only for the console's own page
        "DELETE /api/v1/session",  # requires a cookie
    }


def senders(number: int, permission: str | None) -> list[str | None]:
    """The callers for this operation: one who may, an anonymous one, and two of the others in turn. In a longer search, all of them."""
    if LONGER:
        return EVERYBODY
    in_turn = [EVERYBODY[(2 * number + offset) % len(EVERYBODY)] for offset in range(2)]
    return list(dict.fromkeys([ABLE[permission], None, *in_turn]))


@pytest.mark.timeout(300)
async def test_random_requests_by_any_caller_are_answered_as_documented(search: Search) -> None:
    def look() -> None:
        for number, operation in enumerate(search.operations()):
            search.random(operation, senders(number, operation.definition.raw.get("x-permission")))

    search.failures.clear()
    before = search.sent
    await asyncio.to_thread(look)
    assert search.failures == []
    assert search.sent - before > 500
