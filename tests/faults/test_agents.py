"""A worker killed while an agent is running: only the request in flight is repeated, but no completed call of a model or tool."""

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
    """Two parallel effects, one that needs approval, an answer. The first request of the first and third turn is never answered."""
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


async def test_after_five_kills_of_its_worker_an_agents_run_has_repeated_no_completed_call(
    stage: Stage, tmp_path: Path
) -> None:
    (original,) = stage.of("worker")
    original.end()
    async with Provider(script, log=tmp_path / "provider.jsonl") as provider:
        worker = stage.add("worker", 0, **provider.environment)
        worker.start()
        run_id = await stage.start("delegate_errand", "please")

        async def kill_during_request(turn: int) -> None:
            await provider.wait(
                lambda requests: any(request.turn == turn and request.state == "received" for request in requests),
                timeout_seconds=60,
            )
            await worker.kill()
            worker.start()

        await kill_during_request(0)  # in a model turn
        await stage.until(lambda: _landed(stage, run_id, "first", "second"), "both calls have landed")
        await worker.kill()  # in a tool, after its effect
        worker.start()
        approval = await stage.approval(run_id)
        await worker.kill()  # at the approval
        body = {"verdict": "approved", "digest": approval["digest"]}
        await stage.call("second", "POST", f"/approvals/{approval['approval_id']}/decisions", 202, json=body)
        worker.start()  # the decision came while no worker was running
        await kill_during_request(2)
        run = await stage.ended(run_id, seconds=120)

        assert run["status"] == "completed"
        assert checks.effects(stage, run_id) == {"first": 1, "second": 1, "removed": 1, "last": 1}
        answered = Counter(request.turn for request in provider.requests if request.answered)
        assert answered == {0: 1, 1: 1, 2: 1, 3: 1}, "an answered request was repeated"
        sent = Counter(request.turn for request in provider.requests)
        assert sent == {0: 2, 1: 1, 2: 2, 3: 1}, "only requests in flight may be repeated"
        billed = [request.billed for request in provider.requests if request.answered and request.billed is not None]
        assert run["usage"]["input_tokens"] == sum(usage.input_tokens for usage in billed)
        assert run["usage"]["output_tokens"] == sum(usage.output_tokens for usage in billed)
        assert len(checks.attempts(stage, run_id, "second")) == 1, "a completed call of a tool was repeated"
        steps = (await stage.call("operator", "GET", f"/runs/{run_id}/steps?limit=200"))["items"]
        assert {step["status"] for step in steps} == {"completed"}
        await checks.mirrored(stage, [run_id])
        worker.end()
        assert await checks.rebuilt(stage)
    stage.add("worker", 0)


async def _landed(stage: Stage, run_id: str, *steps: str) -> bool:
    return set(steps) <= checks.effects(stage, run_id).keys()
