"""Policy reaches a worker as one document; a database that is away never stops a worker, and stops writes only after a while."""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agentgrid.domain.activities import classify
from agentgrid.domain.approvals import Terms
from agentgrid.domain.policies import Effect, Risk, Rule, Snapshot
from agentgrid.protocol import RunHeader
from agentgrid.testing import Governance
from agentgrid.worker.admissions import Admissions, Scheduled
from agentgrid.worker.governor import Allow, Ask, Call, Deny, Governor, Stale, Unsupported
from agentgrid.worker.policy import FixedPolicy, PolicySource, _Moment

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def call(**changed: Any) -> Call:
    fields: dict[str, Any] = {
        "kind": classify("tool.refund")[0],
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
        "scheduled": Scheduled(activity_id="1", scheduled_at=NOW, local=False, attempt=1),
        "key": "k",
        "run": lambda: RunHeader(tree="w", initiator="operator"),
        "presented": None,
        "now": NOW,
    }
    return Call(**(fields | changed))


def test_kill_switches_reach_workers_of_either_age() -> None:
    """An older worker reads two fields; a newer one reads snapshots, in the database or on disk, that have only those."""
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
        (Aged(None, float("inf")), call(risk=Risk.READ), Stale),
        (Aged(None, float("inf")), call(risk=None), Stale),
        (Aged(policy().snapshot, float("inf")), call(risk=Risk.READ), Allow),
        (Aged(policy().snapshot, float("inf")), call(risk=None), Allow),
        (Aged(policy().snapshot, float("inf")), call(), Stale),
        (Aged(policy().snapshot, 61), call(), Stale),
        (Aged(policy().snapshot, 59), call(), Allow),
        (Aged(policy(rules=(DENY_GLOB,)).snapshot, 61), call(risk=Risk.READ), Deny),
    ],
)
def test_what_policy_says(source: FixedPolicy, made: Call, expected: type) -> None:
    assert isinstance(Governor(policy=source).judge(made), expected)


def test_a_deployment_may_let_reads_pass_before_the_first_policy_but_never_writes() -> None:
    governor = Governor(policy=Aged(None, float("inf")), policy_required=False)
    for risk in (Risk.READ, None):
        assert isinstance(governor.judge(call(risk=risk)), Allow)
    for risk in (Risk.WRITE, Risk.DESTRUCTIVE):
        assert isinstance(governor.judge(call(risk=risk)), Stale)


@pytest.mark.parametrize(
    ("risk", "rules", "expected"),
    [
        (Risk.READ, (), Allow),
        (None, (), Allow),
        (Risk.READ, (DENY_GLOB,), Deny),
        (None, (DENY_GLOB,), Deny),
        (None, (ASK,), Unsupported),
        (Risk.WRITE, (), Deny),
        (Risk.WRITE, (ALLOW_EXACT,), Deny),
        (Risk.DESTRUCTIVE, (ALLOW_EXACT,), Deny),
    ],
)
def test_a_call_without_a_run_may_read_under_policy_but_never_write(
    risk: Risk | None, rules: tuple[Rule, ...], expected: type
) -> None:
    made = call(risk=risk, standalone=True, key=None, workflow="", workflow_id="", execution_id="")
    assert isinstance(Governor(policy=policy(rules=rules)).judge(made), expected)


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


def test_r34_a_decision_admits_exactly_its_own_call() -> None:
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
        {"key": "k2"},
        {"key": None},
        {"run": lambda: RunHeader(tree="w", initiator="reviewer")},
        {"run": lambda: RunHeader(tree="w", initiator="operator", issuers=("reviewer",))},
        {"now": NOW + timedelta(hours=1, seconds=1)},
    ):
        governance.change(rules=(ASK, ASK.model_copy(update={"tool": "refund2", "rule_id": "ask"})))
        answer = Governor(policy=governance.policy).judge(call(presented=presented, **change))
        assert isinstance(answer, Unsupported if "key" in change and change["key"] is None else Ask), change
    for broken in ("", "{}", presented[:-2], presented.replace("approved", "rejected")):
        assert isinstance(governor.judge(call(presented=broken)), Ask)


def scheduled(activity_id: str = "1", **changed: Any) -> Scheduled:
    return Scheduled(**({"activity_id": activity_id, "scheduled_at": NOW, "local": False, "attempt": 1} | changed))


def governed(**fields: Any) -> tuple[Governance, Governor, str]:
    governance = Governance(rules=[ASK])
    presented = governance.decide(ask(governance), decided_at=NOW, **fields).model_dump_json()
    return governance, Governor(policy=governance.policy), presented


