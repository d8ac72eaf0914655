"""Clients that start runs and decide approvals as careful programs do: with idempotency keys, and retries until they get a response.

A request with a 2xx response is acknowledged, and AgentGrid is checked against it afterwards.
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
POLL_SECONDS = 0.3
LONGEST_RETRY_SECONDS = 1.0


@dataclass(kw_only=True)
class Job:
    """A planned run."""

    reference: str
    errand: dict[str, Any]
    verdict: str = "approved"
    """The decision on each of its approvals."""
    run_id: str | None = None
    """Set once the start was acknowledged."""

    @property
    def status(self) -> str:
        """The expected status of its run."""
        return "failed" if self.verdict == "rejected" else "completed"

    @property
    def effects(self) -> Counter[str]:
        """The expected effects on the outside world, without its child's."""
        steps = ["first"]
        if self.verdict == "rejected" and self.errand.get("ask"):
            return Counter(steps)
        steps.append("noted")
        if self.errand.get("remove"):
            if self.verdict == "rejected":
                return Counter(steps)
            steps.append("removed")
        return Counter([*steps, "last"])


def draw_job(rng: random.Random, reference: str) -> Job:
    """A random run: without approval, with an explicit one, or with one that policy requires; some are rejected."""
    errand: dict[str, Any] = {
        "seconds": round(rng.uniform(0, 2), 2),
        "effort": round(rng.uniform(0, 1), 2),
        "parcel": rng.random() < 0.2,
    }
    kind = rng.choices(("plain", "ask", "remove"), weights=(5, 3, 2))[0]
    if kind == "plain":
        return Job(reference=reference, errand=errand)
    verdict = "rejected" if rng.random() < 0.2 else "approved"
    return Job(reference=reference, errand={**errand, kind: True}, verdict=verdict)


@dataclass
class Load:
    """Starts runs at intervals through all APIs, and decides their approvals."""

    stage: Stage
    rng: random.Random
    runs: int
    pause_seconds: float = 0.2
    jobs: list[Job] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    """Responses by request and status; `none` for no response."""
    wrong: list[str] = field(default_factory=list)
    """Responses that no fault can explain."""

    def __post_init__(self) -> None:
        self.name = f"load-{self.rng.getrandbits(32):08x}"
        self.jobs = [draw_job(self.rng, f"{self.name}-{number}") for number in range(self.runs)]
        self._by_reference = {job.reference: job for job in self.jobs}
        self._deciding: set[str] = set()

    @property
    def acknowledged(self) -> list[str]:
        return [job.run_id for job in self.jobs if job.run_id is not None]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the clients during the block. At its end, wait until all starts are acknowledged and all runs have ended."""
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
        """By run id: status and `waiting_on` from the list of runs; empty if that can't be read now."""
        statuses: dict[str, tuple[str, str | None]] = {}
        cursor = ""
        while True:
            answer = await self.stage.request("operator", "GET", f"/runs?workflow=run_errand&limit=200{cursor}")
            if answer is None or answer.status_code != 200:
                return {}
            page = answer.json()
            statuses |= {run["run_id"]: (run["status"], run["waiting_on"]) for run in page["items"]}
            if page["next_cursor"] is None:
                return statuses
            cursor = f"&cursor={page['next_cursor']}"

    async def verify(self) -> dict[str, Any]:
        """Check the guarantees about this load. Returns figures, raises AssertionError."""
        assert not self.wrong, f"{len(self.wrong)} wrong responses: {self.wrong[:5]}"
        assert len(self.acknowledged) == self.runs
        statuses = await self.statuses()
        lost = {job.run_id: statuses.get(job.run_id or "") for job in self.jobs}
        lost = {run_id: status for run_id, status in lost.items() if status is None or status[0] not in ENDED}
        assert not lost, f"{len(lost)} acknowledged runs have not ended: {lost}"
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
        assert not keys, f"one effect was attempted under several idempotency keys: {keys}"
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
            answer = await self._send("start", "operator", "/workflows/run_errand/runs", body, key=job.reference)
            if answer is not None and answer.status_code in (200, 201):
                job.run_id = answer.json()["run_id"]
                return
            if not self._may_retry(answer, "start"):
                return
            await asyncio.sleep(_retry_delay(answer))

    async def _decide(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                answer = await self.stage.request(
                    "second", "GET", "/approvals?status=pending&limit=200", api=self._any_api()
                )
                for item in answer.json()["items"] if answer is not None and answer.status_code == 200 else ():
                    job = self._by_reference.get(item["reference"])
                    if job is not None and item["decidable"] and item["approval_id"] not in self._deciding:
                        self._deciding.add(item["approval_id"])
                        tasks.create_task(self._decide_one(job, item))
                await asyncio.sleep(POLL_SECONDS)

    async def _decide_one(self, job: Job, approval: dict[str, Any]) -> None:
        """One person decides, sometimes two at once; each retries with the same idempotency key until there is a response."""
        people = self.rng.sample(APPROVERS, k=2 if self.rng.random() < 0.2 else 1)
        await asyncio.gather(*(self._decide_as(who, job, approval) for who in people))
        self._deciding.discard(approval["approval_id"])

    async def _decide_as(self, who: str, job: Job, approval: dict[str, Any]) -> None:
        path = f"/approvals/{approval['approval_id']}/decisions"
        body = {"verdict": job.verdict, "digest": approval["digest"]}
        while True:
            answer = await self._send("decide", who, path, body, key=f"{approval['approval_id']}-{who}")
            # 409: the other decision was faster, or the run has ended.
            if answer is not None and answer.status_code in (202, 409):
                return
            if not self._may_retry(answer, "decide"):
                return
            await asyncio.sleep(_retry_delay(answer))

    async def _send(self, what: str, who: str, path: str, body: Any, *, key: str) -> httpx.Response | None:
        headers = {"Idempotency-Key": key}
        answer = await self.stage.request(who, "POST", path, api=self._any_api(), json=body, headers=headers)
        self.answers[f"{what} {'none' if answer is None else answer.status_code}"] += 1
        return answer

    def _any_api(self) -> int:
        return self.rng.randrange(len(self.stage.ports))

    def _may_retry(self, answer: httpx.Response | None, what: str) -> bool:
        """Whether the request may be retried; otherwise the response is recorded as wrong. A 5xx must have `Retry-After`."""
        if answer is None:
            return True
        if answer.status_code in (503, 504) and "retry-after" in answer.headers:
            return True
        self.wrong.append(f"{what}: {answer.status_code} {answer.text[:300]}")
        return False


def _retry_delay(answer: httpx.Response | None) -> float:
    seconds = 0.3 if answer is None else float(answer.headers["retry-after"])
    return min(seconds, LONGEST_RETRY_SECONDS)
