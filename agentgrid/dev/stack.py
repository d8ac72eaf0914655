"""The stack of `agentgrid dev`: servers, preparation, AgentGrid's processes. Started in order, stopped in reverse, every wait bounded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.project import PROJECT_FILE, Example, Project, load_project
from agentgrid.dev.children import ManagedChild
from agentgrid.dev.environments import Environments, Places, inherited_environment, without_signing_key
from agentgrid.dev.models import model_variables
from agentgrid.dev.ports import choose_ports
from agentgrid.dev.prepare import prepare
from agentgrid.dev.terminal import Terminal
from agentgrid.errors import SettingsError
from agentgrid.servers import EmbeddedServer, PostgresServer, TemporalServer
from agentgrid.servers.child import HOST, Child, ServerError, ended_within, make_home
from agentgrid.servers.lease import Lease

API_READY_SECONDS = 45.0
API_MAX_CRASHES = 3
WORKER_READY_SECONDS = 45.0
SETUP_SECONDS = 300.0
CHECK_SECONDS = 60.0
STOP_SECONDS = {"worker": 14.0, "projector": 8.0, "api": 8.0}
"""A worker gives running activities ten seconds to finish."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command-line options."""

    ports: Mapping[str, int | None]
    reload: bool = True
    only_servers: bool = False
    ready_file: Path | None = None


