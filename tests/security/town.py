"""An installation with two administrators whose keys were created directly in the database: `anna` and `berta`. `robot` is a program with the role admin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from agentgrid.control import api_keys, principals
from agentgrid.control.plane import ControlPlane
from agentgrid.db import policies
from agentgrid.db.session import reading, writing
from agentgrid.domain.policies import Snapshot
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.api.conftest import SETUP, Api, eventually, running, settings_for
from tests.conftest import Peopled, Temporal

V1 = "/api/v1"
GRANT = {"kind": "human", "roles": ["approver"]}


class Town:
    """An installation with two administrators, reset for each test."""

    def __init__(self, api: Api) -> None:
        self.api = api

    @property
    def plane(self) -> ControlPlane:
        return self.api.plane

    async def call(self, who: str, method: str, path: str, expect: int = 200, **options: Any) -> dict[str, Any]:
        """Send a request with the key named `who`."""
        async with self.api.client(who) as http:
            answer: httpx.Response = await http.request(method, f"{V1}{path}", **options)
        assert answer.status_code == expect, f"{who}: {method} {path}: {answer.status_code} {answer.text[:500]}"
        body: dict[str, Any] = answer.json()
        return body

    async def person(self, name: str, *roles: Role, kind: PrincipalKind = PrincipalKind.HUMAN) -> None:
        """Create a principal and its key directly in the database."""
        await principals.put(self.plane.engine, SETUP, Principal(name=name, kind=kind, roles=frozenset(roles)))
        self.api.tokens[name] = (await api_keys.create(self.plane.engine, SETUP, principal=name)).secret

    async def key_by(self, who: str, principal: str, token: str) -> dict[str, Any]:
        """Create a key for the principal through the API, as `who`, and store it as `token`."""
        made = await self.call(who, "POST", "/keys", 201, json={"principal": principal})
        self.api.tokens[token] = made["key"]
        return made

    async def propose(self, who: str, name: str, **body: Any) -> str:
        proposed = await self.call(who, "PUT", f"/principals/{name}", 202, json={**GRANT, **body})
        return str(proposed["command_id"])

    async def confirm(self, who: str, command_id: str, expect: int = 200) -> dict[str, Any]:
        return await self.call(who, "POST", f"/commands/{command_id}/confirm", expect)

    async def may_decide(self, name: str) -> bool:
        """Whether workers accept this principal's decisions."""
        return name in (await self.snapshot()).approver_entries

    async def snapshot(self) -> Snapshot:
        async with reading(self.plane.engine) as session:
            newest = await policies.newest_snapshot(session)
        assert newest is not None
        return newest

    async def command(self, command_id: str) -> dict[str, Any]:
        return await self.call("auditor", "GET", f"/commands/{command_id}")


@pytest.fixture(scope="module")
async def shared(
    peopled: Peopled, module_postgres_dsn: str, temporal_server: Temporal, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    settings = settings_for(module_postgres_dsn, temporal_server.address, tmp_path_factory.mktemp("town"))
    async with running(settings, dict(peopled.tokens)) as api:
        await eventually(lambda: _published(api))
        yield Town(api)


async def _published(api: Api) -> object:
    async with reading(api.plane.engine) as session:
        return await policies.newest_snapshot(session)


@pytest.fixture
async def town(shared: Town) -> Town:
    """Two administrators, with the changes of the previous test undone."""
    async with writing(shared.plane.engine) as session:
        for table in ("commands", "policies", "api_keys", "principals"):
            await session.execute(text(f"DELETE FROM {table}"))
    shared.api.tokens.clear()
    for name, role in (("anna", Role.ADMIN), ("berta", Role.ADMIN), ("operator", Role.OPERATOR)):
        await shared.person(name, role)
    await shared.person("reviewer", Role.APPROVER)
    await shared.person("auditor", Role.AUDITOR)
    await shared.person("viewer", Role.VIEWER)
    await shared.person("robot", Role.ADMIN, kind=PrincipalKind.SERVICE)
    return shared
