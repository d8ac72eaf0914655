"""R44, R41: a run's input, output, logs and errors reach only callers who may read payloads, through every route, list and stream."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from agentgrid.api.access import ACCESS, V1
from agentgrid.sdk.grid import Grid
from tests.e2e.conftest import Loop, loop, namespace, seeded_template
from tests.security import leaky

__all__ = ["loop", "namespace", "seeded_template"]

CANARY = f"canary{uuid.uuid4().hex}"
ASKS = f"Tell the world {CANARY}-asks"
"""The text of the approval that the asking run requests."""
BLIND = ("viewer", "admin")
"""Principals without permission to read payloads."""
GETS = sorted(route.split(" ", 1)[1] for route in ACCESS if route.startswith("GET "))
STREAMS = [path for path in GETS if path.endswith("/events")]


@dataclass(frozen=True, kw_only=True)
class Leak:
    """The runs that contain the canary, with an approval and commands on them."""

    failed: str
    returned: str
    trying: str
    stuck: str
    asking: str
    """Waits for approval of a tool whose template names an argument."""
    approval_id: str
    asked_id: str
    """The approval of the asking run."""
    commands: list[str]
    update: str
    """The command of an update on the run that failed."""
    steps: list[tuple[str, str, int]]
    """Run, execution and event id of every step."""

    @property
    def runs(self) -> tuple[str, ...]:
        return self.failed, self.returned, self.trying, self.stuck, self.asking


@pytest.fixture(scope="module")
async def leak(loop: Loop) -> AsyncIterator[Leak]:
    """Runs that carry the canary in every possible place."""
    async with loop.worker("leaky", Grid("leaky", leaky)):
        async with asyncio.timeout(30):
            while "leaks_and_is_stuck" not in str(await loop.call("operator", "GET", "/workflows?limit=200")):
                await asyncio.sleep(0.05)
        failed = await loop.start("leaks_and_fails", CANARY)
        returned = await loop.start("leaks_and_returns", CANARY)
        trying = await loop.start("leaks_while_it_tries", CANARY)
        stuck = await loop.start("leaks_and_is_stuck", CANARY)
        asking = await loop.start("leaks_while_it_asks", {"secret": CANARY, "whom": f"{CANARY}-whom"})
        # A run can be signalled only once the projection shows it as running.
        await loop.until(failed, "running", "waiting")
        body = {"name": "tell", "arguments": [f"{CANARY}-signal"]}
        await loop.call("operator", "POST", f"/runs/{failed}/signal", 202, json=body)
        place = f"/runs/{failed}/updates/confide"
        update = await loop.call("operator", "POST", place, json={"arguments": [f"{CANARY}-update"]})
        assert f"{CANARY}-update-failed" in str(update["error"])
        # One refusal that quotes the input, and one whose request body contains it.
        wrong = {"input": {"of": f"{CANARY}-refused"}}
        await loop.call("operator", "POST", "/workflows/leaks_and_returns/runs", 422, json=wrong)
        await loop.call("viewer", "POST", "/workflows/leaks_and_returns/runs", 403, json={"input": f"{CANARY}-viewer"})
        asked = await loop.approval(asking)
        approval = await loop.approval(failed)
        assert approval["payload"] is not None
        await loop.decide(approval)
        assert (await loop.until(failed))["status"] == "failed"
        assert (await loop.until(returned))["status"] == "completed"
        await _shown(loop, trying, f"{CANARY}-attempt", "live_error")
        await _shown(loop, stuck, f"{CANARY}-task", "status_reason")
        await loop.reports(
            failed, "logs", lambda lines: f"{CANARY}-workflowlog" in str(lines) and "-field" in str(lines)
        )
        await loop.reports(failed, "jobs", lambda jobs: f"{CANARY}-toolerror" in str(jobs))
        listed = (await loop.call("auditor", "GET", "/commands?limit=200"))["items"]
        steps = [
            (run_id, step["execution_id"], step["event_id"])
            for run_id in (failed, returned, trying, asking)
            for step in (await loop.call("auditor", "GET", f"/runs/{run_id}/steps"))["items"]
        ]
        yield Leak(
            steps=steps,
            failed=failed,
            returned=returned,
            trying=trying,
            stuck=stuck,
            asking=asking,
            approval_id=approval["approval_id"],
            asked_id=asked["approval_id"],
            commands=[command["command_id"] for command in listed],
            update=update["command_id"],
        )
        for run_id in (trying, stuck, asking):
            await loop.call("operator", "POST", f"/runs/{run_id}/terminate", 202, json={})
            await loop.until(run_id)


async def _shown(loop: Loop, run_id: str, words: str, where: str) -> None:
    """Wait until the operator sees these words in this part of the run."""
    async with asyncio.timeout(60):
        while True:
            run = await loop.run(run_id)
            if words in json.dumps(run[where] if where in run else run["steps"]["open"]):
                return
            await asyncio.sleep(0.1)


def places(leak: Leak) -> list[str]:
    """Every GET route except streams, with every id and filter that concerns the canary's runs."""
    paths = []
    for path in GETS:
        if path in STREAMS:
            continue
        if "{event_id}" in path:
            names = ("run_id", "execution_id", "event_id")
            paths += [
                path.format(**dict(zip(names, step, strict=True)), side=side)
                for step in leak.steps
                for side in ("input", "output")
            ]
        elif "{run_id}" in path:
            paths += [path.format(run_id=run_id, command_id=leak.update) for run_id in leak.runs]
        elif "{approval_id}" in path:
            paths += [path.format(approval_id=approval_id) for approval_id in (leak.approval_id, leak.asked_id)]
        elif "{command_id}" in path:
            paths += [path.format(command_id=command_id) for command_id in leak.commands]
        elif "{name}" in path:
            paths.append(path.format(name="leaks_and_fails", version="none"))
        elif "{rule_id}" in path:
            paths.append(path.format(rule_id="none"))
        elif path == f"{V1}/search":
            paths += [f"{path}?q={words}" for words in ("leaks", "approval", CANARY)]
        else:
            paths.append(path)
    paths += [
        f"{V1}/runs?q={CANARY}",
        f"{V1}/search?q={CANARY}",
        f"{V1}/runs/facets?q={CANARY}",
        f"{V1}/runs?status=failed&limit=200",
        f"{V1}/runs?status=waiting&limit=200",
        f"{V1}/overview?lists=true",
        f"{V1}/commands?limit=200",
    ]
    return paths