class Stack:
    """Everything that `agentgrid dev` runs. `async with` starts and stops it."""

    def __init__(self, project: Project, home: Path, options: Options, terminal: Terminal) -> None:
        self.project = project
        self.home = home
        self.children: dict[str, ManagedChild] = {}
        self.faults: tuple[str, ...] = ()
        """The faults in the project's code, by the last check."""
        self.example_fault: str | None = None
        """Why the project's example can't be started, by the last check."""
        self.agents: tuple[str, ...] = ()
        """The project's agents, by the last check."""
        self._options = options
        self._terminal = terminal
        self._places: Places | None = None

    @property
    def example(self) -> Example | None:
        """The run to suggest; None if it can't be started."""
        return self.project.example if self.example_fault is None else None

    @property
    def places(self) -> Places:
        """Available once the servers have started."""
        if self._places is None:
            raise RuntimeError("the stack is not up")
        return self._places

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Start everything, and stop it when the block ends."""
        make_home(self.home)
        async with AsyncExitStack() as stack:
            lease = Lease.take(self.home / "dev.lock")
            stack.callback(lease.release)
            ports = choose_ports(self.home, self._options.ports, self._terminal.say)
            self._terminal.say("starting Temporal and PostgreSQL")
            temporal = TemporalServer(self.home, port=ports["temporal"])
            postgres = PostgresServer(self.home, port=ports["postgres"])
            await self._start_servers(stack, temporal, postgres)
            self._places = Places(
                home=self.home,
                api_url=f"http://{HOST}:{ports['api']}",
                temporal_address=temporal.address,
            )
            prepared = await prepare(
                self.home, postgres.dsn, self.places.api_url, self.project.principals, self._terminal.say
            )
            environments = Environments(
                places=self.places, prepared=prepared, project_variables=self.project.environment
            )
            environments.write_file()
            await self._run_setup(environments.worker())
            if not self._options.only_servers:
                await self._start_processes(stack, ports["api"], environments)
            for server in (temporal, postgres):
                stack.push_async_callback(_cancelled, asyncio.create_task(self._guard(server)))
            yield

    async def _stop_children(self) -> None:
        """Stop all processes concurrently."""
        await asyncio.gather(*(child.stop() for child in self.children.values()))

    def kill(self) -> None:
        """Kill AgentGrid's processes now; the servers are still stopped in order."""
        for child in self.children.values():
            child.kill()

    async def check(self) -> tuple[str, ...]:
        """Check the project's code in a fresh process. Returns its faults."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agentgrid.cli.main", "check", "-o", "json"),
            cwd=self.project.root,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=inherited_environment(),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                out, err = await process.communicate()
        except TimeoutError:
            return (f"importing the project's code took longer than {CHECK_SECONDS:g} s",)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        self.example_fault = None
        try:
            report = json.loads(out.splitlines()[-1])
            self.agents = tuple(report.get("agents", self.agents))
            faults = report["faults"]
            stale = [fault["message"] for fault in faults if fault["kind"] == "example"]
            self.example_fault = stale[0] if stale else None
            return tuple(fault["message"] for fault in faults if fault["kind"] != "example")
        except (ValueError, KeyError, IndexError):
            return (err.decode(errors="replace").strip() or f"`agentgrid check` exited with code {process.returncode}",)

    async def code_changed(self, files: list[str]) -> None:
        """Restart the worker with the new code; if that has faults, keep the worker on the old code."""
        names = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        worker = self.children["worker"]
        self.faults = await self.check()
        if PROJECT_FILE in files:
            self._say_if_principals_changed()
        self._say_example_fault()
        if not self.faults:
            self._terminal.say(f"{names} changed: restarting the worker", style="green")
            worker.restart()
            return
        consequence = (
            "the worker keeps running the old code" if worker.pid else "no worker will run until they are fixed"
        )
        self._terminal.say(f"{names} changed: {len(self.faults)} fault(s), {consequence}", style="bold red")
        for fault in self.faults:
            self._terminal.say(f"  {fault}", style="red")

    def _say_if_principals_changed(self) -> None:
        """Changed principals take effect only at a start, when their owner is watching."""
        with contextlib.suppress(SettingsError):
            if load_project(self.project.root).principals != self.project.principals:
                self._terminal.say(
                    f"the principals in {PROJECT_FILE} have changed: restart agentgrid dev to apply them"
                )

    def _say_example_fault(self) -> None:
        if self.example_fault is not None:
            self._terminal.say(self.example_fault, style="bold red")

    async def ready(self) -> bool:
        """Wait until the suggested example can be started; False if it takes too long or can never be started."""
        if self.project.example is not None and not self.faults:
            self.faults = await self.check()
            self._say_example_fault()
        example = self.example
        key = (self.home / "keys" / "operator.key").read_text().strip()
        url = f"{self.places.api_url}/api/v1/workflows" + (f"/{example.workflow}" if example else "?limit=1")
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=5, trust_env=False) as http:

            async def registered() -> bool:
                if self.faults:
                    raise _CanNeverStart
                answer = await http.get(url)
                if answer.status_code != 200:
                    return False
                content = answer.json()
                items = [content] if example else content["items"]
                return bool(items) and items[0].get("served") is not False

            try:
                return await _eventually(registered, WORKER_READY_SECONDS)
            except _CanNeverStart:
                return False

    async def _start_servers(self, stack: AsyncExitStack, *servers: EmbeddedServer) -> None:
        """Start the servers concurrently. Those that started are stopped at the end, even if another failed."""
        for server in servers:
            stack.push_async_callback(server.stop)
        results = await asyncio.gather(*(server.start() for server in servers), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _start_processes(self, stack: AsyncExitStack, port: int, environments: Environments) -> None:
        control_plane = environments.control_plane()
        self._child("projector", ["projector"], without_signing_key(control_plane))
        self._child("api", ["api", "--port", str(port)], control_plane)
        environment = environments.worker() | model_variables()
        self._child("worker", ["worker"], environment, restart_is_pointless=self._worker_has_faults)
        stack.push_async_callback(self._stop_children)
        for child in self.children.values():
            await child.start()
        await self._api_answers(port)

    async def _worker_has_faults(self) -> bool:
        """Whether the code has faults, which were reported and which only a code change can fix."""
        self.faults = await self.check()
        if not self.faults or not self._options.reload:
            return False
        self._terminal.say("no worker will run until the project's code is fixed", style="bold red")
        return True

    def _child(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        *,
        restart_is_pointless: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        child = ManagedChild(
            name,
            arguments,
            home=self.home,
            cwd=self.project.root,
            environment=environment,
            terminal=self._terminal,
            stop_seconds=STOP_SECONDS[name],
            restart_is_pointless=restart_is_pointless,
        )
        self.children[name] = child

    async def _api_answers(self, port: int) -> None:
        api = self.children["api"]
        async with httpx.AsyncClient(timeout=2, trust_env=False) as http:

            async def healthy() -> bool:
                if api.crashes >= API_MAX_CRASHES:
                    raise ServerError(f"the API doesn't start; see {api.log_file}")
                # Another API may have taken the port first, and it would answer too.
                return api.listens(port) and (await http.get(f"{self.places.api_url}/healthz")).status_code == 200

            if not await _eventually(healthy, API_READY_SECONDS):
                raise ServerError(
                    f"the API did not answer within {API_READY_SECONDS:g} s; see {self.home}/logs/api.log"
                )

    async def _run_setup(self, environment: Mapping[str, str]) -> None:
        """Run the project's setup command, which creates what its tools need."""
        if not self.project.setup:
            return
        command = list(self.project.setup)
        if command[0] in ("python", "python3"):
            command[0] = sys.executable
        self._terminal.say(" ".join(self.project.setup), who="setup")
        try:
            child = Child.spawn(
                command,
                log=self.home / "logs" / "setup.log",
                cwd=self.project.root,
                environment=environment,
                death_signal=signal.SIGTERM,
            )
        except OSError as error:
            raise CommandFailed(f"the project's setup command can't be run: {error}", ExitCode.FAILED) from None
        try:
            await ended_within(SETUP_SECONDS, lambda: child.returncode is not None)
        finally:
            child.kill()
        for line in child.log_tail().splitlines()[-12:]:
            self._terminal.relay("setup", line)
        if child.returncode != 0:
            raise CommandFailed(
                f"the project's setup command {' '.join(self.project.setup)!r} exited with code {child.returncode}; "
                f"its output is in {self.home}/logs/setup.log",
                ExitCode.FAILED,
            )

    async def _guard(self, server: EmbeddedServer) -> None:
        """Restart a server that ended unexpectedly."""
        pause = 1.0
        while True:
            code = await server.wait()
            self._terminal.say(f"{server.name} exited with code {code}; restarting it in {pause:g} s", style="bold red")
            await asyncio.sleep(pause)
            pause = min(30.0, pause * 2)
            await server.stop()
            try:
                await server.start()
            except ServerError as error:
                self._terminal.say(error.message, style="bold red")


class _CanNeverStart(Exception):
    """The example can never be started."""


async def _eventually(condition: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
            if await condition():
                return True
        await asyncio.sleep(0.2)
    return False


async def _cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
