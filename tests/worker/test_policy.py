"""Policy reaches a worker as one document. A database outage never stops a worker, and stops writes only after a while."""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agentgrid.db.follow import Line
from agentgrid.domain.policies import Risk, Snapshot
from agentgrid.worker.governor import Allow, Governor, Stale
from agentgrid.worker.policy import PolicySource, _Moment
from tests.worker.calls import NOW, call


def test_kill_switches_reach_older_and_newer_workers() -> None:
    """An older worker reads two fields. A newer one can read snapshots, in the database or on disk, that have only those."""
    older = {"version": 1, "made_at": NOW.isoformat(), "disabled_tools": ["refund"], "disabled_workflows": ["gated"]}
    read = Snapshot.model_validate_json(json.dumps(older))
    assert read.disabled == {"tool": {"refund"}, "workflow": {"gated"}}
    newer = Snapshot(version=1, made_at=NOW, disabled={**read.disabled, "agent": frozenset({"triager"})})
    document = newer.model_dump_json()
    assert Snapshot.model_validate_json(document) == newer
    assert {name: json.loads(document)[name] for name in older if name.startswith("disabled")} == {
        "disabled_tools": ["refund"],
        "disabled_workflows": ["gated"],
    }


async def publish(dsn: str, **fields: Any) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        version: int = await connection.fetchval("SELECT coalesce(max(version), 0) + 1 FROM policy_snapshots")
        snapshot = Snapshot(version=version, made_at=datetime.now(UTC), **fields)
        await connection.execute(
            "INSERT INTO policy_snapshots (version, document) VALUES ($1, $2)", version, snapshot.model_dump_json()
        )
        await connection.execute("NOTIFY agentgrid_policy")
    finally:
        await connection.close()
    return version


