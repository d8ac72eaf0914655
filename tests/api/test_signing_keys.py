"""Signing keys over the API: who signs with which, and retiring or revoking one without breaking open approvals or running APIs."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agentgrid.control import signing
from agentgrid.db import policies
from agentgrid.db.session import reading
from tests.api import factories
from tests.api.conftest import Api, eventually, make_tokens, running, settings_for
from tests.conftest import Temporal

PLACE = "/api/v1/signing-keys"


class Site:
    """One database with several APIs, each with its own signing keys."""

    def __init__(self, dsn: str, temporal: str, home: Path, tokens: dict[str, str]) -> None:
        self.home = home
        self._settings = settings_for(dsn, temporal, home)
        self._tokens = tokens

    def api(self, *names: str):
        """An API that signs with the first of these keys and also holds the others."""
        file = self.home / f"{'-'.join(names)}.pem"
        for name in names:
            if not (self.home / f"{name}.key").exists():
                signing.create(self.home / f"{name}.key")
        file.touch(mode=0o600)
        file.write_bytes(b"".join((self.home / f"{name}.key").read_bytes() for name in names))
        return running(self._settings.model_copy(update={"signing_key_file": file}), self._tokens)


@pytest.fixture
async def site(postgres_dsn: str, temporal_server: Temporal, tmp_path: Path) -> Site:
    return Site(postgres_dsn, temporal_server.address, tmp_path, await make_tokens(postgres_dsn))


async def listed(api: Api) -> dict[str, dict]:
    async with api.client("admin") as client:
        items = (await client.get(PLACE)).json()["items"]
    return {item["key_id"]: item for item in items}


async def in_use(api: Api, key_id: str, used: bool = True) -> None:
    async def check() -> bool:
        return (await listed(api)).get(key_id, {}).get("in_use") is used

    await eventually(check)


async def end(api: Api, verb: str, key_id: str, expect: int = 200) -> dict:
    async with api.client("admin") as client:
        response = await client.post(f"{PLACE}/{key_id}/{verb}", json={"reason": "rotated"})
    assert response.status_code == expect, response.text
    return response.json()


async def snapshot(api: Api):
    async with reading(api.plane.engine) as session:
        return await policies.newest_snapshot(session)


async def test_a_key_is_rotated_and_can_be_retired_only_once_no_api_signs_with_it(site: Site):
    async with site.api("new", "old") as second:
        new, old = (signer.key_id for signer in second.plane.signer.all)
        async with site.api("old") as first:
            await in_use(second, old)
            await in_use(second, new)
            refused = await end(second, "retire", old, 409)
            assert (refused["current_status"], "an API process signs with this key" in refused["detail"]) == (
                "in_force",
                True,
            )
            assert set((await snapshot(first)).keys_in_force) == {old, new}
        await in_use(second, old, False)
        run = factories.run(status="waiting")
        approvals = [factories.approval(run) for _ in range(3)]
        for approval, names in zip(approvals, ([old], [old], [old, new]), strict=True):
            approval.terms = {**approval.terms, "keys": dict.fromkeys(names, "k")}
        # Workers write the terms, which must not be able to hide a key.
        hostile = factories.approval(run)
        hostile.terms = {**hostile.terms, "title": "\ud800", "keys": {"\x00\udfff": "k"}}
        await factories.insert(second.plane.engine, run, factories.execution(run), *approvals, hostile)

        retired = await end(second, "retire", old)

        assert (retired["status"], retired["approvals_pending"]) == ("retired", 2)
        published_snapshot = await snapshot(second)
        assert (set(published_snapshot.keys_in_force), set(published_snapshot.keys_that_count)) == ({new}, {new, old})
        assert (await end(second, "retire", old))["retired_at"] == retired["retired_at"]
        async with second.client("auditor") as client:
            audit = (await client.get("/api/v1/commands", params={"kind": "signing_key.retire"})).json()["items"]
        assert [(item["status"], item["target"], item["reason"]) for item in audit] == [
            ("applied", old, "rotated"),
            ("applied", old, "rotated"),
            ("refused", old, None),
        ]

    with capture_logs() as logs:
        async with site.api("old") as stale:
            await in_use(stale, old)
            await eventually(lambda: _logged(logs, "signing_key_not_in_force"))
            assert (await listed(stale))[old]["status"] == "retired"
            assert set((await snapshot(stale)).keys_in_force) == {new}
    assert [(item["key_id"], item["status"]) for item in logs if item["event"] == "signing_key_not_in_force"] == [
        (old, "retired")
    ]


async def _logged(logs: list, event: str) -> bool:
    return any(item["event"] == event for item in logs)


async def test_a_key_can_be_revoked_while_an_api_signs_with_it_and_never_counts_again(site: Site):
    async with site.api("stolen") as api:
        key_id = api.plane.signer.key_id
        await in_use(api, key_id)
        revoked = await end(api, "revoke", key_id)
        assert (revoked["status"], revoked["in_use"]) == ("revoked", True)
        published_snapshot = await snapshot(api)
        assert (
            published_snapshot.revoked_keys,
            published_snapshot.keys_in_force,
            published_snapshot.keys_that_count,
        ) == ({key_id}, {}, {})
        assert (await end(api, "retire", key_id))["status"] == "revoked"
        version = (await snapshot(api)).version
        assert (await end(api, "revoke", key_id))["revoked_at"] == revoked["revoked_at"]
        assert (await snapshot(api)).version == version
        await end(api, "retire", "0" * 16, 404)
        await end(api, "revoke", "nonsense", 404)
    async with site.api("stolen") as api:
        await in_use(api, key_id)
        assert (await listed(api))[key_id]["status"] == "revoked"
        assert (await snapshot(api)).keys_that_count == {}
