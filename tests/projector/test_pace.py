"""How long the projector delays its reads, and how it batches its writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentgrid.projector.batches import Batches
from agentgrid.projector.pace import BUSY, CALM, CLAIMS_PER_DELAY, LEAST_DELAY, LONGEST_DELAY, Pace


def looking(pace: Pace, *, executions: int, looks: int = 10, since: float = 0.0) -> Pace:
    """The pace after this many executions were looked at this often within a second."""
    for look in range(looks):
        pace.looked([f"{since} {number}" for number in range(executions)], at=since + look / looks)
    return pace


def test_few_active_executions_have_the_shortest_delay_however_often_they_are_looked_at() -> None:
    assert Pace().delay == LEAST_DELAY
    assert looking(Pace(), executions=CALM, looks=50).delay == LEAST_DELAY


def test_the_delay_grows_with_the_number_of_active_executions_up_to_a_maximum() -> None:
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


def test_urgent_changes_wait_for_one_claim_only() -> None:
    assert Pace().brief == LEAST_DELAY
    assert looking(Pace(), executions=BUSY).brief == LONGEST_DELAY / CLAIMS_PER_DELAY


async def test_items_that_are_ready_together_are_written_together() -> None:
    batches: list[list[int]] = []
    all_ready = asyncio.Event()

    async def write(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        return [item * 2 for item in items]

    async def linger() -> None:
        await all_ready.wait()

    writer: Batches[int, int] = Batches(write, linger=linger)
    running = asyncio.create_task(writer.run())
    first = [asyncio.create_task(writer.put(number)) for number in range(3)]
    await asyncio.sleep(0)
    assert batches == []
    all_ready.set()
    assert await asyncio.gather(*first) == [0, 2, 4]
    assert batches == [[0, 1, 2]]
    running.cancel()


async def test_an_item_that_fails_does_not_affect_the_others() -> None:
    async def write(items: Sequence[int]) -> list[int]:
        if 13 in items:
            raise ValueError("thirteen")
        return list(items)

    writer: Batches[int, int] = Batches(write)
    puts = [asyncio.create_task(writer.put(number)) for number in (12, 13, 14)]
    await asyncio.sleep(0)
    running = asyncio.create_task(writer.run())
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert [results[0], results[2]] == [12, 14]
    assert isinstance(results[1], ValueError)
    running.cancel()
