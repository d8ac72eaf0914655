"""A control plane on real servers, without HTTP in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agentgrid.control import signing
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db.pool import open_pool
from agentgrid.db.session import make_engine
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.settings import Settings
from agentgrid.temporal.client import connect
from tests.conftest import Temporal

OPERATOR = Principal(name="operator", kind=PrincipalKind.HUMAN, roles=frozenset({Role.OPERATOR}))
REVIEWER = Principal(name="reviewer", kind=PrincipalKind.HUMAN, roles=frozenset({Role.APPROVER}))
SETUP = Principal(name="system", kind=PrincipalKind.SYSTEM)
"""The command line on the database's machine."""
ADMIN = Principal(name="admin", kind=PrincipalKind.HUMAN, roles=frozenset({Role.ADMIN}))


def caller(principal: Principal = OPERATOR, **over: object) -> Caller:
    return Caller(**{"principal": principal, "route": "POST /test", "body": {}, **over})


@pytest.fixture
async def plane(postgres_dsn: str, temporal_server: Temporal, tmp_path) -> AsyncIterator[ControlPlane]:
    key = tmp_path / "signing.pem"
    signer = signing.create(key)
    settings = Settings(
        database_url=postgres_dsn,
        temporal_address=temporal_server.address,
        home=tmp_path,
        signing_key_file=key,
    )
    engine = make_engine(postgres_dsn, pool_size=5)
    async with open_pool(postgres_dsn) as pool:
        yield ControlPlane(settings=settings, engine=engine, pool=pool, temporal=await connect(settings), signer=signer)
    await engine.dispose()
