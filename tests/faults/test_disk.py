"""A disk that is full under PostgreSQL: reported as such, nothing half written, and over when there is room again."""

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
"""What a new cluster with its log fits into, with something to spare."""
CHUNK = 1 << 20


@pytest.fixture(scope="module")
def small_disk() -> Iterator[Path]:
    """A file system of its own, as large as it must be."""
    place = new_home()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0711", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        place.rmdir()
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
    place.rmdir()


def fill(disk: Path) -> Path:
    """Take all the room that is left; the file that holds it."""
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


async def test_a_full_disk_is_reported_as_full_and_work_goes_on_when_there_is_room(small_disk: Path) -> None:
    home = new_home()
    async with Stage(home, durable=False, database_home=small_disk) as stage:
        before = await stage.start("run_errand", {"seconds": 2, "parcel": True})
        known = await _commands(stage)
        ballast = fill(small_disk)

        answers = [await _large_start(stage) for _ in range(40)]
        refused = [answer for answer in answers if answer.status_code != 201]
        assert refused, "the disk was never full"
        assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(503, "storage_full")}
        assert all("retry-after" in answer.headers for answer in refused)
        assert stage.postgres.returncode is None
        assert (await stage.call("operator", "GET", f"/runs/{before}"))["run_id"] == before
        # Nothing in the path of execution waits for the database.
        done = await (await stage.client()).get_workflow_handle(before).result()
        assert done == ["first", "noted", "parcel", "last"]

        ballast.unlink()
        accepted = [answer.json()["run_id"] for answer in answers if answer.status_code == 201]
        accepted.append((await _large_start(stage)).json()["run_id"])
        assert await _commands(stage) == known + len(accepted), "a refused request has left half of itself"
        for run_id in (before, *accepted):
            assert (await stage.ended(run_id))["status"] == "completed"
        await checks.nothing_pending(stage)
        await checks.mirrored(stage, (before, *accepted))


async def _large_start(stage: Stage) -> httpx.Response:
    """What a start is answered whose input needs a disk."""
    value = {"padding": os.urandom(50_000).hex()}
    return await stage.http("operator").post("/api/v1/workflows/run_errand/runs", json={"input": value})


async def _commands(stage: Stage) -> int:
    async with stage.database() as database:
        count: int = await database.fetchval("SELECT count(*) FROM commands WHERE kind = 'run.start'")
    return count
