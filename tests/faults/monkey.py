"""The faults: which process, what happens to it and for how long, all drawn from a seed before the first one."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentgrid.servers import EmbeddedServer
from tests.faults.processes import Program, freeze, is_frozen, kill_server, start_again, thaw
from tests.faults.stage import Stage

PROGRAMS = ("worker", "api", "projector")
SERVERS = ("temporal", "postgres")
LONGEST_DOWN_SECONDS = 5.0
LONGEST_FREEZE_SECONDS = 8.0
PAUSES = (1.0, 5.0)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    kind: str
    """`kill`, `restart`, `freeze` or `cut`."""
    target: str
    seconds: float
    """For how long it stays wrong."""
    pause: float
    """How long nothing else goes wrong afterwards."""

    def __str__(self) -> str:
        return f"{self.kind} {self.target} {self.seconds:.1f} s"


def drawn(chance: random.Random) -> Fault:
    """Some fault. Programs are only killed and frozen: what they do when they are asked to end is tested elsewhere."""
    kind = chance.choices(("kill", "freeze", "restart", "cut"), weights=(6, 2, 1, 1))[0]
    targets = {"restart": SERVERS, "cut": ("postgres",)}.get(kind, PROGRAMS + SERVERS)
    longest = LONGEST_FREEZE_SECONDS if kind == "freeze" else LONGEST_DOWN_SECONDS
    return Fault(
        kind=kind,
        target=chance.choice(targets),
        seconds=round(chance.uniform(0, longest), 1),
        pause=round(chance.uniform(*PAUSES), 1),
    )


def each(chance: random.Random) -> list[Fault]:
    """Every process killed once and every server frozen once, in an order of its own: what a short form must not leave to chance."""
    wanted = [("kill", target, 1.0) for target in PROGRAMS + SERVERS] + [("freeze", target, 3.0) for target in SERVERS]
    chance.shuffle(wanted)
    return [Fault(kind=kind, target=target, seconds=seconds, pause=1.5) for kind, target, seconds in wanted]


class Monkey:
    """Does what was drawn, and sees each time that it really happened."""

    def __init__(self, stage: Stage, chance: random.Random, *, say: Callable[[str], None] = print) -> None:
        self._stage = stage
        self._chance = chance
        self._say = say
        self.fired: Counter[str] = Counter()
        """What has happened, by kind and target."""

    async def plague(self, faults: Sequence[Fault]) -> None:
        """One fault after another; when it returns everything runs again."""
        for fault in faults:
            self._say(str(fault))
            await self.do(fault)
            self.fired[f"{fault.kind} {fault.target}"] += 1
            await asyncio.sleep(fault.pause)

    async def do(self, fault: Fault) -> None:
        """Let it go wrong, and be well again."""
        if fault.kind == "cut":
            await self._cut(fault)
        elif fault.target in SERVERS:
            await self._server(self._stage.temporal if fault.target == "temporal" else self._stage.postgres, fault)
        else:
            await self._program(self._chance.choice(self._stage.of(fault.target)), fault)

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
        await start_again(server)

    async def _freeze(self, pid: int, seconds: float) -> None:
        frozen = freeze(pid)
        try:
            await asyncio.sleep(seconds)
            assert is_frozen(pid)
        finally:
            thaw(frozen)

    async def _cut(self, fault: Fault) -> None:
        """End every session of the database, those that listen too, once a second."""
        cut = 0
        for _ in range(1 + round(fault.seconds)):
            cut += await cut_connections(self._stage)
            await asyncio.sleep(1)
        assert cut


async def cut_connections(stage: Stage) -> int:
    """End every session of the database but this one; how many."""
    async with stage.database() as database:
        ended: int = await database.fetchval(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    return ended