async def fetched(loop: Loop, who: str, path: str) -> httpx.Response:
    async with loop.api.client(who) as client:
        return await client.get(path)


@pytest.mark.parametrize("who", BLIND)
async def test_r44_no_route_shows_the_canary_without_the_permission_to_read_payloads(
    loop: Loop, leak: Leak, who: str
) -> None:
    answers = {}
    for path in places(leak):
        answer = await fetched(loop, who, path)
        assert answer.status_code in (200, 202, 403, 404), (path, answer.text)
        # The path comes from the caller.
        assert CANARY not in answer.text.replace(f"q={CANARY}", ""), (who, path, answer.text)
        answers[path] = answer.status_code
    for run_id in leak.runs:
        assert answers[f"{V1}/runs/{run_id}"] == 200
        assert {answers[f"{V1}/runs/{run_id}/{part}"] for part in ("logs/download", "history")} == {403}
        assert answers[f"{V1}/runs/{run_id}/result"] in (200, 202)
    # What isn't shown can't be searched for either: otherwise each guess would reveal something.
    for path in ("/search", "/runs", "/approvals"):
        assert (await fetched(loop, who, f"{V1}{path}?q={CANARY}")).json()["items"] == [], path


@pytest.mark.parametrize("who", BLIND)
async def test_r44_no_stream_shows_the_canary(loop: Loop, leak: Leak, who: str) -> None:
    lines = 0
    for run_id in (leak.failed, leak.returned):
        async with loop.api.client(who) as client:
            # The stream ends by itself, because its run has ended.
            answer = await client.get(f"{V1}/runs/{run_id}/events")
        lines += answer.text.count("event: ")
        assert CANARY not in answer.text
    assert lines > 10
    async with loop.api.plane.pool.acquire() as connection:
        events = await connection.fetch("SELECT subject, data::text FROM events")
    # All that any stream can carry: approval titles, which the API leaves out, and nothing else that was written.
    assert len(events) > 10
    titles = (f"{CANARY}-title", ASKS)
    assert not [event for event in events if CANARY in _without(titles, str(dict(event)))]


