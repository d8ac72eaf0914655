"""Compares AgentGrid's responses with what was read from Temporal, and describes every difference."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from tests.oracle.approvals import all_terms, forks
from tests.oracle.histories import ENDS, Execution, Json, as_json, events_of_type

OPEN = {"queued", "running", "waiting", "paused", "cancelling"}


def compare_run(run: Json, chain: list[Execution]) -> list[str]:
    tip = chain[-1]
    differing: list[str] = []

    def differ(what: str, shown: Any, truth: Any) -> None:
        if shown != truth:
            differing.append(f"{what}: AgentGrid says {shown!r}, Temporal {truth!r}")

    differ("execution_id", run.get("execution_id"), tip.execution_id)
    differ("workflow", run["workflow"], tip.events[0].workflow_execution_started_event_attributes.workflow_type.name)
    if tip.open:
        if run["status"] not in OPEN:
            differing.append(f"status: AgentGrid says {run['status']!r}, Temporal that it is open")
        pending = sum(status == "pending" for status in tip.approvals.values())
        differ("approvals_pending", run["approvals_pending"], pending)
        cancel_requests = events_of_type(tip.events, "workflow_execution_cancel_requested")
        if cancel_requests and run["status"] not in ("cancelling", "paused"):
            differing.append(f"status: AgentGrid says {run['status']!r}, but a cancel was requested")
        if pending and not cancel_requests and run["status"] not in ("waiting", "paused"):
            differing.append(f"status: AgentGrid says {run['status']!r}, but {pending} approvals are pending")
        return differing
    differ("status", run["status"], ENDS.get(tip.described.workflow_execution_info.status))
    closed_at = run["closed_at"]
    when = datetime.fromisoformat(closed_at) if isinstance(closed_at, str) else closed_at
    truth = tip.events[-1].event_time.ToMicroseconds()
    if when is None or abs(when.timestamp() * 1e6 - truth) > 2:
        differing.append(f"closed_at: AgentGrid says {when}, Temporal {truth} µs")
    differing += _compare_result(run, tip.events[-1])
    return differing


def _compare_result(run: Json, last: HistoryEvent) -> list[str]:
    if last.event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED or run.get("payloads_visible") is False:
        return []
    payloads = last.workflow_execution_completed_event_attributes.result.payloads
    shown = run.get("result")
    if not isinstance(shown, Mapping):
        return [f"result: AgentGrid says {shown!r}, Temporal has {len(payloads)} payloads"]
    if len(payloads) == 1 and "value" in shown and shown["value"] != as_json(payloads[0]):
        return [f"result: AgentGrid says {shown['value']!r}, Temporal {as_json(payloads[0])!r}"]
    if shown["size"] != sum(len(payload.data) for payload in payloads):
        return [f"result: AgentGrid says {shown['size']} bytes"]
    return []


def compare_steps(steps: list[Json], chain: list[Execution]) -> list[str]:
    ids = {execution.execution_id for execution in chain}
    shown = {(step["execution_id"], step["event_id"]): step for step in steps if step["execution_id"] in ids}
    truth = {(execution.execution_id, key): step for execution in chain for key, step in execution.steps.items()}
    differing = [f"step {key}: Temporal has no such step" for key in shown.keys() - truth.keys()]
    differing += [f"step {key}: AgentGrid doesn't have {truth[key]}" for key in truth.keys() - shown.keys()]
    for key in shown.keys() & truth.keys():
        step, (kind, name, status, attempts) = shown[key], truth[key]
        pairs = [("kind", kind), ("name", name), ("status", status)]
        differing += [
            f"step {key} {what}: AgentGrid says {step[what]!r}, Temporal {true!r}"
            for what, true in pairs
            if true != "*" and step[what] != true
        ]
        if attempts is not None and step["attempts"] < attempts:
            differing.append(f"step {key} attempts: AgentGrid says {step['attempts']}, Temporal {attempts}")
    return sorted(differing)


def compare_approvals(approvals: list[Json], chain: list[Execution]) -> list[str]:
    ids = {execution.execution_id for execution in chain}
    shown = {
        (approval["execution_id"], approval["approval_id"]): approval["status"]
        for approval in approvals
        if approval["execution_id"] in ids and not approval.get("inherited")
    }
    truth = {
        (execution.execution_id, key): status for execution in chain for key, status in execution.approvals.items()
    }
    differing = [f"approval {key}: Temporal has no such approval" for key in shown.keys() - truth.keys()]
    for key, status in sorted(truth.items()):
        if key not in shown:
            if _copied(chain, key):
                continue
            differing.append(f"approval {key}: AgentGrid doesn't have it; Temporal says {status!r}")
        elif shown[key] != status:
            differing.append(f"approval {key}: AgentGrid says {shown[key]!r}, Temporal {status!r}")
    return differing


def _copied(chain: list[Execution], key: tuple[str, str]) -> bool:
    """Whether the approval was opened before a reset's fork: such copies are omitted from lists."""
    execution = next(execution for execution in chain if execution.execution_id == key[0])
    terms = all_terms(execution)[key[1]]
    return bool(forks(execution)) and terms.execution_id != execution.execution_id
