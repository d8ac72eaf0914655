"""Two people decide one approval at the same moment: one decision counts, and all records agree which."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tests.e2e.conftest import Loop

PAIRS = 24
AT_ONCE = 10
SEED = 25


async def race(loop: Loop, rng: random.Random) -> tuple[str, dict[str, Any], list[str]]:
    """Start a run and send both decisions at once, in either order. Returns run id, approval, and the ids of the accepted commands."""
    run_id = await loop.start("gated", "rejectable")
    approval = await loop.approval(run_id)
    decisions = [("reviewer", "approved"), ("second", "rejected")]
    rng.shuffle(decisions)

    async def decide(who: str, verdict: str) -> str | None:
        async with loop.api.client(who) as http:
            response = await http.post(
                f"/api/v1/approvals/{approval['approval_id']}/decisions",
                json={"verdict": verdict, "digest": approval["digest"]},
            )
        # The second decision may find the approval closed; no other error is allowed.
        assert response.status_code in (202, 409), response.text
        return response.json()["command"]["command_id"] if response.status_code == 202 else None

    commands = await asyncio.gather(*(decide(who, verdict) for who, verdict in decisions))
    await loop.until(run_id, timeout_seconds=60)
    return run_id, approval, [command_id for command_id in commands if command_id is not None]


async def test_r25_of_racing_decisions_one_counts_in_history_tables_commands_and_the_run(loop: Loop) -> None:
    rule = {"effect": "require_approval", "approvers": ["role:approver"], "expires_seconds": 600}
    await loop.call("admin", "PUT", "/tools/refund/policy", json=rule)
    rng, slots = random.Random(SEED), asyncio.Semaphore(AT_ONCE)

    async def bounded() -> tuple[str, dict[str, Any], list[str]]:
        async with slots:
            return await race(loop, rng)

    both, won = 0, []
    for run_id, approval, commands in await asyncio.gather(*(bounded() for _ in range(PAIRS))):
        ended = await loop.call("auditor", "GET", f"/approvals/{approval['approval_id']}")
        verdict = ended["status"]
        won.append(verdict)
        counted = [decision for decision in ended["decisions"] if decision["judged"] == "counted"]
        assert [decision["verdict"] for decision in counted] == [verdict]
        assert {decision["judged"] for decision in ended["decisions"]} <= {"counted", "superseded"}
        settled = [await loop.call("auditor", "GET", f"/commands/{command}") for command in commands]
        assert sorted(command["status"] for command in settled) == ["applied", "superseded"][: len(settled)]
        applied = next(command for command in settled if command["status"] == "applied")
        assert applied["command_id"] == counted[0]["command_id"]
        result = (await loop.call("operator", "GET", f"/runs/{run_id}/result"))["result"]["value"]
        assert result.startswith("refunded" if verdict == "approved" else "rejected")
        both += len(commands) == 2
    assert both > PAIRS // 4, "hardly any pair of decisions raced"
    assert set(won) == {"approved", "rejected"}, "the same side always won"
