"""How long the projector waits before it reads, and with whom it writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentgrid.projector.batches import Batches
from agentgrid.projector.pace import BUSY, CALM, CLAIMS_PER_DELAY, LEAST_DELAY, LONGEST_DELAY, Pace


def looking(pace: Pace, *, executions: int, looks: int = 10, since: float = 0.0) -> Pace:
    """The pace after so many executions have each been looked at so often within a second."""
    for look in range(looks):
        pace.looked([f"{since} {number}" for number in range(executions)], at=since + look / looks)
    return pace


def test_a_few_executions_wait_as_briefly_as_can_be_however_often_they_move() -> None:
    assert Pace().delay == LEAST_DELAY
    assert looking(Pace(), executions=CALM, looks=50).delay == LEAST_DELAY


def test_the_delay_grows_with_the_executions_that_move_and_has_an_end() -> None:
    delays = [looking(Pace(), executions=count).delay for count in (CALM, CALM + 4, CALM + 8, BUSY, 100 * BUSY)]
    assert delays == sorted(delays)
    assert LEAST_DELAY < delays[1] < delays[2] < LONGEST_DELAY
    assert delays[-2] == delays[-1] == LONGEST_DELAY


def test_the_delay_is_short_again_soon_after_a_burst() -> None:
    pace = looking(Pace(), executions=3 * BUSY)
    assert pace.delay == LONGEST_DELAY
    pace.looked(["another"], at=2.5)
    assert pace.active == 1
    assert pace.delay == LEAST_DELAY


def test_the_urgent_wait_for_one_claim_and_no_longer() -> None:
    assert Pace().brief == LEAST_DELAY
    assert looking(Pace(), executions=BUSY).brief == LONGEST_DELAY / CLAIMS_PER_DELAY


async def test_pieces_that_come_together_are_written_together() -> None:
    batches: list[list[int]] = []
    everybody = asyncio.Event()

    async def write(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        return [item * 2 for item in items]

    async def linger() -> None:
        await everybody.wait()

    writer: Batches[int, int] = Batches(write, linger=linger)
    running = asyncio.create_task(writer.run())
    first = [asyncio.create_task(writer.put(number)) for number in range(3)]
    await asyncio.sleep(0)
    assert batches == []
    everybody.set()
    assert await asyncio.gather(*first) == [0, 2, 4]
    assert batches == [[0, 1, 2]]
    running.cancel()


async def test_a_poisonous_piece_harms_no_other() -> None:
    async def write(items: Sequence[int]) -> list[int]:
        if 13 in items:
            raise ValueError("thirteen")
        return list(items)

    writer: Batches[int, int] = Batches(write)
    pieces = [asyncio.create_task(writer.put(number)) for number in (12, 13, 14)]
    await asyncio.sleep(0)
    running = asyncio.create_task(writer.run())
    found = await asyncio.gather(*pieces, return_exceptions=True)
    assert [found[0], found[2]] == [12, 14]
    assert isinstance(found[1], ValueError)
    running.cancel()
