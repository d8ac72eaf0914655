"""A worker that is killed while an agent works: at most the request in flight is made again, and no completed call of a model or tool."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from agentgrid.testing import Call, Turn
from agentgrid.testing.provider import Provider
from agentgrid.testing.turns import Conversation
from tests.faults import checks
from tests.faults.stage import Stage

FOREVER = 500.0


def script(conversation: Conversation) -> Turn:
    """Two effects at once, one that asks, an answer. The first request of the first and third turn is never answered."""
    hangs = FOREVER if conversation.attempt == 1 and conversation.turn in (0, 2) else 0.0
    match conversation.turn:
        case 0:
            both = [Call("enter", {"step": "first", "hold": "after"}), Call("enter", {"step": "second"})]
            return Turn(calls=both, delay_seconds=hangs)
        case 1:
            return Turn(calls=[Call("remove", {"step": "removed"})])
        case 2:
            return Turn(calls=[Call("enter", {"step": "last"})], delay_seconds=hangs)
    return Turn(text="all entered")


async def test_a_worker_killed_at_five_points_of_an_agents_run_repeats_no_completed_call(
    stage: Stage, tmp_path: Path
) -> None:
    (usual,) = stage.of("worker")
    usual.end()
    async with Provider(script, log=tmp_path / "provider.jsonl") as provider:
        worker = stage.add("worker", 0, **provider.environment)
        worker.start()
        run_id = await stage.start("delegate_errand", "please")

        async def kill_when_asked(turn: int) -> None:
            await provider.wait(
                lambda requests: any(each.turn == turn and each.state == "received" for each in requests),
                timeout_seconds=60,
            )
            await worker.kill()
            worker.start()

        await kill_when_asked(0)  # in a model turn
        await stage.until(lambda: _landed(stage, run_id, "first", "second"), "both calls have landed")
        await worker.kill()  # in a tool, after its effect
        worker.start()
        approval = await stage.approval(run_id)
        await worker.kill()  # at the approval
        body = {"verdict": "approved", "digest": approval["digest"]}
        await stage.call("second", "POST", f"/approvals/{approval['approval_id']}/decisions", 202, json=body)
        worker.start()  # a decision that came while no worker lived
        await kill_when_asked(2)
        run = await stage.ended(run_id, seconds=120)

        assert run["status"] == "completed"
        assert checks.effects(stage, run_id) == {"first": 1, "second": 1, "removed": 1, "last": 1}
        answered = Counter(each.turn for each in provider.requests if each.answered)
        assert answered == {0: 1, 1: 1, 2: 1, 3: 1}, "an answered request was made again"
        asked = Counter(each.turn for each in provider.requests)
        assert asked == {0: 2, 1: 1, 2: 2, 3: 1}, "only what was in flight may be asked again"
        billed = [each.billed for each in provider.requests if each.answered and each.billed is not None]
        assert run["usage"]["input_tokens"] == sum(each.input_tokens for each in billed)
        assert run["usage"]["output_tokens"] == sum(each.output_tokens for each in billed)
        assert len(checks.attempts(stage, run_id, "second")) == 1, "a completed call of a tool was made again"
        steps = (await stage.call("operator", "GET", f"/runs/{run_id}/steps?limit=200"))["items"]
        assert {step["status"] for step in steps} == {"completed"}
        await checks.mirrored(stage, [run_id])
        worker.end()
        assert await checks.rebuilt(stage)
    stage.add("worker", 0)


async def _landed(stage: Stage, run_id: str, *steps: str) -> bool:
    return set(steps) <= checks.effects(stage, run_id).keys()
