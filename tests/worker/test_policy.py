"""Policy reaches a worker as one document; a database that is away never stops a worker, and stops writes only after a while."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agentgrid.domain.approvals import Terms
from agentgrid.domain.policies import Effect, Risk, Rule, Snapshot
from agentgrid.protocol import RunHeader
from agentgrid.testing import Governance
from agentgrid.worker.governor import Allow, Ask, Call, Deny, Governor, Stale, Unsupported
from agentgrid.worker.policy import FixedPolicy, PolicySource

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def call(**changed: Any) -> Call:
    fields: dict[str, Any] = {
        "subject": "refund",
        "title": "Refund",
        "version": "v1",
        "risk": Risk.WRITE,
        "arguments": lambda: {"order": "o"},
        "local": False,
        "namespace": "default",
        "workflow_id": "w",
        "execution_id": "e",
        "workflow": "gated",
        "attempt": 1,
        "key": "k",
        "run": lambda: RunHeader(tree="w", initiator="operator"),
        "presented": None,
        "now": NOW,
    }
    return Call(**(fields | changed))


def policy(**fields: Any) -> FixedPolicy:
    return FixedPolicy(Snapshot(**({"version": 1, "made_at": NOW, "public_keys": {"k": "a"}} | fields)))


class Aged(FixedPolicy):
    def __init__(self, snapshot: Snapshot | None, age: float) -> None:
        self.snapshot = snapshot
        self.age_seconds = age


DESTRUCTIVE = call(risk=Risk.DESTRUCTIVE)
ALLOW_EXACT = Rule(rule_id="exact", tool="refund", effect=Effect.ALLOW)
DENY_GLOB = Rule(rule_id="glob", tool="ref*", effect=Effect.DENY)
ASK = Rule(rule_id="ask", tool="refund", effect=Effect.REQUIRE_APPROVAL, version=3)


@pytest.mark.parametrize(
    ("source", "made", "expected"),
    [
        (policy(), call(), Allow),
        (policy(), call(risk=None), Allow),
        (policy(), DESTRUCTIVE, Ask),
        (policy(rules=(ALLOW_EXACT, DENY_GLOB)), DESTRUCTIVE, Allow),
        (policy(rules=(DENY_GLOB,)), call(), Deny),
        (policy(rules=(DENY_GLOB,)), call(subject="other"), Allow),
        (policy(disabled_tools=frozenset({"refund"}), rules=(ALLOW_EXACT,)), call(), Deny),
        (policy(disabled_workflows=frozenset({"gated"})), call(risk=Risk.READ), Deny),
        (policy(rules=(ASK,)), call(key=None), Unsupported),
        (policy(rules=(ASK,)), call(run=lambda: None), Unsupported),
        (policy(rules=(ASK,), public_keys={}), call(), Stale),
        (policy(rules=(ASK,), public_keys={}, retired_keys={"k": "a"}), call(), Stale),
        (policy(rules=(ASK,), revoked_keys=frozenset({"k"})), call(), Stale),
        (policy(rules=(ASK,), public_keys={}), call(key=None), Unsupported),
        (policy(rules=(ASK,)), call(arguments=lambda: {"n": float("nan")}), Unsupported),
        (Aged(None, float("inf")), call(), Stale),
        (Aged(None, float("inf")), call(risk=Risk.READ), Allow),
        (Aged(None, float("inf")), call(risk=None), Allow),
        (Aged(policy().snapshot, 61), call(), Stale),
        (Aged(policy().snapshot, 59), call(), Allow),
        (Aged(policy(rules=(DENY_GLOB,)).snapshot, 61), call(risk=Risk.READ), Deny),
    ],
)
def test_what_policy_says(source: FixedPolicy, made: Call, expected: type) -> None:
    assert isinstance(Governor(policy=source).judge(made), expected)


OWN = Rule(rule_id="tool:refund", tool="refund", effect=Effect.ALLOW)
OTHER_EXACT = Rule(rule_id="zz", tool="refund", effect=Effect.DENY)
SHORT_GLOB = Rule(rule_id="zzz", tool="re*", effect=Effect.ALLOW)


@pytest.mark.parametrize(
    ("rules", "holds"),
    [
        ((), "default:write"),
        ((SHORT_GLOB,), "zzz"),
        ((SHORT_GLOB, DENY_GLOB), "glob"),
        ((SHORT_GLOB, DENY_GLOB, OTHER_EXACT), "zz"),
        ((OTHER_EXACT, OWN, SHORT_GLOB, DENY_GLOB), "tool:refund"),
    ],
)
def test_the_most_exact_rule_speaks_and_first_of_all_the_one_put_about_the_tool(
    rules: tuple[Rule, ...], holds: str
) -> None:
    for order in itertools.permutations(rules):
        assert policy(rules=order).snapshot.rule_for("refund", Risk.WRITE).rule_id == holds  # type: ignore[union-attr]


def ask(governance: Governance, **changed: Any) -> Terms:
    answer = Governor(policy=governance.policy).judge(call(**changed))
    assert isinstance(answer, Ask)
    return answer.terms


def test_the_terms_carry_the_reason_of_the_rule_which_binds_nothing() -> None:
    def asked(reason: str) -> Terms:
        rule = ASK.model_copy(update={"reason": reason})
        answer = Governor(policy=policy(rules=(rule,))).judge(call())
        assert isinstance(answer, Ask)
        return answer.terms

    reasoned = asked("over the limit since March")
    assert reasoned.wire()["reason"] == "over the limit since March"
    assert "reason" not in asked("").wire()
    assert reasoned.digest == asked("").digest
    decision = Governance().decide(reasoned).decision
    assert "over the limit" not in decision.signed_bytes().decode()


def test_a_decision_lets_exactly_its_own_call_through() -> None:
    governance = Governance(rules=[ASK])
    terms = ask(governance)
    decision = governance.decide(terms, decided_at=NOW)
    governor = Governor(policy=governance.policy)
    presented = decision.model_dump_json()
    assert isinstance(governor.judge(call(presented=presented)), Allow)
    for change in (
        {"arguments": lambda: {"order": "p"}},
        {"version": "v2"},
        {"subject": "refund2"},
        {"execution_id": "f"},
        {"workflow_id": "x"},
        {"namespace": "production"},
        {"run": lambda: RunHeader(tree="w", initiator="reviewer")},
        {"run": lambda: RunHeader(tree="w", initiator="operator", issuers=("reviewer",))},
        {"now": NOW + timedelta(hours=1, seconds=1)},
    ):
        governance.change(rules=(ASK, ASK.model_copy(update={"tool": "refund2", "rule_id": "ask"})))
        assert isinstance(governor.judge(call(presented=presented, **change)), Ask), change
    late = call(presented=presented, now=NOW + timedelta(hours=2), attempt=2)
    assert isinstance(governor.judge(late), Allow), "age counts at the first attempt only"
    for broken in ("", "{}", presented[:-2], presented.replace("approved", "rejected")):
        assert isinstance(governor.judge(call(presented=broken)), Ask)


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


async def test_a_lost_connection_is_made_again_and_misses_nothing(postgres_dsn: str, tmp_path: Path) -> None:
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


async def test_an_error_of_the_driver_itself_does_not_end_the_following(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else writes would wait for ever, a minute later, in a worker that seems to be well."""
    await publish(postgres_dsn)
    real, confused = PolicySource._follow_connection, [asyncpg.InternalClientError("confused")]

    async def follow(source: PolicySource) -> None:
        if confused:
            raise confused.pop()
        await real(source)

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


async def test_an_unreadable_snapshot_on_disk_is_no_snapshot(tmp_path: Path) -> None:
    cache = tmp_path / "policy.json"
    cache.write_text("{")
    source = PolicySource("postgresql://nobody@127.0.0.1:1/nowhere", cache)
    await source.start()
    try:
        assert source.snapshot is None
        assert source.age_seconds == float("inf")
    finally:
        await source.stop()
