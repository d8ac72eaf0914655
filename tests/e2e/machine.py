"""Everything that may be asked of runs, in any order, by anybody: a state machine for hypothesis, over the real loop.

What a run does of itself takes its time, so the machine foretells an answer only where the run is at rest: nothing asked of it is still on its
way. Everywhere else it says which answers are possible at all.
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
UNDER_WAY = ("pending", "delivered")
IN_TEMPORAL = {
    WorkflowExecutionStatus.COMPLETED: "completed",
    WorkflowExecutionStatus.FAILED: "failed",
    WorkflowExecutionStatus.CANCELED: "cancelled",
    WorkflowExecutionStatus.TERMINATED: "terminated",
}


@dataclass
class Asked:
    """A run and what was asked of it."""

    run_id: str
    initiator: str
    at_rest: bool = False
    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class RunMachine(RuleBasedStateMachine):
    """Starts runs and does to them whatever the API offers."""

    world: Loop
    wait: Callable[[Coroutine[Any, Any, Any]], Any]
    """Runs a coroutine in the loop of the servers, and gives its result: the machine itself has a thread of its own."""

    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.scope = uuid.uuid4().hex[:8]
        self.started: dict[tuple[str, str], tuple[str, Asked]] = {}
        self.all: list[Asked] = []

    def ask(self, who: str, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            async with self.world.api.client(who) as http:
                return await http.request(method, f"/api/v1{path}", **options)

        answer: httpx.Response = type(self).wait(once())
        assert answer.status_code < 500, f"{method} {path}: {answer.status_code} {answer.text}"
        if answer.status_code >= 400:
            problem = answer.json()
            assert problem["code"]
            assert problem["detail"]
        return answer

    def seen(self, run: Asked) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("auditor", "GET", f"/runs/{run.run_id}").json()
        return found

    def commands(self, run: Asked) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("auditor", "GET", f"/commands?run={run.run_id}&limit=200").json()[
            "items"
        ]
        return found

    def rest(self, run: Asked) -> None:
        """Wait until nothing that was asked is on its way, and the run has done what comes of it."""

        def resting() -> bool:
            if any(command["status"] in UNDER_WAY for command in self.commands(run)):
                return False
            now = self.seen(run)
            if now["status"] in (*ENDED, "paused"):
                return True
            # The worker asks in one event, and its gate opens in a later one.
            gates = self.ask("auditor", "GET", f"/runs/{run.run_id}/approvals").json()["items"]
            opening = any(gate["status"] == "pending" and not gate["decidable"] for gate in gates)
            return now["status"] == "waiting" and now["waiting_on"] in ("approval", "signal") and not opening

        self.until(resting, lambda: f"never came to rest: {self.seen(run)}, {self.commands(run)}")
        run.at_rest = True

    def until(self, look: Callable[[], bool], complaint: Callable[[], str]) -> None:
        async def moment() -> None:
            await asyncio.sleep(0.03)

        for _ in range(600):
            if look():
                return
            type(self).wait(moment())
        raise AssertionError(complaint())

    @rule(
        target=runs,
        who=st.sampled_from(["operator", "both"]),
        case=st.sampled_from(["rejectable", "explicit", "forever"]),
        key=st.sampled_from(["a", "b"]),
        rest=st.booleans(),
    )
    def start(self, who: str, case: str, key: str, rest: bool) -> Any:
        """The same key and body is the same run; with another body it is a conflict."""
        headers = {"Idempotency-Key": f"{self.scope}-{key}"}
        answer = self.ask(who, "POST", "/workflows/gated/runs", json={"input": case}, headers=headers)
        before = self.started.get((who, key))
        if before is not None:
            if before[0] != case:
                assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")
            else:
                assert (answer.status_code, answer.headers["idempotent-replayed"]) == (200, "true")
                assert answer.json()["run_id"] == before[1].run_id
            return multiple()
        assert answer.status_code == 201
        run = Asked(run_id=answer.json()["run_id"], initiator=who)
        run.accepted.append(answer.json()["command"]["command_id"])
        self.started[who, key] = (case, run)
        self.all.append(run)
        if rest:
            self.rest(run)
        return run

    @rule(run=runs, verb=st.sampled_from([verb for verb in Verb if verb is not Verb.UPDATE]), rest=st.booleans())
    def act(self, run: Asked, verb: Verb, rest: bool) -> None:
        """Possible or not as the status says, which the refusal names."""
        before = RunStatus(self.seen(run)["status"])
        body = {"name": "nudge"} if verb is Verb.SIGNAL else {"reason": "machine"}
        answer = self.ask("operator", "POST", f"/runs/{run.run_id}/{verb.value}", json=body)
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
    def decide(self, run: Asked, verdict: str, who: str, right: bool, times: int, rest: bool) -> None:
        """Only by somebody who may, who isn't the initiator, who was shown the very thing, and only once."""
        for _ in range(times):
            found = self.ask("auditor", "GET", f"/runs/{run.run_id}/approvals").json()["items"]
            if not found:
                return
            approval = found[0]
            answer = self.ask(
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

    def note(self, run: Asked, answer: httpx.Response, status: RunStatus | None) -> None:
        """Keep the command of an answer, and see that a refusal says what it must."""
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
        """End everything, and ask history, tables, commands and API for the end: they tell the same one."""
        for run in self.all:
            answer = self.ask("operator", "POST", f"/runs/{run.run_id}/terminate", json={"reason": "over"})
            assert answer.status_code in (202, 409)
            self.note(run, answer, None)
        for run in self.all:
            self.rest(run)
            self.check(run)
        super().teardown()

    def check(self, run: Asked) -> None:
        ended = self.seen(run)
        assert ended["status"] in ENDED
        commands = {command["command_id"]: command["status"] for command in self.commands(run)}
        assert {commands[each] for each in run.accepted} <= {"applied", "superseded"}
        assert {commands[each] for each in run.refused} <= {"refused", "failed", "superseded"}
        assert set(commands) == {*run.accepted, *run.refused}
        for summary in self.ask("auditor", "GET", f"/runs/{run.run_id}/approvals").json()["items"]:
            approval = self.ask("auditor", "GET", f"/approvals/{summary['approval_id']}").json()
            counted = [each for each in approval["decisions"] if each["judged"] == "counted"]
            assert approval["status"] != "pending"
            assert [each["verdict"] for each in counted] == [
                verdict for verdict in ("approved", "rejected") if approval["status"] == verdict
            ]
            assert not {each["principal"] for each in counted} & {run.initiator, "operator", "admin", "robot", "agent"}

        async def compared() -> None:
            described = await self.world.client.get_workflow_handle(run.run_id).describe()
            assert described.status is not None
            assert IN_TEMPORAL[described.status] == ended["status"]

            async def again() -> tuple[Any, Any, Any]:
                steps = await self.world.call("auditor", "GET", f"/runs/{run.run_id}/steps?limit=200")
                approvals = await self.world.call("auditor", "GET", f"/runs/{run.run_id}/approvals")
                return await self.world.run(run.run_id), steps["items"], approvals["items"]

            await oracle.eventually(self.world.client, again)

        type(self).wait(compared())
