"""A version is a digest: changed code is a new version, and a run keeps showing the version that it ran."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest

from agentgrid.projector.rebuild import rebuild_projection
from agentgrid.sdk.grid import Grid
from tests.e2e.conftest import Loop

CODE = '''
from temporalio import workflow
import agentgrid as ag


@ag.workflow(title="Versioned", name="versioned")
class Versioned:
    """COMMENT"""

    @workflow.run
    async def run(self, number: int) -> str:
        return "ANSWER"
'''


def grid(folder: Path, module: str, answer: str, comment: str = "Say which code ran.") -> Grid:
    """A grid with one workflow, from a variant of `CODE`."""
    (folder / f"{module}.py").write_text(CODE.replace("ANSWER", answer).replace("COMMENT", comment))
    importlib.invalidate_caches()
    return Grid("versions", importlib.import_module(module))


async def registered(loop: Loop, current: Grid) -> dict[str, Any]:
    """Wait until this grid's version is the current one, and return the workflow from the catalog."""
    version = current.workflows[0].version
    async with asyncio.timeout(60):
        while True:
            async with loop.api.client("operator") as http:
                answer = await http.get("/api/v1/workflows/versioned")
            if answer.status_code == 200 and answer.json()["version"] == version:
                return answer.json()
            await asyncio.sleep(0.05)


async def test_changed_code_is_a_new_version_and_an_old_run_keeps_its_own(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    first, second = grid(tmp_path, "versioned_one", "one"), grid(tmp_path, "versioned_two", "two")
    other_comment = grid(tmp_path, "versioned_three", "one", comment="Tell what answered.")
    versions = [variant.workflows[0].version for variant in (first, second, other_comment)]
    assert versions[0] == versions[2] != versions[1], "a docstring doesn't run, so it doesn't change the version"

    runs = {}
    for variant in (first, second):
        async with loop.worker("versions", variant):
            await registered(loop, variant)
            runs[variant.workflows[0].version] = await loop.start("versioned", 1)
            run = await loop.until(runs[variant.workflows[0].version])
            assert (run["governed"], run["build"]) == (True, variant.digest), "shown without the prefix in history"
    catalog = await registered(loop, second)
    assert [version["version"] for version in catalog["versions"]] == [versions[1], versions[0]]

    async def shown() -> dict[str, tuple[str, Any]]:
        by_version = {}
        for version, run_id in runs.items():
            result = (await loop.call("operator", "GET", f"/runs/{run_id}/result"))["result"]
            by_version[version] = ((await loop.run(run_id))["version"], result["value"])
        return by_version

    expected = {versions[0]: (versions[0], "one"), versions[1]: (versions[1], "two")}
    assert await shown() == expected
    await rebuild_projection(loop.settings, run_ids=list(runs.values()))
    assert await shown() == expected
