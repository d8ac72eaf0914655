"""Prometheus metrics of one API process."""

from __future__ import annotations

import time
from collections.abc import Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentgrid.db.runs import Counts
from agentgrid.db.tables import WorkerBudget

MEDIA_TYPE = CONTENT_TYPE_LATEST
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one application, in a registry of their own so that two applications in one process don't mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "agentgrid_http_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "agentgrid_http_request_seconds",
            "Time to the first byte of the response.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._runs = Gauge(
            "agentgrid_runs",
            "Open runs now, and runs closed in the last day, by status.",
            ("status",),
            registry=self._registry,
        )
        self._waiting = Gauge(
            "agentgrid_runs_waiting_for_approval",
            "Open runs waiting for a decision.",
            registry=self._registry,
        )
        self._stuck = Gauge(
            "agentgrid_runs_stuck",
            "Open runs that wait for a worker or whose workflow task keeps failing.",
            registry=self._registry,
        )
        self._commands = Gauge("agentgrid_commands_pending", "Commands not yet delivered.", registry=self._registry)
        self._lag = Gauge(
            "agentgrid_projection_lag_seconds",
            "How far the projection lags behind Temporal's history.",
            registry=self._registry,
        )
        self._refused = Gauge(
            "agentgrid_signals_refused",
            "Decision signals of the last day without effect: unsigned, forged, or for another approval.",
            registry=self._registry,
        )
        self._reports = Gauge(
            "agentgrid_worker_reports_refused",
            "Worker reports refused since the database server last crashed: sent too fast, malformed, or not about the login's queues.",
            ("login", "why"),
            registry=self._registry,
        )
        self._unattributed = Gauge(
            "agentgrid_signals_unattributed",
            "Effective decisions, pauses and resumes of the last day not confirmed by a registered signing key and a matching command.",
            registry=self._registry,
        )
        self._reads_dropped = Gauge(
            "agentgrid_reads_dropped",
            "Reads, including refused ones, that this process did not record because its buffer was full.",
            registry=self._registry,
        )
        self._read_failures = Gauge(
            "agentgrid_reads_write_failures",
            "Failed attempts of this process to write its read records to the database; each is retried.",
            registry=self._registry,
        )
        self._streams = Gauge("agentgrid_event_streams", "Open event streams.", registry=self._registry)
        self._waiters = Gauge("agentgrid_result_waiters", "Requests waiting for a run to end.", registry=self._registry)

    def answered(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def observe(
        self,
        *,
        runs: Counts,
        pending_commands: int,
        refused_signals: int,
        unattributed_signals: int,
        lag_seconds: float | None,
        streams: int,
        waiters: int,
        budgets: Sequence[WorkerBudget],
        reads_dropped: int,
        read_failures: int,
    ) -> None:
        """Set the gauges."""
        for budget in budgets:
            self._reports.labels(budget.login, "too_fast").set(budget.dropped)
            self._reports.labels(budget.login, "malformed").set(budget.bad)
            self._reports.labels(budget.login, "unattributed").set(budget.unattributed)
        for status, count in runs.by_status.items():
            self._runs.labels(status.value).set(count)
        self._waiting.set(runs.waiting_for_approval)
        self._stuck.set(runs.stuck)
        self._commands.set(pending_commands)
        self._refused.set(refused_signals)
        self._unattributed.set(unattributed_signals)
        self._lag.set(float("nan") if lag_seconds is None else lag_seconds)
        self._streams.set(streams)
        self._waiters.set(waiters)
        self._reads_dropped.set(reads_dropped)
        self._read_failures.set(read_failures)

    def text(self) -> bytes:
        """All metrics in Prometheus text format."""
        return generate_latest(self._registry)


class Measured:
    """ASGI middleware that counts and times requests by route pattern, not by path, because the number of paths is unbounded."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.answered(
                    method=scope["method"] if scope["method"] in _METHODS else "other",
                    route=getattr(scope.get("route"), "path", "none"),
                    status=message["status"],
                    seconds=time.perf_counter() - started,
                )
            await send(message)

        await self._app(scope, receive, timed)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
