"""Two people answer one approval at the same moment: one answer counts, and everything says the same one."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tests.e2e.conftest import Loop

PAIRS = 24
AT_ONCE = 10
SEED = 25


async def raced(loop: Loop, chance: random.Random) -> tuple[str, dict[str, Any], list[str]]:
    """A run whose approval got both answers at once, in either order; with the approval and both commands' ids."""
    run_id = await loop.start("gated", "rejectable")
    approval = await loop.approval(run_id)
    answers = [("reviewer", "approved"), ("second", "rejected")]
    chance.shuffle(answers)

    async def answer(who: str, verdict: str) -> str | None:
        async with loop.api.client(who) as http:
            answer = await http.post(
                f"/api/v1/approvals/{approval['approval_id']}/decisions",
                json={"verdict": verdict, "digest": approval["digest"]},
            )
        # The second one may find the gate closed already; nothing else may go wrong.
        assert answer.status_code in (202, 409), answer.text
        return answer.json()["command"]["command_id"] if answer.status_code == 202 else None

    commands = await asyncio.gather(*(answer(who, verdict) for who, verdict in answers))
    await loop.until(run_id, timeout_seconds=60)
    return run_id, approval, [each for each in commands if each is not None]


async def test_r25_of_racing_decisions_one_counts_in_history_tables_commands_and_the_run(loop: Loop) -> None:
    rule = {"effect": "require_approval", "approvers": ["role:approver"], "expires_seconds": 600}
    await loop.call("admin", "PUT", "/tools/refund/policy", json=rule)
    chance, gate = random.Random(SEED), asyncio.Semaphore(AT_ONCE)

    async def bounded() -> tuple[str, dict[str, Any], list[str]]:
        async with gate:
            return await raced(loop, chance)

    both, won = 0, []
    for run_id, approval, commands in await asyncio.gather(*(bounded() for _ in range(PAIRS))):
        ended = await loop.call("auditor", "GET", f"/approvals/{approval['approval_id']}")
        verdict = ended["status"]
        won.append(verdict)
        counted = [each for each in ended["decisions"] if each["judged"] == "counted"]
        assert [each["verdict"] for each in counted] == [verdict]
        assert {each["judged"] for each in ended["decisions"]} <= {"counted", "superseded"}
        settled = [await loop.call("auditor", "GET", f"/commands/{command}") for command in commands]
        assert sorted(each["status"] for each in settled) == ["applied", "superseded"][: len(settled)]
        applied = next(each for each in settled if each["status"] == "applied")
        assert applied["command_id"] == counted[0]["command_id"]
        result = (await loop.call("operator", "GET", f"/runs/{run_id}/result"))["result"]["value"]
        assert result.startswith("refunded" if verdict == "approved" else "rejected")
        both += len(commands) == 2
    assert both > PAIRS // 4, "hardly any pair really raced"
    assert set(won) == {"approved", "rejected"}, "one side always won: the race never turned"
