"""Clients that start runs and decide approvals as careful programs do: each request under a key, sent again until it is answered.

What was answered with 2xx is acknowledged, and is held against AgentGrid afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.faults import checks
from tests.faults.stage import ENDED, Stage
from tests.faults.subject import ledger

APPROVERS = ("reviewer", "second")
LOOK_SECONDS = 0.3
LONGEST_RETRY_SECONDS = 1.0


@dataclass(kw_only=True)
class Job:
    """One run as it is meant to go."""

    reference: str
    errand: dict[str, Any]
    verdict: str = "approved"
    """The answer to each of its approvals."""
    run_id: str | None = None
    """Once the start was acknowledged."""

    @property
    def status(self) -> str:
        """What its run must come to."""
        return "failed" if self.verdict == "rejected" else "completed"

    @property
    def effects(self) -> Counter[str]:
        """What must have happened to the outside world by its end, without what its child does."""
        done = ["first"]
        if self.verdict == "rejected" and self.errand.get("ask"):
            return Counter(done)
        done.append("noted")
        if self.errand.get("remove"):
            if self.verdict == "rejected":
                return Counter(done)
            done.append("removed")
        return Counter([*done, "last"])


def drawn(chance: random.Random, reference: str) -> Job:
    """A run of some kind: without gates, with an explicit one, with one that policy asks for; some are rejected."""
    errand: dict[str, Any] = {
        "seconds": round(chance.uniform(0, 2), 2),
        "effort": round(chance.uniform(0, 1), 2),
        "parcel": chance.random() < 0.2,
    }
    kind = chance.choices(("plain", "ask", "remove"), weights=(5, 3, 2))[0]
    if kind == "plain":
        return Job(reference=reference, errand=errand)
    verdict = "rejected" if chance.random() < 0.2 else "approved"
    return Job(reference=reference, errand={**errand, kind: True}, verdict=verdict)


@dataclass
class Load:
    """So many runs, started at a pace over all APIs, and their approvals decided."""

    stage: Stage
    chance: random.Random
    runs: int
    pause_seconds: float = 0.2
    jobs: list[Job] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    """How requests were answered, by what and status; `none` where nobody answered."""
    wrong: list[str] = field(default_factory=list)
    """Answers that nothing which went wrong can excuse."""

    def __post_init__(self) -> None:
        self.name = f"load-{self.chance.getrandbits(32):08x}"
        self.jobs = [drawn(self.chance, f"{self.name}-{number}") for number in range(self.runs)]
        self._by_reference = {job.reference: job for job in self.jobs}
        self._deciding: set[str] = set()

    @property
    def acknowledged(self) -> list[str]:
        return [job.run_id for job in self.jobs if job.run_id is not None]

    @contextlib.asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        """Clients at work for as long as the block; at its end all starts are acknowledged and all runs have ended."""
        async with asyncio.TaskGroup() as tasks:
            deciding = tasks.create_task(self._decide())
            starting = tasks.create_task(self._start())
            try:
                yield
                await starting
                await self.finished()
            finally:
                starting.cancel()
                deciding.cancel()

    async def finished(self, *, seconds: float = 150.0) -> None:
        """Wait until every acknowledged run has ended."""
        await self.stage.until(
            self._all_ended, f"the {len(self.acknowledged)} runs of {self.name} end", seconds=seconds
        )

    async def _all_ended(self) -> bool:
        statuses = await self.statuses()
        return all(statuses.get(run_id, ("", ""))[0] in ENDED for run_id in self.acknowledged)

    async def statuses(self) -> dict[str, tuple[str, str | None]]:
        """Status, and what is waited on, of each run by its id, as the lists show it; nothing where they can't be read now."""
        found: dict[str, tuple[str, str | None]] = {}
        cursor = ""
        while True:
            answer = await self.stage.ask("operator", "GET", f"/runs?workflow=run_errand&limit=200{cursor}")
            if answer is None or answer.status_code != 200:
                return {}
            page = answer.json()
            found |= {run["run_id"]: (run["status"], run["waiting_on"]) for run in page["items"]}
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    async def verify(self) -> dict[str, Any]:
        """The promises about what this load has asked for. Raises AssertionError; else figures."""
        assert not self.wrong, f"{len(self.wrong)} answers that must not be: {self.wrong[:5]}"
        assert len(self.acknowledged) == self.runs
        statuses = await self.statuses()
        lost = {job.run_id: statuses.get(job.run_id or "") for job in self.jobs}
        lost = {run_id: status for run_id, status in lost.items() if status is None or status[0] not in ENDED}
        assert not lost, f"{len(lost)} runs were acknowledged and have not ended: {lost}"
        for job in self.jobs:
            assert statuses[job.run_id or ""][0] == job.status, f"{job}: {statuses[job.run_id or '']}"
            assert checks.effects(self.stage, job.run_id or "") == job.effects, job
        parcels = sum(bool(job.errand.get("parcel")) and job.status == "completed" for job in self.jobs)
        with ledger.opened(self.stage.ledger) as connection:
            carried = connection.execute(
                "SELECT count(*), count(DISTINCT workflow_id) FROM effects WHERE step = 'parcel'"
            ).fetchone()
            keys = connection.execute(
                "SELECT workflow_id, step FROM attempts GROUP BY 1, 2 HAVING count(DISTINCT key) > 1"
            ).fetchall()
        assert carried[0] == carried[1], "a parcel was carried twice"
        assert carried[0] >= parcels
        assert not keys, f"attempts at one effect under more than one key: {keys}"
        return {"runs": len(self.jobs), "effects": sum(job.effects.total() for job in self.jobs) + parcels}

    # --- clients -----------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for job in self.jobs:
                tasks.create_task(self._start_one(job))
                await asyncio.sleep(self.pause_seconds)

    async def _start_one(self, job: Job) -> None:
        body = {"input": job.errand, "reference": job.reference}
        while True:
            answer = await self._ask("start", "operator", "/workflows/run_errand/runs", body, key=job.reference)
            if answer is not None and answer.status_code in (200, 201):
                job.run_id = answer.json()["run_id"]
                return
            if not self._comes_again(answer, "start"):
                return
            await asyncio.sleep(_patience(answer))

    async def _decide(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                answer = await self.stage.ask(
                    "second", "GET", "/approvals?status=pending&limit=200", api=self._any_api()
                )
                for item in answer.json()["items"] if answer is not None and answer.status_code == 200 else ():
                    job = self._by_reference.get(item["reference"])
                    if job is not None and item["decidable"] and item["approval_id"] not in self._deciding:
                        self._deciding.add(item["approval_id"])
                        tasks.create_task(self._decide_one(job, item))
                await asyncio.sleep(LOOK_SECONDS)

    async def _decide_one(self, job: Job, approval: dict[str, Any]) -> None:
        """One person decides, now and then two at once; who got no answer says it again under the same key."""
        people = self.chance.sample(APPROVERS, k=2 if self.chance.random() < 0.2 else 1)
        await asyncio.gather(*(self._decide_as(who, job, approval) for who in people))
        self._deciding.discard(approval["approval_id"])

    async def _decide_as(self, who: str, job: Job, approval: dict[str, Any]) -> None:
        path = f"/approvals/{approval['approval_id']}/decisions"
        body = {"verdict": job.verdict, "digest": approval["digest"]}
        while True:
            answer = await self._ask("decide", who, path, body, key=f"{approval['approval_id']}-{who}")
            # 409: the other one was quicker, or the run has ended.
            if answer is not None and answer.status_code in (202, 409):
                return
            if not self._comes_again(answer, "decide"):
                return
            await asyncio.sleep(_patience(answer))

    async def _ask(self, what: str, who: str, path: str, body: Any, *, key: str) -> httpx.Response | None:
        headers = {"Idempotency-Key": key}
        answer = await self.stage.ask(who, "POST", path, api=self._any_api(), json=body, headers=headers)
        self.answers[f"{what} {'none' if answer is None else answer.status_code}"] += 1
        return answer

    def _any_api(self) -> int:
        return self.chance.randrange(len(self.stage.ports))

    def _comes_again(self, answer: httpx.Response | None, what: str) -> bool:
        """Whether the same may work later; else it is written down as wrong. A 5xx must say so itself."""
        if answer is None:
            return True
        if answer.status_code in (503, 504) and "retry-after" in answer.headers:
            return True
        self.wrong.append(f"{what}: {answer.status_code} {answer.text[:300]}")
        return False


def _patience(answer: httpx.Response | None) -> float:
    asked = 0.3 if answer is None else float(answer.headers["retry-after"])
    return min(asked, LONGEST_RETRY_SECONDS)
