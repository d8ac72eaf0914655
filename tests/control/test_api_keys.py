"""API keys: shown once, stored as a hash, always expiring; and the principals that they represent."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from agentgrid.control import api_keys, commands, principals, snapshots
from agentgrid.control.plane import ControlPlane
from agentgrid.db import policies
from agentgrid.db.pool import CONNECTIONS
from agentgrid.db.session import reading, writing
from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from tests.api import factories
from tests.api.conftest import eventually
from tests.control.conftest import ADMIN, REVIEWER, SETUP, caller


async def create_key(plane: ControlPlane, **over):
    await principals.put(plane.engine, caller(SETUP), REVIEWER)
    return await api_keys.create(plane.engine, caller(SETUP), principal="reviewer", **over)


async def test_a_key_represents_its_principal_until_it_is_revoked(plane: ControlPlane):
    key = await create_key(plane)
    authenticated = await api_keys.authenticate(plane.pool, key.secret)
    assert (authenticated.principal, authenticated.key_id) == (REVIEWER, key.key_id)
    await api_keys.revoke(plane.engine, caller(ADMIN), key.key_id, reason="lost")
    with pytest.raises(Unauthenticated):
        await api_keys.authenticate(plane.pool, key.secret)


async def test_the_secret_is_never_stored(plane: ControlPlane):
    key = await create_key(plane, note="laptop")
    secret = key.secret.removeprefix(f"ag_{key.key_id}_")
    assert secret not in repr(key)
    async with reading(plane.engine) as session:
        for table in ("api_keys", "commands", "principals"):
            rows = (await session.execute(text(f"SELECT row_to_json(t)::text FROM {table} AS t"))).scalars().all()
            assert rows
            assert not any(secret in row for row in rows)


async def test_an_expired_key_is_invalid_and_every_key_expires(plane: ControlPlane):
    key = await create_key(plane)
    assert timedelta(days=90) == api_keys.DEFAULT_LIFETIME
    async with writing(plane.engine) as session:
        await session.execute(text("UPDATE api_keys SET expires_at = now() - interval '1 second'"))
    with pytest.raises(Unauthenticated):
        await api_keys.authenticate(plane.pool, key.secret)
    for lifetime in (timedelta(0), timedelta(days=-1), timedelta(days=366)):
        with pytest.raises(InvalidInput):
            await create_key(plane, lifetime=lifetime)


async def test_a_disabled_principals_keys_are_invalid_and_workers_are_notified(plane: ControlPlane):
    key = await create_key(plane)
    await principals.set_disabled(plane.engine, caller(ADMIN), "reviewer", True)
    with pytest.raises(Unauthenticated):
        await api_keys.authenticate(plane.pool, key.secret)
    async with reading(plane.engine) as session:
        snapshot = await policies.newest_snapshot(session)
    assert snapshot.revoked_principals == {"reviewer"}
    assert snapshot.approver_entries == {}
    await principals.put(plane.engine, caller(SETUP), replace(REVIEWER, groups=frozenset({"editors"})))
    with pytest.raises(Unauthenticated):
        await api_keys.authenticate(plane.pool, key.secret)
    await principals.set_disabled(plane.engine, caller(SETUP), "reviewer", False)
    async with reading(plane.engine) as session:
        snapshot = await policies.newest_snapshot(session)
    assert snapshot.revoked_principals == frozenset()
    assert (await api_keys.authenticate(plane.pool, key.secret)).principal.groups == {"editors"}


async def test_authentication_does_not_wait_for_row_locks(plane: ControlPlane):
    key = await create_key(plane)
    for _ in range(2):
        async with writing(plane.engine) as holding:
            await holding.execute(text("SELECT FROM api_keys, principals FOR UPDATE OF api_keys, principals"))
            async with asyncio.timeout(2):
                assert (await api_keys.authenticate(plane.pool, key.secret)).key_id == key.key_id
    assert (await api_keys.get(plane.engine, key.key_id)).last_used_at is None
    await api_keys.authenticate(plane.pool, key.secret)
    assert (await api_keys.get(plane.engine, key.key_id)).last_used_at is not None


async def test_commands_waiting_to_be_settled_do_not_block_authentication(plane: ControlPlane):
    key, run = await create_key(plane), factories.run()
    await factories.insert(plane.engine, run)
    waiting = []
    async with writing(plane.engine) as session:
        for _ in range(CONNECTIONS + 1):
            command = await commands.new(session, caller(), CommandKind.RUN_CANCEL, run_id=run.run_id)
            await commands.record(session, caller(), command)
            waiting.append(command)
    async with writing(plane.engine) as holding:
        await holding.execute(text("SELECT FROM runs FOR UPDATE"))
        settling = [
            asyncio.create_task(commands.settle(plane, command, CommandStatus.DELIVERED, {})) for command in waiting
        ]
        await eventually(lambda: _waiting_for_a_lock(plane, CONNECTIONS + 1))
        async with asyncio.timeout(2):
            assert (await api_keys.authenticate(plane.pool, key.secret)).key_id == key.key_id
    assert {command.status for command in await asyncio.gather(*settling)} == {"delivered"}


async def _waiting_for_a_lock(plane: ControlPlane, count: int) -> bool:
    async with reading(plane.engine) as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(await session.scalar(text(query)) == count)


async def test_creating_or_revoking_a_key_requires_that_it_exists(plane: ControlPlane):
    with pytest.raises(NotFound):
        await api_keys.create(plane.engine, caller(ADMIN), principal="nobody")
    with pytest.raises(NotFound):
        await api_keys.revoke(plane.engine, caller(ADMIN), "nothing")


async def test_a_principals_kind_never_changes(plane: ControlPlane):
    await principals.put(plane.engine, caller(SETUP), REVIEWER)
    with pytest.raises(Conflict):
        await principals.put(plane.engine, caller(ADMIN), Principal(name="reviewer", kind=PrincipalKind.SERVICE))


@pytest.mark.parametrize("name", ["", "Upper", "a b", "unknown", "role:approver", "x" * 200, "a\x00", "-a"])
async def test_invalid_or_confusing_names_are_refused(plane: ControlPlane, name: str):
    with pytest.raises(InvalidInput):
        await principals.put(plane.engine, caller(ADMIN), Principal(name=name, kind=PrincipalKind.HUMAN))


async def test_programs_cannot_get_the_role_approver(plane: ControlPlane):
    for kind in (PrincipalKind.SERVICE, PrincipalKind.AGENT, PrincipalKind.SYSTEM):
        with pytest.raises(InvalidInput):
            await principals.put(
                plane.engine, caller(ADMIN), Principal(name="robot", kind=kind, roles=frozenset({Role.APPROVER}))
            )


async def test_the_signing_key_is_registered_once_and_published(plane: ControlPlane):
    async with writing(plane.engine) as session:
        assert await snapshots.ensure_published(session, plane.signer)
    async with writing(plane.engine) as session:
        assert not await snapshots.ensure_published(session, plane.signer)
        snapshot = await policies.newest_snapshot(session)
    assert snapshot.keys_in_force == {plane.signer.key_id: plane.signer.public_key}