def _without(titles: tuple[str, ...], text: str) -> str:
    for title in titles:
        text = text.replace(title, "")
    return text


async def test_the_permission_to_read_payloads_shows_the_canary_where_it_belongs(loop: Loop, leak: Leak) -> None:
    expected = {
        f"/runs/{leak.failed}": ["", "-failure", "-detail", "-type"],
        f"/runs/{leak.failed}/steps": [
            "-arguments",
            "-arguments-output",
            "-toolerror",
            "-signal",
            "-update-failed",
            "-title",
        ],
        f"/runs/{leak.failed}/jobs": ["-toolerror"],
        f"/runs/{leak.failed}/input/download": [""],
        f"/runs/{leak.failed}/logs/download": ["-arguments-logged", "-arguments-field", "-workflowlog"],
        f"/runs/{leak.failed}/updates/{leak.update}": ["-update-failed", "-update-detail", "-update-type"],
        f"/runs/{leak.failed}/logs": ["-arguments-logged", "-arguments-field", "-workflowlog"],
        f"/runs/{leak.failed}/result": ["-failure"],
        "/runs?workflow=leaks_and_fails": ["-toolerror"],
        f"/runs/{leak.returned}/result": ["-result"],
        f"/runs/{leak.trying}": ["-attempt"],
        f"/runs/{leak.stuck}": ["-task"],
        f"/approvals/{leak.approval_id}": ["-shown", "-title"],
        f"/approvals/{leak.asked_id}": ["-asks"],
        f"/runs/{leak.asking}": ["-asks"],
        "/runs?status=waiting": ["-asks", "-whom"],
        f"/runs?q={CANARY}-whom": ["-asks", "-whom"],
        "/overview?lists=true": ["-asks", "-whom"],
        f"/search?q={CANARY}": ["-title", "-asks", "-whom"],
    }
    for who in ("operator", "developer", "auditor"):
        for path, words in expected.items():
            text = (await fetched(loop, who, f"{V1}{path}")).text
            assert not [word for word in words if f"{CANARY}{word}" not in text], (who, path, text)
    everything = [(await fetched(loop, "auditor", f"{V1}/commands/{command}")).text for command in leak.commands]
    for words in ("-signal", "-refused"):
        assert any(f"{CANARY}{words}" in text for text in everything), words


async def test_r44_every_caller_sees_the_class_of_an_error(loop: Loop, leak: Leak) -> None:
    run: dict[str, Any] = (await fetched(loop, "viewer", f"{V1}/runs/{leak.failed}")).json()
    # The author's error class was not an identifier; the tool's was.
    assert run["error"]["type"] == "Error"
    assert (run["error"]["message"], run["error"]["at"]) == (None, None)
    assert (run["status"], run["status_reason"], run["error_type"]) == ("failed", None, "ToolError")
    stuck = (await fetched(loop, "viewer", f"{V1}/runs/{leak.stuck}")).json()
    assert (stuck["waiting_on"], stuck["status_reason"]) == ("retry", None)
    assert stuck["executions"][-1]["live_problem"] is None


async def test_r41_approvers_see_the_approvals_they_may_decide_and_no_other_payloads(loop: Loop, leak: Leak) -> None:
    seen = await fetched(loop, "reviewer", f"{V1}/approvals/{leak.approval_id}")
    assert f"{CANARY}-shown" in seen.text
    # An approver whom the approval does not name.
    other = await fetched(loop, "second", f"{V1}/approvals/{leak.approval_id}")
    assert (other.status_code, other.json()["payload"], other.json()["payloads_visible"]) == (200, None, False)
    # Both may decide what the run requests, so lists of approvals show it to them.
    ones = (leak.approval_id, *(run_id for run_id in leak.runs if run_id != leak.asking))
    titles = {"reviewer": (f"Go on {CANARY}-title", ASKS), "second": (ASKS,)}
    for who, shown in titles.items():
        for path in places(leak):
            about_one = any(place in path for place in ones)
            if "lists=true" in path or ("/approvals" in path and not (who == "second" and about_one)):
                continue
            text = (await fetched(loop, who, path)).text.replace(f"q={CANARY}", "")
            if "/search" in path:
                text = _without(shown, text)
            assert CANARY not in text, (who, path, text)
