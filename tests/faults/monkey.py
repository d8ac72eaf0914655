"""The faults: target, kind and duration, all drawn from a seed in advance."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentgrid.servers import EmbeddedServer
from tests.faults.processes import Program, freeze, is_frozen, kill_server, restart, thaw
from tests.faults.stage import Stage

PROGRAMS = ("worker", "api", "projector")
SERVERS = ("temporal", "postgres")
LONGEST_DOWN_SECONDS = 5.0
LONGEST_FREEZE_SECONDS = 8.0
PAUSES = (1.0, 5.0)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault."""

    kind: str
    """`kill`, `restart`, `freeze` or `cut`."""
    target: str
    seconds: float
    """Its duration."""
    pause: float
    """The time without faults afterwards."""

    def __str__(self) -> str:
        return f"{self.kind} {self.target} {self.seconds:.1f} s"


def draw_fault(rng: random.Random) -> Fault:
    """A random fault. Programs are only killed and frozen; other tests cover their shutdown."""
    kind = rng.choices(("kill", "freeze", "restart", "cut"), weights=(6, 2, 1, 1))[0]
    targets = {"restart": SERVERS, "cut": ("postgres",)}.get(kind, PROGRAMS + SERVERS)
    longest = LONGEST_FREEZE_SECONDS if kind == "freeze" else LONGEST_DOWN_SECONDS
    return Fault(
        kind=kind,
        target=rng.choice(targets),
        seconds=round(rng.uniform(0, longest), 1),
        pause=round(rng.uniform(*PAUSES), 1),
    )


def one_of_each(rng: random.Random) -> list[Fault]:
    """One kill of every process and one freeze of every server, in random order, for a short soak."""
    faults = [("kill", target, 1.0) for target in PROGRAMS + SERVERS] + [("freeze", target, 3.0) for target in SERVERS]
    rng.shuffle(faults)
    return [Fault(kind=kind, target=target, seconds=seconds, pause=1.5) for kind, target, seconds in faults]


class Monkey:
    """Causes the faults, and checks that each really happened."""

    def __init__(self, stage: Stage, rng: random.Random, *, report: Callable[[str], None] = print) -> None:
        self._stage = stage
        self._rng = rng
        self._report = report
        self.fired: Counter[str] = Counter()
        """The number of faults, by kind and target."""

    async def cause_all(self, faults: Sequence[Fault]) -> None:
        """Cause one fault after another. Afterwards all processes are running again."""
        for fault in faults:
            self._report(str(fault))
            await self.cause(fault)
            self.fired[f"{fault.kind} {fault.target}"] += 1
            await asyncio.sleep(fault.pause)

    async def cause(self, fault: Fault) -> None:
        """Cause one fault, and undo it after its duration."""
        if fault.kind == "cut":
            await self._cut(fault)
        elif fault.target in SERVERS:
            await self._server(self._stage.temporal if fault.target == "temporal" else self._stage.postgres, fault)
        else:
            await self._program(self._rng.choice(self._stage.of(fault.target)), fault)

    async def _program(self, program: Program, fault: Fault) -> None:
        if fault.kind == "freeze":
            await self._freeze(program.pid, fault.seconds)
        else:
            await program.kill()
            await asyncio.sleep(fault.seconds)
            program.start()

    async def _server(self, server: EmbeddedServer, fault: Fault) -> None:
        if fault.kind == "freeze":
            await self._freeze(server.pid, fault.seconds)
            return
        if fault.kind == "kill":
            await kill_server(server)
        else:
            await server.stop()
        await asyncio.sleep(fault.seconds)
        await restart(server)

    async def _freeze(self, pid: int, seconds: float) -> None:
        frozen = freeze(pid)
        try:
            await asyncio.sleep(seconds)
            assert is_frozen(pid)
        finally:
            thaw(frozen)

    async def _cut(self, fault: Fault) -> None:
        """Terminate all database sessions, including listeners, once a second."""
        cut = 0
        for _ in range(1 + round(fault.seconds)):
            cut += await cut_connections(self._stage)
            await asyncio.sleep(1)
        assert cut


async def cut_connections(stage: Stage) -> int:
    """Terminate all database sessions except this one. Returns their number."""
    async with stage.database() as database:
        ended: int = await database.fetchval(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    return ended
