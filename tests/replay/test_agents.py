"""Recorded histories of agents replay without a provider's library or key, and after an edit of the agent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from agentgrid.testing import Governance
from tests.agents import desk
from tests.agents.conftest import GRID
from tests.replay.golden import load, recorded
from tests.replay.record_agents import CASES

ROOT = Path(__file__).parents[2]
BLOCKED = """
import asyncio, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pydantic_ai", "openai", "anthropic", "genai_prices", "mcp"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocked())
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from agentgrid.testing import Governance
from tests.agents.conftest import GRID
from tests.replay.golden import load, recorded

async def main():
    replayer = Replayer(workflows=[], plugins=[Governance().plugin(GRID)], data_converter=pydantic_data_converter)
    names = []

    async def histories():
        for path in recorded("agents"):
            names.append(path.stem)
            yield load(path)

    # All in one call: a worker per history, with a sandbox per workflow, costs more than the replay itself.
    await replayer.replay_workflows(histories())
    print(*names)

asyncio.run(main())
"""


async def replay(path: Path) -> None:
    replayer = Replayer(workflows=[], plugins=[Governance().plugin(GRID)], data_converter=pydantic_data_converter)
    await replayer.replay_workflow(load(path))


@pytest.mark.parametrize("path", recorded("agents"), ids=lambda path: path.stem)
async def test_an_agents_history_replays_after_an_edit_of_the_agent(path: Path, monkeypatch: pytest.MonkeyPatch):
    await replay(path)
    for agent in (desk.desk, desk.careful, desk.thrifty, desk.chatty, desk.lead):
        monkeypatch.setattr(agent, "instructions", "Something else entirely.")
        monkeypatch.setattr(agent, "models", ("anthropic:other",))
        monkeypatch.setitem(agent.__dict__, "version", "edited")
    await replay(path)


def test_agents_histories_replay_without_a_providers_library_and_without_a_key():
    environment = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(CASES)