LATER = NOW + timedelta(hours=2)


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        (scheduled(), scheduled("2"), Ask),
        (scheduled(), scheduled(scheduled_at=NOW + timedelta(seconds=1)), Ask),
        (scheduled(), scheduled("2", attempt=2), Ask),
        (scheduled(), scheduled(attempt=2), Allow),
        (scheduled(local=True), scheduled("2", local=True), Ask),
        (scheduled(local=True), scheduled("2", local=True, attempt=2), Allow),
        (scheduled(local=True), scheduled(local=True, scheduled_at=LATER), Allow),
        (scheduled(), scheduled("2", local=True, attempt=2), Ask),
    ],
    ids=[
        "another activity",
        "the same id scheduled again",
        "a later attempt of another activity",
        "the next attempt",
        "another local activity",
        "after a local backoff",
        "after a repeated workflow task",
        "a local activity after a remote one",
    ],
)
def test_r37_a_decision_admits_one_scheduled_activity(first: Scheduled, then: Scheduled, expected: type) -> None:
    _, governor, presented = governed()
    assert isinstance(governor.judge(call(presented=presented, scheduled=first)), Allow)
    assert isinstance(governor.judge(call(presented=presented, scheduled=then)), expected)


def test_r37_an_evicted_decision_counts_as_used() -> None:
    governance = Governance(rules=[ASK])
    governor = Governor(policy=governance.policy, admissions=Admissions(kept=2))
    terms = [ask(governance, key=str(number)) for number in range(4)]
    presented = [
        governance.decide(each, decided_at=NOW + timedelta(seconds=number)).model_dump_json()
        for number, each in enumerate(terms)
    ]

    def judged(number: int, activity_id: str) -> Any:
        at = NOW + timedelta(minutes=1)
        made = call(presented=presented[number], key=str(number), scheduled=scheduled(activity_id), now=at)
        return governor.judge(made)

    for number in range(3):
        assert isinstance(judged(number, "1"), Allow)
    assert isinstance(judged(0, "2"), Ask), "the first was evicted"
    assert isinstance(judged(3, "1"), Allow)


@pytest.mark.parametrize(
    ("attempt", "later_seconds", "expected"),
    [(1, 3599, Allow), (1, 3601, Ask), (7, 3599, Allow), (7, 3601, Ask), (1, -59, Allow), (1, -61, Ask), (7, -61, Ask)],
)
def test_r37_a_decisions_date_is_checked_at_its_first_admission_regardless_of_the_attempt(
    attempt: int, later_seconds: float, expected: type
) -> None:
    _, governor, presented = governed()
    now = NOW + timedelta(seconds=later_seconds)
    made = call(presented=presented, now=now, scheduled=scheduled(attempt=attempt))
    assert isinstance(governor.judge(made), expected)


def test_attempts_of_an_admitted_activity_pass_after_the_decision_is_too_old() -> None:
    _, governor, presented = governed()
    assert isinstance(governor.judge(call(presented=presented)), Allow)
    late = call(presented=presented, now=LATER, scheduled=scheduled(attempt=9))
    assert isinstance(governor.judge(late), Allow)


def test_r37_an_attempt_allowed_by_policy_does_not_use_the_decision() -> None:
    """Policy allowed attempt 1 without using the decision: its date is checked when it is first needed."""
    governance, governor, presented = governed()
    governance.change(rules=())
    assert isinstance(governor.judge(call(presented=presented)), Allow)
    governance.change(rules=(ASK,))
    again = call(presented=presented, now=LATER, scheduled=scheduled(attempt=2))
    assert isinstance(governor.judge(again), Ask)


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
    """Otherwise writes would be allowed under it until that time, whatever was forbidden since."""
    cache = tmp_path / "policy.json"
    kept = Snapshot(version=1, made_at=NOW, public_keys={"k": "a"})
    cache.write_text(json.dumps({"confirmed_at": time.time() + ahead, "document": kept.model_dump_json()}))
    source = PolicySource(AWAY, cache)
    await source.start()
    try:
        assert source.snapshot == kept
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
    """A process that was frozen briefly has an old policy. Here no notification and no refresh arrives in time either."""
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


async def test_a_snapshot_that_did_not_change_is_confirmed_without_being_read_again(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With agents' instructions in it a snapshot is no longer small, and every worker asks every two seconds."""
    read: list[str | None] = []
    take = PolicySource._take

    def taken(source: PolicySource, document: str | None, asked: Any) -> None:
        read.append(document)
        take(source, document, asked)

    monkeypatch.setattr(PolicySource, "_take", taken)
    agents = {"desk": {"version": "edit-1", "instructions": "x" * 50_000}}
    await publish(postgres_dsn, agents=agents)
    # The file on disk is another database's, whose snapshot has the same number.
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
