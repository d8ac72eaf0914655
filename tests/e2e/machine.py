"""All requests about runs, in any order, by any principal: a Hypothesis state machine for the real loop.

A run reacts with a delay, so the machine predicts a response only if the run is at rest, with no command in flight. Otherwise it only checks
that the response is a possible one.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, multiple, rule
from temporalio.client import WorkflowExecutionStatus

from agentgrid.domain.runs import RUN_VERBS, RunStatus, Verb
from tests import oracle
from tests.e2e.conftest import ENDED, Loop

DECIDERS = ("reviewer", "second", "both")
IN_FLIGHT = ("pending", "delivered")
IN_TEMPORAL = {
    WorkflowExecutionStatus.COMPLETED: "completed",
    WorkflowExecutionStatus.FAILED: "failed",
    WorkflowExecutionStatus.CANCELED: "cancelled",
    WorkflowExecutionStatus.TERMINATED: "terminated",
}


@dataclass
class TrackedRun:
    """A run and the commands sent to it."""

    run_id: str
    initiator: str
    at_rest: bool = False
    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class RunMachine(RuleBasedStateMachine):
    """Starts runs and sends them every command that the API offers."""

    world: Loop
    wait: Callable[[Coroutine[Any, Any, Any]], Any]
    """Runs a coroutine in the servers' event loop and returns its result: the machine has its own thread."""

    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.scope = uuid.uuid4().hex[:8]
        self.started: dict[tuple[str, str], tuple[str, TrackedRun]] = {}
        self.all: list[TrackedRun] = []

    def request(self, who: str, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            async with self.world.api.client(who) as http:
                return await http.request(method, f"/api/v1{path}", **options)

        answer: httpx.Response = type(self).wait(send())
        assert answer.status_code < 500, f"{method} {path}: {answer.status_code} {answer.text}"
        if answer.status_code >= 400:
            problem = answer.json()
            assert problem["code"]
            assert problem["detail"]
        return answer

    def read(self, run: TrackedRun) -> dict[str, Any]:
        current: dict[str, Any] = self.request("auditor", "GET", f"/runs/{run.run_id}").json()
        return current

    def commands(self, run: TrackedRun) -> list[dict[str, Any]]:
        answer = self.request("auditor", "GET", f"/commands?run={run.run_id}&limit=200").json()
        items: list[dict[str, Any]] = answer["items"]
        return items

    def rest(self, run: TrackedRun) -> None:
        """Wait until no command is in flight and the run has reacted to all of them."""

        def resting() -> bool:
            if any(command["status"] in IN_FLIGHT for command in self.commands(run)):
                return False
            current = self.read(run)
            if current["status"] in (*ENDED, "paused"):
                return True
            # One event opens an approval, a later one makes it decidable.
            approvals = self.request("auditor", "GET", f"/runs/{run.run_id}/approvals").json()["items"]
            opening = any(approval["status"] == "pending" and not approval["decidable"] for approval in approvals)
            return current["status"] == "waiting" and current["waiting_on"] in ("approval", "signal") and not opening

        self.until(resting, lambda: f"never came to rest: {self.read(run)}, {self.commands(run)}")
        run.at_rest = True

    def until(self, probe: Callable[[], bool], message: Callable[[], str]) -> None:
        async def pause() -> None:
            await asyncio.sleep(0.03)

        for _ in range(600):
            if probe():
                return
            type(self).wait(pause())
        raise AssertionError(message())

    @rule(
        target=runs,
        who=st.sampled_from(["operator", "both"]),
        case=st.sampled_from(["rejectable", "explicit", "forever"]),
        key=st.sampled_from(["a", "b"]),
        rest=st.booleans(),
    )
    def start(self, who: str, case: str, key: str, rest: bool) -> Any:
        """The same idempotency key with the same body returns the same run; with another body, it conflicts."""
        headers = {"Idempotency-Key": f"{self.scope}-{key}"}
        answer = self.request(who, "POST", "/workflows/gated/runs", json={"input": case}, headers=headers)
        earlier = self.started.get((who, key))
        if earlier is not None:
            if earlier[0] != case:
                assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")
            else:
                assert (answer.status_code, answer.headers["idempotent-replayed"]) == (200, "true")
                assert answer.json()["run_id"] == earlier[1].run_id
            return multiple()
        assert answer.status_code == 201
        run = TrackedRun(run_id=answer.json()["run_id"], initiator=who)
        run.accepted.append(answer.json()["command"]["command_id"])
        self.started[who, key] = (case, run)
        self.all.append(run)
        if rest:
            self.rest(run)
        return run

    @rule(run=runs, verb=st.sampled_from([verb for verb in Verb if verb is not Verb.UPDATE]), rest=st.booleans())
    def act(self, run: TrackedRun, verb: Verb, rest: bool) -> None:
        """The status determines whether the verb is possible; a refusal names that status."""
        before = RunStatus(self.read(run)["status"])
        body = {"name": "nudge"} if verb is Verb.SIGNAL else {"reason": "machine"}
        answer = self.request("operator", "POST", f"/runs/{run.run_id}/{verb.value}", json=body)
        assert answer.status_code in (202, 409)
        if run.at_rest:
            assert (answer.status_code == 202) == (before in RUN_VERBS[verb]), f"{verb} when {before}: {answer.text}"
        self.note(run, answer, before if run.at_rest else None)
        if rest:
            self.rest(run)

    @rule(
        run=runs,
        verdict=st.sampled_from(["approved", "rejected"]),
        who=st.sampled_from([*DECIDERS, *DECIDERS, "operator", "admin", "robot", "agent"]),
        right=st.sampled_from([True, True, True, False]),
        times=st.integers(1, 2),
        rest=st.booleans(),
    )
    def decide(self, run: TrackedRun, verdict: str, who: str, right: bool, times: int, rest: bool) -> None:
        """Only once, by an approver who isn't the initiator, and with the right digest."""
        for _ in range(times):
            approvals = self.request("auditor", "GET", f"/runs/{run.run_id}/approvals").json()["items"]
            if not approvals:
                return
            approval = approvals[0]
            answer = self.request(
                who,
                "POST",
                f"/approvals/{approval['approval_id']}/decisions",
                json={"verdict": verdict, "digest": approval["digest"] if right else "0" * 64},
            )
            if who not in DECIDERS:
                assert answer.status_code == 403
            elif who == run.initiator:
                assert answer.status_code in (403, 409)
            elif not right:
                assert answer.status_code == 409
            elif run.at_rest:
                assert (answer.status_code == 202) == approval["decidable"], answer.text
            else:
                assert answer.status_code in (202, 409)
            self.note(run, answer, None)
        if rest:
            self.rest(run)

    def note(self, run: TrackedRun, answer: httpx.Response, status: RunStatus | None) -> None:
        """Record the command of a response, and check that a refusal names the current status."""
        if answer.status_code == 202:
            run.accepted.append(answer.json()["command"]["command_id"])
            run.at_rest = False
            return
        problem = answer.json()
        run.refused.append(problem["command_id"])
        if problem["code"] == "conflict":
            assert problem["current_status"]
        if status is not None:
            assert problem["current_status"] == status

    def teardown(self) -> None:
        """End all runs, and check that history, tables, commands and API agree on how each ended."""
        for run in self.all:
            answer = self.request("operator", "POST", f"/runs/{run.run_id}/terminate", json={"reason": "over"})
            assert answer.status_code in (202, 409)
            self.note(run, answer, None)
        for run in self.all:
            self.rest(run)
            self.check(run)
        super().teardown()

    def check(self, run: TrackedRun) -> None:
        ended = self.read(run)
        assert ended["status"] in ENDED
        commands = {command["command_id"]: command["status"] for command in self.commands(run)}
        assert {commands[command_id] for command_id in run.accepted} <= {"applied", "superseded"}
        assert {commands[command_id] for command_id in run.refused} <= {"refused", "failed", "superseded"}
        assert set(commands) == {*run.accepted, *run.refused}
        for summary in self.request("auditor", "GET", f"/runs/{run.run_id}/approvals").json()["items"]:
            approval = self.request("auditor", "GET", f"/approvals/{summary['approval_id']}").json()
            counted = [decision for decision in approval["decisions"] if decision["judged"] == "counted"]
            assert approval["status"] != "pending"
            assert [decision["verdict"] for decision in counted] == [
                verdict for verdict in ("approved", "rejected") if approval["status"] == verdict
            ]
            assert not {decision["principal"] for decision in counted} & {
                run.initiator,
                "operator",
                "admin",
                "robot",
                "agent",
            }

        async def compared() -> None:
            described = await self.world.client.get_workflow_handle(run.run_id).describe()
            assert described.status is not None
            assert IN_TEMPORAL[described.status] == ended["status"]

            async def probe() -> tuple[Any, Any, Any]:
                steps = await self.world.call("auditor", "GET", f"/runs/{run.run_id}/steps?limit=200")
                approvals = await self.world.call("auditor", "GET", f"/runs/{run.run_id}/approvals")
                return await self.world.run(run.run_id), steps["items"], approvals["items"]

            await oracle.eventually(self.world.client, probe)

        type(self).wait(compared())
