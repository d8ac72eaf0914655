"""A schedule's signed memo is valid only for the starts that it names."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentgrid.control.signing import Signer
from agentgrid.domain.canonical import canonical
from agentgrid.domain.memos import MAX_BYTES, MAX_LIFETIME, ScheduledStart, ScheduleMemo, verified_schedule
from agentgrid.projector import identity
from agentgrid.projector.history_events import Started
from agentgrid.protocol import RunMemo

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SIGNER = Signer.of(Ed25519PrivateKey.generate())
KEYS = {SIGNER.key_id: SIGNER.public_key}
START = ScheduledStart(
    namespace="default",
    scheduled_by="nightly",
    workflow_id="report-2026-05-01T12:00:00Z",
    workflow="report",
    task_queue="reports",
    input_digest="d" * 64,
    started_at=NOW,
    child=False,
)


def memo(**changed: Any) -> ScheduleMemo:
    fields: dict[str, Any] = {
        "namespace": "default",
        "schedule_id": "nightly",
        "workflow_id": "report",
        "workflow": "report",
        "task_queue": "reports",
        "input_digest": "d" * 64,
        "not_before": NOW - timedelta(days=1),
        "expires_at": NOW + timedelta(days=1),
        "initiator": "alice",
        "command_id": "c",
    }
    return ScheduleMemo(**(fields | changed))


def wire(signed: ScheduleMemo | RunMemo, **changed: Any) -> dict[str, Any]:
    return signed.model_dump(mode="json", exclude_none=True) | changed


def test_a_memo_is_valid_for_the_start_that_it_names() -> None:
    result = verified_schedule(wire(SIGNER.schedule_memo(memo())), START, KEYS)
    assert result is not None
    assert result.initiator == "alice"


@pytest.mark.parametrize(
    "changed",
    [
        {"namespace": "other-grid"},
        {"scheduled_by": "hourly"},
        {"scheduled_by": None},
        {"workflow_id": "report"},
        {"workflow_id": "report-2026-05-01T12:00:00Z-2"},
        {"workflow_id": "report-x-2026-05-01T12:00:00Z"},
        {"workflow_id": "other-2026-05-01T12:00:00Z"},
        {"workflow": "payout"},
        {"task_queue": "payments"},
        {"input_digest": "e" * 64},
        {"started_at": NOW - timedelta(days=2)},
        {"started_at": NOW + timedelta(days=1)},
        {"child": True},
    ],
    ids=str,
)
def test_a_memo_copied_to_another_start_is_ignored(changed: dict[str, Any]) -> None:
    assert verified_schedule(wire(SIGNER.schedule_memo(memo())), replace(START, **changed), KEYS) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"initiator": "cfo"},
        {"expires_at": "2027-01-01T00:00:00Z"},
        {"note": "added"},
        {"added": "a field that this version does not know"},
        {"signature": base64.b64encode(b"0" * 64).decode()},
        {"signature": "not base64"},
        {"signature": None},
        {"key_id": "another"},
        {"not_before": "no time"},
        {"form": "run"},
    ],
    ids=str,
)
def test_a_changed_or_forged_memo_is_ignored(changed: dict[str, Any]) -> None:
    assert verified_schedule(wire(SIGNER.schedule_memo(memo()), **changed), START, KEYS) is None


def test_a_huge_memo_is_ignored_even_if_it_is_signed() -> None:
    signed = SIGNER.schedule_memo(memo(tags=("x",) * (MAX_BYTES // 4)))
    assert verified_schedule(wire(signed), START, KEYS) is None


def test_a_deeply_nested_memo_is_ignored() -> None:
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    assert verified_schedule(wire(SIGNER.schedule_memo(memo()), tags=deep), START, KEYS) is None


def test_an_unregistered_key_under_a_registered_id_is_ignored() -> None:
    stranger = Signer.of(Ed25519PrivateKey.generate())
    forged = wire(stranger.schedule_memo(memo()), key_id=SIGNER.key_id)
    assert verified_schedule(forged, START, KEYS) is None


def test_a_memo_is_valid_for_at_most_a_year() -> None:
    with pytest.raises(ValueError, match="at most 366 days"):
        memo(expires_at=NOW + MAX_LIFETIME)


def test_neither_form_of_memo_passes_for_the_other() -> None:
    """An attacker converts one signed memo into the other form, or has a schedule's memo signed the way a run's memo is."""
    as_run = wire(SIGNER.schedule_memo(memo()), run_id=START.workflow_id)
    del as_run["form"]
    signed_run = SIGNER.memo(RunMemo(run_id=START.workflow_id, initiator="alice", command_id="c"))
    as_schedule = wire(memo(key_id=SIGNER.key_id))
    plain = base64.b64encode(SIGNER.private_key.sign(canonical(as_schedule))).decode()
    for claimed in (as_run, wire(signed_run, **wire(memo())), as_schedule | {"signature": plain}):
        started = Started(
            event_id=1,
            at=NOW,
            workflow=START.workflow,
            task_queue=START.task_queue,
            first_execution_id="e",
            kind="first",  # type: ignore[arg-type]
            memo=claimed,
            scheduled_by=START.scheduled_by,
            input_digest=START.input_digest,
        )
        assert identity.verified(started, workflow_id=START.workflow_id, namespace="default", keys=KEYS) is None
