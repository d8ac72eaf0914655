"""How far the projection is behind and when it was last checked, in `projector_state` and as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from agentgrid.projector import queue
from agentgrid.projector.store import Store
from agentgrid.projector.sweep import Checked

REPORT_SECONDS = 2.0
LAG = "lag"

lag_seconds = Gauge("agentgrid_projector_lag_seconds", "For how long the oldest healthy change has been waiting.")
backlog = Gauge("agentgrid_projector_backlog", "Executions that are due to be looked at.")
failing = Gauge("agentgrid_projector_failing", "Executions that could not be projected at the last try.")
reads = Gauge("agentgrid_projector_reads", "Calls to Temporal since the start, by sort.", ["sort"])
swept = Counter("agentgrid_projector_swept", "Executions that only the sweep found.")
checked = Counter("agentgrid_projector_checked", "Executions that were folded again and compared.")
unknown = Counter("agentgrid_projector_unknown", "Touches of executions that Temporal does not know.")
drifted = Counter("agentgrid_projector_drifted", "Executions whose rows differed from their history.")


def count_check(result: Checked) -> None:
    """Add one round of checks."""
    checked.inc(result.checked)
    drifted.inc(result.drifted)


async def report(store: Store, *, calls: Mapping[str, int], last_error: str | None) -> None:
    """Store and export how far the projection is now."""
    found = await queue.backlog(store.pool)
    lag_seconds.set(found.oldest_seconds)
    backlog.set(found.due)
    failing.set(found.failing)
    for sort, count in calls.items():
        reads.labels(sort).set(count)
    value = {
        "lag_seconds": round(found.oldest_seconds, 3),
        "backlog": found.due,
        "failing": found.failing,
        "reads": sum(calls.values()),
        "calls": dict(calls),
        "last_error": last_error,
    }
    await store.keep(LAG, value)