async def until(condition: Any, timeout_seconds: float = 10.0) -> None:
    async with asyncio.timeout(timeout_seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_change_reaches_the_worker_at_once_by_notification(postgres_dsn: str, tmp_path: Path) -> None:
    await publish(postgres_dsn)
    source = PolicySource(postgres_dsn, tmp_path / "policy.json", refresh_seconds=60)
    await source.start()
    try:
        assert await source.confirmed(10)
        version = await publish(postgres_dsn, disabled_tools=frozenset({"refund"}))
        await until(lambda: source.snapshot is not None and source.snapshot.version == version)
    finally:
        await source.stop()


async def test_a_lost_connection_is_reopened_and_no_change_is_missed(postgres_dsn: str, tmp_path: Path) -> None:
    await publish(postgres_dsn)
    source = PolicySource(postgres_dsn, tmp_path / "policy.json", refresh_seconds=0.2)
    await source.start()
    try:
        assert await source.confirmed(10)
        connection = await asyncpg.connect(postgres_dsn)
        ended = await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.close()
        assert ended
        version = await publish(postgres_dsn)
        await until(lambda: source.snapshot is not None and source.snapshot.version == version)
    finally:
        await source.stop()


async def test_a_driver_error_does_not_stop_policy_refreshes(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, a minute later, writes would wait forever in a worker that appears healthy."""
    await publish(postgres_dsn)
    real, confused = PolicySource._follow_connection, [asyncpg.InternalClientError("confused")]

    async def follow(source: PolicySource, line: Line) -> None:
        if confused:
            raise confused.pop()
        await real(source, line)

    monkeypatch.setattr(PolicySource, "_follow_connection", follow)
    source = PolicySource(postgres_dsn, tmp_path / "policy.json", refresh_seconds=0.2)
    await source.start()
    try:
        assert await source.confirmed(10)
    finally:
        await source.stop()
    assert not confused


async def test_a_worker_starts_without_the_database_from_the_snapshot_on_disk(
    postgres_dsn: str, tmp_path: Path
) -> None:
    cache = tmp_path / "policy.json"
    version = await publish(postgres_dsn)
    source = PolicySource(postgres_dsn, cache)
    await source.start()
    assert await source.confirmed(10)
    await source.stop()
    away = PolicySource("postgresql://nobody@127.0.0.1:1/nowhere", cache)
    await away.start()
    try:
        assert away.snapshot is not None
        assert away.snapshot.version == version
        assert away.age_seconds < 60
    finally:
        await away.stop()


async def test_an_unreadable_snapshot_on_disk_is_ignored(tmp_path: Path) -> None:
    cache = tmp_path / "policy.json"
    cache.write_text("{")
    source = PolicySource("postgresql://nobody@127.0.0.1:1/nowhere", cache)
    await source.start()
    try:
        assert source.snapshot is None
        assert source.age_seconds == float("inf")
    finally:
        await source.stop()


AWAY = "postgresql://nobody@127.0.0.1:1/nowhere"


async def test_r36_only_the_worker_can_read_the_snapshot_on_disk(postgres_dsn: str, tmp_path: Path) -> None:
    cache = tmp_path / "policy.json"
    await publish(postgres_dsn)
    source = PolicySource(postgres_dsn, cache)
    await source.start()
    assert await source.confirmed(10)
    await source.stop()
    assert cache.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["policy.json"]


@pytest.mark.parametrize("ahead", [3600.0, 1e18, float("inf"), float("nan")])
async def test_r36_a_snapshot_confirmed_in_the_future_counts_as_never_confirmed(tmp_path: Path, ahead: float) -> None:
    """Otherwise writes would be allowed under it until that time, whatever has been forbidden since."""
    cache = tmp_path / "policy.json"
    snapshot = Snapshot(version=1, made_at=NOW, public_keys={"k": "a"})
    cache.write_text(json.dumps({"confirmed_at": time.time() + ahead, "document": snapshot.model_dump_json()}))
    source = PolicySource(AWAY, cache)
    await source.start()
    try:
        assert source.snapshot == snapshot
        assert source.age_seconds == float("inf")
        assert isinstance(Governor(policy=source).judge(call()), Stale)
        assert isinstance(Governor(policy=source).judge(call(risk=Risk.READ)), Allow)
    finally:
        await source.stop()


async def test_r36_setting_the_clock_back_does_not_make_a_policy_younger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "policy.json"
    document = Snapshot(version=1, made_at=NOW).model_dump_json()
    cache.write_text(json.dumps({"confirmed_at": time.time() - 100, "document": document}))
    source = PolicySource(AWAY, cache)
    await source.start()
    try:
        assert 100 <= source.age_seconds < 130
        now = time.time()
        monkeypatch.setattr("agentgrid.worker.policy.time.time", lambda: now - 86_400)
        assert 100 <= source.age_seconds < 130
    finally:
        await source.stop()


async def test_r36_an_overdue_policy_is_checked_before_a_call_is_judged(postgres_dsn: str, tmp_path: Path) -> None:
    """A process that was frozen briefly has an old policy. Here neither a notification nor a refresh arrives in time."""
    await publish(postgres_dsn)
    source = PolicySource(postgres_dsn, tmp_path / "policy.json", refresh_seconds=1000)
    await source.start()
    try:
        assert await source.confirmed(10)
        connection = await asyncpg.connect(postgres_dsn)
        document = source.snapshot.model_copy(update={"version": source.snapshot.version + 1}).model_dump_json()  # type: ignore[union-attr]
        await connection.execute(
            "INSERT INTO policy_snapshots (version, document) SELECT max(version) + 1, $1 FROM policy_snapshots",
            document,
        )
        await connection.close()
        before = source.snapshot
        await source.caught_up()
        assert source.snapshot is before, "it was confirmed recently, so the call does not wait"
        source._confirmed = _Moment.at_time(time.time() - 5000)
        await source.caught_up()
        assert source.snapshot is not before
    finally:
        await source.stop()


async def test_calls_do_not_wait_for_a_database_known_to_be_unreachable(tmp_path: Path) -> None:
    source = PolicySource("postgresql://nobody@127.0.0.1:1/none", tmp_path / "policy.json", refresh_seconds=0.1)
    await source.start()
    try:
        await until(lambda: source._away)
        async with asyncio.timeout(0.5):
            await source.caught_up()
    finally:
        await source.stop()


async def test_an_unchanged_snapshot_is_confirmed_without_being_read_again(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With agents' instructions a snapshot is no longer small, and every worker checks every two seconds."""
    read: list[str | None] = []
    take = PolicySource._take

    def taken(source: PolicySource, document: str | None, requested_at: Any) -> None:
        read.append(document)
        take(source, document, requested_at)

    monkeypatch.setattr(PolicySource, "_take", taken)
    agents = {"desk": {"version": "edit-1", "instructions": "x" * 50_000}}
    await publish(postgres_dsn, agents=agents)
    # The file on disk comes from another database, whose snapshot has the same version.
    cache = tmp_path / "policy.json"
    old = Snapshot(version=1, made_at=datetime.now(UTC), agents={"desk": {"version": "edit-9"}})
    cache.write_text(json.dumps({"confirmed_at": time.time(), "document": old.model_dump_json()}))
    source = PolicySource(postgres_dsn, cache, refresh_seconds=0.05)
    await source.start()
    try:
        await until(lambda: len(read) >= 3)
        assert [document is None for document in read[:3]] == [False, True, True]
        assert source.snapshot is not None
        assert source.snapshot.agents == agents
        assert source.age_seconds < 5
        version = await publish(postgres_dsn)
        await until(lambda: source.snapshot is not None and source.snapshot.version == version)
    finally:
        await source.stop()
    assert json.loads(cache.read_text())["document"] == next(text for text in reversed(read) if text)
