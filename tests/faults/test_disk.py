"""PostgreSQL's disk is full: this is reported, no request is half done, and work goes on once there is space."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults import checks
from tests.faults.stage import Stage, new_home

SIZE = "160m"
"""Enough for a new cluster with its log, and a little more."""
CHUNK = 1 << 20


@pytest.fixture(scope="module")
def small_disk() -> Iterator[Path]:
    """A small, separate file system."""
    folder = new_home()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0711", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


def fill(disk: Path) -> Path:
    """Fill the disk. Returns the file to delete afterwards."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (CHUNK, 4096):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    assert os.statvfs(disk).f_bavail == 0
    return ballast


async def test_a_full_disk_is_reported_and_work_goes_on_once_there_is_space(small_disk: Path) -> None:
    home = new_home()
    async with Stage(home, durable=False, database_home=small_disk) as stage:
        before = await stage.start("run_errand", {"seconds": 2, "parcel": True})
        commands = await _commands(stage)
        ballast = fill(small_disk)

        answers = [await _large_start(stage) for _ in range(40)]
        refused = [answer for answer in answers if answer.status_code != 201]
        assert refused, "the disk was never full"
        assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(503, "storage_full")}
        assert all("retry-after" in answer.headers for answer in refused)
        assert stage.postgres.returncode is None
        assert (await stage.call("operator", "GET", f"/runs/{before}"))["run_id"] == before
        # Executing a run never waits for the database.
        done = await (await stage.client()).get_workflow_handle(before).result()
        assert done == ["first", "noted", "parcel", "last"]

        ballast.unlink()
        accepted = [answer.json()["run_id"] for answer in answers if answer.status_code == 201]
        accepted.append((await _large_start(stage)).json()["run_id"])
        assert await _commands(stage) == commands + len(accepted), "a refused request was partly written"
        for run_id in (before, *accepted):
            assert (await stage.ended(run_id))["status"] == "completed"
        await checks.nothing_pending(stage)
        await checks.mirrored(stage, (before, *accepted))


async def _large_start(stage: Stage) -> httpx.Response:
    """Start a run with a large input. Returns the response."""
    value = {"padding": os.urandom(50_000).hex()}
    return await stage.http("operator").post("/api/v1/workflows/run_errand/runs", json={"input": value})


async def _commands(stage: Stage) -> int:
    async with stage.database() as database:
        count: int = await database.fetchval("SELECT count(*) FROM commands WHERE kind = 'run.start'")
    return count
