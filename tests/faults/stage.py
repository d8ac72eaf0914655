"""An installation of separate processes, as in production, which can be killed individually."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import asyncpg
import httpx
from temporalio.client import Client

from agentgrid.control import signing
from agentgrid.db import migrate
from agentgrid.servers import PostgresServer, TemporalServer
from agentgrid.servers.child import HOST, clean_environment
from agentgrid.settings import Settings
from agentgrid.temporal.client import connect
from tests.api.conftest import make_tokens
from tests.conftest import control_login, worker_login
from tests.faults.processes import Program, restart, steady_port
from tests.faults.subject import ledger
from tests.forks import COMMAND_LINE, PROGRAMS, Forks

SUBJECT = Path(__file__).parent / "subject"
DATABASE = "faults"
ENDED = ("completed", "failed", "cancelled", "terminated", "timed_out")
REQUEST_SECONDS = 12.0
READY_SECONDS = 90.0


class Stage:
    """Servers and programs, with helpers for users' requests.

    apis, projectors, workers: the number of processes of each. durable: whether PostgreSQL waits for the disk (it survives
    a kill either way). database_home: PostgreSQL's folder, if not in `home`.
    """

    def __init__(
        self,
        home: Path,
        *,
        apis: int = 1,
        projectors: int = 1,
        workers: int = 1,
        durable: bool = True,
        database_home: Path | None = None,
    ) -> None:
        self.home = home
        self.temporal = TemporalServer(home / "temporal", port=steady_port())
        self.postgres = PostgresServer(database_home or home / "postgres", port=steady_port(), durable=durable)
        self.ledger = home / "ledger.db"
        self.ports: list[int] = []
        """The ports of the APIs, by number."""
        self._counts = {"api": apis, "projector": projectors, "worker": workers}
        self.programs: dict[str, Program] = {}
        self.tokens: dict[str, str] = {}
        self._http: dict[tuple[str, int], httpx.AsyncClient] = {}

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            for folder in (self.home / "temporal", self.home / "postgres"):
                folder.mkdir(mode=0o711, exist_ok=True)
            self._forks = stack.enter_context(Forks(PROGRAMS))
            await stack.enter_async_context(self.temporal)
            await stack.enter_async_context(self.postgres)
            await self._prepare()
            stack.callback(lambda: [program.end() for program in self.programs.values()])
            stack.push_async_callback(self._close)
            await self.healed()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _prepare(self) -> None:
        dsn = await self.postgres.create_database(DATABASE)
        await migrate.upgrade(dsn)
        self._worker_dsn = await worker_login(dsn, name="worker")
        self._control_dsn = await control_login(dsn)
        self.tokens = await make_tokens(dsn)
        signing.create(self.home / "signing.pem")
        ledger.make(self.ledger)
        for role, count in self._counts.items():
            for number in range(count):
                self.add(role, number)

    @property
    def dsn(self) -> str:
        return self.postgres.dsn_of(DATABASE)

    @property
    def settings(self) -> Settings:
        """Settings as the projector has them, for use in a test itself."""
        return Settings(database_url=self.dsn, temporal_address=self.temporal.address, home=self.home)  # type: ignore[arg-type]

    async def client(self) -> Client:
        """A Temporal client with AgentGrid's data converter."""
        return await connect(self.settings, identity="faults")

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A superuser's database connection."""
        connection = await asyncpg.connect(self.dsn, server_settings={"application_name": "faults"})
        try:
            yield connection
        finally:
            connection.terminate()

    # --- programs ----------------------------------------------------------------------------------------------------

    def add(self, role: str, number: int, *, code: str = COMMAND_LINE, **environment: str) -> Program:
        """Add a program of this role, without starting it. code: Python code equivalent to the `agentgrid` command."""
        common = {
            **clean_environment("AGENTGRID_", "PYTEST_"),
            "AGENTGRID_DATABASE_URL": self._control_dsn,
            "AGENTGRID_TEMPORAL_ADDRESS": self.temporal.address,
            "AGENTGRID_LOG_LEVEL": "info",
            ledger.VARIABLE: str(self.ledger),
        }
        arguments = [role]
        if role == "api":
            while len(self.ports) <= number:
                self.ports.append(steady_port())
            common["AGENTGRID_SIGNING_KEY_FILE"] = str(self.home / "signing.pem")
            arguments += ["--port", str(self.ports[number])]
        if role == "worker":
            common["AGENTGRID_DATABASE_URL"] = self._worker_dsn
        name = f"{role}-{number}"
        self.programs[name] = Program(
            name, self._forks, code, arguments, home=self.home, environment={**common, **environment}, cwd=SUBJECT
        )
        return self.programs[name]

    def remove(self, program: Program) -> None:
        """Remove an added program."""
        program.end()
        del self.programs[program.name]
        if program.name.startswith("api-"):
            self.ports.pop()
            self._http = {key: client for key, client in self._http.items() if key[1] < len(self.ports)}

    def of(self, role: str) -> list[Program]:
        """The programs of this role."""
        return [program for name, program in self.programs.items() if name.startswith(f"{role}-")]

    async def healed(self) -> None:
        """Start all servers and programs that have ended, and wait until they serve requests."""
        for server in (self.temporal, self.postgres):
            if server.returncode is not None:
                await restart(server)
        for program in self.programs.values():
            program.start()
        await self.until(self._all_serve, "all programs serve requests", seconds=READY_SECONDS)
        async with self.database() as database:
            since = await database.fetchval("SELECT clock_timestamp()")
            reported = "SELECT updated_at > $1 FROM projector_state WHERE name = 'lag'"
            await self.until(
                lambda: database.fetchval(reported, since), "a projector is running", seconds=READY_SECONDS
            )

    async def _all_serve(self) -> bool:
        for number in range(len(self.ports)):
            answer = await self.request("viewer", "GET", "/workflows/run_errand", api=number)
            if answer is None or answer.status_code != 200 or not answer.json()["served"]:
                return False
        ready = await self.request(None, "GET", "/readyz")
        return ready is not None and ready.status_code == 200 and ready.json()["status"] == "ready"

    async def _close(self) -> None:
        for client in self._http.values():
            await client.aclose()

    def tails(self) -> str:
        """The last lines of each process's log, for failure messages."""
        tails = []
        for file in sorted(self.home.glob("**/logs/*.log")):
            tails.append(f"--- {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-15:]))
        return "\n".join(tails)

    # --- requests ----------------------------------------------------------------------------------------------------

    def http(self, who: str | None, api: int = 0) -> httpx.AsyncClient:
        """An HTTP client for one API process."""
        key = (who or "", api)
        if key not in self._http:
            headers = {} if who is None else {"Authorization": f"Bearer {self.tokens[who]}"}
            self._http[key] = httpx.AsyncClient(
                base_url=f"http://{HOST}:{self.ports[api]}", headers=headers, timeout=REQUEST_SECONDS
            )
        return self._http[key]

    async def request(
        self, who: str | None, method: str, path: str, *, api: int = 0, **options: Any
    ) -> httpx.Response | None:
        """Send a request. Returns the response, or None without one."""
        url = path if who is None else f"/api/v1{path}"
        try:
            return await self.http(who, api).request(method, url, **options)
        except httpx.TransportError:
            return None

    async def call(self, who: str, method: str, path: str, expect: int = 200, **options: Any) -> Any:
        """Send a request, and check the response's status. Returns its JSON."""
        answer = await self.http(who).request(method, f"/api/v1{path}", **options)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    async def start(self, workflow: str, value: Any, **more: Any) -> str:
        """Start a run. Returns its id."""
        return str(
            (await self.call("operator", "POST", f"/workflows/{workflow}/runs", 201, json={"input": value}, **more))[
                "run_id"
            ]
        )

    async def run(self, run_id: str) -> dict[str, Any]:
        run: dict[str, Any] = await self.call("operator", "GET", f"/runs/{run_id}")
        return run

    async def ended(self, run_id: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until the run has ended. Returns the run."""
        return await self.run_until(run_id, lambda run: run["status"] in ENDED, "ends", seconds=seconds)

    async def run_until(
        self,
        run_id: str,
        condition: Callable[[dict[str, Any]], bool],
        what: str,
        *,
        seconds: float = 60.0,
        every: float = 0.1,
    ) -> dict[str, Any]:
        """Wait until the run meets the condition. Returns the run."""

        async def probe() -> dict[str, Any] | None:
            answer = await self.request("operator", "GET", f"/runs/{run_id}")
            if answer is None or answer.status_code != 200:
                return None
            run: dict[str, Any] = answer.json()
            return run if condition(run) else None

        result: dict[str, Any] = await self.until(probe, f"run {run_id} {what}", seconds=seconds, every=every)
        return result

    async def approval(self, run_id: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until an approval of the run can be decided. Returns it."""

        async def probe() -> dict[str, Any] | None:
            answer = await self.request("second", "GET", f"/approvals?run={run_id}&status=pending")
            items = answer.json()["items"] if answer is not None and answer.status_code == 200 else []
            return next((item for item in items if item["decidable"]), None)

        approval: dict[str, Any] = await self.until(probe, f"an approval of {run_id} can be decided", seconds=seconds)
        return approval

    async def let_last(self, seconds: float) -> None:
        """Let the current fault last for this long."""
        await asyncio.sleep(max(0.0, seconds))

    async def until(
        self, probe: Callable[[], Awaitable[Any]], what: str, *, seconds: float = 30.0, every: float = 0.1
    ) -> Any:
        """Poll until the probe returns something truthy, and return that. On timeout, the error has the last lines of all logs."""
        deadline = time.monotonic() + seconds
        while not (result := await probe()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {what}\n{self.tails()}")
            await asyncio.sleep(every)
        return result


def new_home() -> Path:
    """A temporary folder, accessible to the account that PostgreSQL uses when tests run as root."""
    home = Path(tempfile.mkdtemp(prefix="agentgrid-faults-"))
    home.chmod(0o711)
    return home


@contextlib.asynccontextmanager
async def new_stage(**options: Any) -> AsyncIterator[Stage]:
    """A stage in a temporary folder, which is deleted afterwards."""
    home = new_home()
    try:
        async with Stage(home, **options) as stage:
            yield stage
    finally:
        shutil.rmtree(home, ignore_errors=True)


if str(SUBJECT) not in sys.path:  # so that the ledger can be imported under the same name as in the worker
    sys.path.append(str(SUBJECT))
