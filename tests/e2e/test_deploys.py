"""Deploys under open runs: with a compatible change the runs go on; an incompatible one is shown and a rollback fixes it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from temporalio import activity
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from agentgrid.cli.run_view import run_detail
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from agentgrid.worker.plugin import AgentGridPlugin
from tests.e2e.conftest import Loop

CODE = """
import asyncio
from datetime import timedelta
from temporalio import workflow
import agentgrid as ag

SOON = timedelta(seconds=30)
BEAT = {"start_to_close_timeout": SOON, "heartbeat_timeout": timedelta(seconds=5)}


@ag.workflow(title="Deployed", name="NAME")
class Deployed:
    def __init__(self) -> None:
        self.gone = False

    @workflow.signal
    def go(self) -> None:
        self.gone = True

    @workflow.run
    async def run(self, waits_for: str) -> list[str]:
        done: list[str] = [await workflow.execute_activity("FIRST", start_to_close_timeout=SOON)]
        if waits_for == "approval":
            await ag.approval("Go on", show={"done": done})
        elif waits_for == "timer":
            await workflow.sleep(3)
        elif waits_for == "activity":
            done.append(await workflow.execute_activity("held", workflow.info().workflow_id, **BEAT))
        else:
            await workflow.wait_condition(lambda: self.gone)
        CHANGE
        return [*done, await workflow.execute_activity("SECOND", start_to_close_timeout=SOON)]
