"""The projection's lag, backlog and checks, in `projector_state` and as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from agentgrid.projector import queue
from agentgrid.projector.store import Store
from agentgrid.projector.sweep import CheckResult

REPORT_SECONDS = 2.0
LAG = "lag"

lag_seconds = Gauge(
    "agentgrid_projector_lag_seconds",
    "Age in seconds of the oldest pending change, not counting executions that fail to project.",
)
backlog = Gauge("agentgrid_projector_backlog", "Executions that are due to be projected.")
failing = Gauge("agentgrid_projector_failing", "Executions whose last projection attempt failed.")
reads = Gauge(
    "agentgrid_projector_reads", "Calls to Temporal since the process started, by kind (label `sort`).", ["sort"]
)
swept = Counter("agentgrid_projector_swept", "Executions found by the sweep that no touch had reported.")
checked = Counter("agentgrid_projector_checked", "Executions refolded from their history and compared with their rows.")
unknown = Counter("agentgrid_projector_unknown", "Touches of executions that Temporal doesn't know.")
drifted = Counter("agentgrid_projector_drifted", "Executions whose rows differed from their history and were repaired.")


def count_check(result: CheckResult) -> None:
    """Add the result of one round of checks to the metrics."""
    checked.inc(result.checked)
    drifted.inc(result.drifted)


async def report(store: Store, *, calls: Mapping[str, int], last_error: str | None) -> None:
    """Store and export the current lag and backlog."""
    size = await queue.backlog(store.pool)
    lag_seconds.set(size.oldest_seconds)
    backlog.set(size.due)
    failing.set(size.failing)
    for kind, count in calls.items():
        reads.labels(kind).set(count)
    value = {
        "lag_seconds": round(size.oldest_seconds, 3),
        "backlog": size.due,
        "failing": size.failing,
        "reads": sum(calls.values()),
        "calls": dict(calls),
        "last_error": last_error,
    }
    await store.keep(LAG, value)