"""
CASES = ("approval", "timer", "activity", "signal")
HELD: dict[str, asyncio.Event] = {}


@activity.defn
async def pack() -> str:
    return "packed"


@activity.defn
async def send() -> str:
    return "sent"


@activity.defn
async def held(name: str) -> str:
    """Runs until the test releases it, on any worker."""
    while not HELD.setdefault(name, asyncio.Event()).is_set():
        activity.heartbeat()
        await asyncio.sleep(0.05)
    return "held"


class Deployments:
    """Versions of one workflow, and the worker that serves one of them."""

    def __init__(self, loop: Loop, folder: Path, name: str) -> None:
        self.loop = loop
        self.folder = folder
        self.name = name

    def version(self, tag: str, *, first: str = "pack", second: str = "send", change: str = "pass") -> Grid:
        """A grid with one workflow, from a variant of `CODE`."""
        module = f"{self.name}_{tag}"
        code = CODE.replace("NAME", self.name).replace("CHANGE", change)
        (self.folder / f"{module}.py").write_text(code.replace("FIRST", first).replace("SECOND", second))
        importlib.invalidate_caches()
        return Grid(self.name, importlib.import_module(module))

    @contextlib.asynccontextmanager
    async def deployed(self, grid: Grid) -> AsyncIterator[None]:
        """Serve the grid with a worker until the block ends; starts once the catalog has it."""
        async with self.loop.worker(self.name, grid, activities=[pack, send, held]):
            version = grid.workflows[0].version
            async with asyncio.timeout(60), self.loop.api.client("operator") as http:
                while (await http.get(f"/api/v1/workflows/{self.name}")).json().get("version") != version:
                    await asyncio.sleep(0.05)
            yield

    async def open_runs(self, cases: tuple[str, ...] = CASES) -> dict[str, str]:
        """Start a run for each case, and wait until each is waiting."""
        runs = {case: await self.loop.start(self.name, case) for case in cases}
        statuses = {"approval": "waiting", "timer": "waiting", "signal": "waiting", "activity": "running"}
        for case, run_id in runs.items():
            await self.loop.until(run_id, statuses[case])
            async with asyncio.timeout(60):
                while case == "activity" and not HELD.get(run_id):
                    await asyncio.sleep(0.05)
        return runs

    async def go_on(self, runs: dict[str, str]) -> None:
        """Give each run what it waits for."""
        for case, run_id in runs.items():
            if case == "approval":
                await self.loop.decide(await self.loop.approval(run_id))
            elif case == "activity":
                HELD[run_id].set()
            elif case == "signal":
                await self.loop.client.get_workflow_handle(run_id).signal("go")

    async def replays(self, grid: Grid, run_id: str) -> None:
        """Replay the current history, as before a deploy. Raises NondeterminismError."""
        history = await self.loop.client.get_workflow_handle(run_id).fetch_history()
        plugin: AgentGridPlugin = Governance().plugin(grid)
        await Replayer(workflows=[], plugins=[plugin], data_converter=pydantic_data_converter).replay_workflow(history)


@pytest.fixture
def deployments(loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Deployments]]:
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda name: Deployments(loop, tmp_path, name)
    HELD.clear()


async def test_open_runs_go_on_with_a_compatible_change(deployments: Callable[[str], Deployments]) -> None:
    deployment = deployments("fitting")
    first = deployment.version("one")
    second = deployment.version("two", change='done.append("new") if workflow.patched("newer") else None')
    async with deployment.deployed(first):
        runs = await deployment.open_runs()
    for run_id in runs.values():
        await deployment.replays(second, run_id)
    async with deployment.deployed(second):
        await deployment.go_on(runs)
        for case, run_id in runs.items():
            run = await deployment.loop.until(run_id, timeout_seconds=60)
            middle = ["held"] if case == "activity" else []
            assert (run["status"], run["result"]["value"]) == ("completed", ["packed", *middle, "new", "sent"])
            assert run["version"] == second.workflows[0].version, "the version that completed it"


async def test_an_incompatible_change_is_shown_with_reason_and_version_and_a_rollback_fixes_it(
    deployments: Callable[[str], Deployments],
) -> None:
    deployment = deployments("misfitting")
    first, reordered = deployment.version("one"), deployment.version("two", first="send", second="pack")
    async with deployment.deployed(first):
        runs = await deployment.open_runs()
    for run_id in runs.values():
        with pytest.raises(Exception, match=r"(?i)nondeterminism"):
            await deployment.replays(reordered, run_id)
    async with deployment.deployed(reordered):
        await deployment.go_on(runs)
        began = asyncio.get_running_loop().time()
        shown = {case: await stuck(deployment.loop, run_id) for case, run_id in runs.items()}
        assert asyncio.get_running_loop().time() - began < 60
        for run in shown.values():
            assert (run["status"], run["waiting_on"]) == ("waiting", "worker")
            assert f"(build {reordered.digest})" in run["status_reason"], "the failing build"
            assert deployment.loop.client.identity in run["status_reason"], "the failing worker"
            assert "'send'" in run["status_reason"], "the command that the code gives instead"
            assert run["version"] == first.workflows[0].version, "the version that it has run so far"
            assert "non-determinism" in printed(run)
        assert (await listed(deployment.loop)) >= set(runs.values())
    async with deployment.deployed(first):
        for case, run_id in runs.items():
            run = await deployment.loop.until(run_id, timeout_seconds=60)
            middle = ["held"] if case == "activity" else []
            assert (run["status"], run["result"]["value"]) == ("completed", ["packed", *middle, "sent"])
            assert run["status_reason"] is None
    assert not (await listed(deployment.loop)) & set(runs.values())


async def stuck(loop: Loop, run_id: str) -> dict[str, Any]:
    """Wait until the run shows that the code doesn't match its history. Raises AssertionError."""
    run: dict[str, Any] = {}
    try:
        async with asyncio.timeout(60):
            while not ((run := await loop.run(run_id))["status_reason"] or "").startswith("non-determinism"):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"never shown as stuck: {run}") from None
    return run


async def listed(loop: Loop) -> set[str]:
    """The ids in the list of stuck runs."""
    stuck_runs = await loop.call("operator", "GET", "/runs?stuck=true&limit=200")
    return {run["run_id"] for run in stuck_runs["items"]}


def printed(run: dict[str, Any]) -> str:
    """The run as the command line prints it."""
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(run_detail(run))
    return console.export_text()
