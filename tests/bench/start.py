"""How long `make dev` takes in a fresh clone, and `agentgrid dev` the next time."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentgrid.servers.child import free_port
from tests.bench.page import middle
from tests.bench.stand import ROOT

TITLE = "Start"
SAYS = (
    "Seconds until it reports that it is ready, with the project's example registered by its worker: a fresh clone of the last commit with a "
    "warm package cache, then the same folder again. Median of the later starts, lowest and highest in brackets."
)
READY = "is ready"
READY_SECONDS = 300
STOP_SECONDS = 60
AGAIN = 5
OUTER = ("AGENTGRID_", "VIRTUAL_ENV", "MAKE", "MFLAGS", "ARGS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing to say."""


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """The first start, and the later ones."""
    return await asyncio.to_thread(_measured, home)


def _measured(home: Path) -> list[tuple[str, str]]:
    clone = home / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    state = clone / ".agentgrid"
    state.mkdir(mode=0o711)
    ports = {name: free_port() for name in ("api", "temporal", "postgres")}
    (state / "ports.json").write_text(json.dumps(ports))
    with _started(["make", "dev"], clone, home / "cold.out") as cold:
        pass
    again = []
    for number in range(AGAIN):
        with _started([".venv/bin/agentgrid", "dev"], clone, home / f"{number}.out") as took:
            again.append(took)
    return [("cold `make dev` to ready", f"{cold:.1f}"), ("`agentgrid dev` again to ready", middle(again, "{:.1f}"))]


@contextlib.contextmanager
def _started(command: Sequence[str], folder: Path, output: Path) -> Iterator[float]:
    """Seconds to ready; ended by Ctrl-C, as a terminal sends it."""
    # What an outer `make bench` was given is no business of the inner `make`.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OUTER)}
    began = time.perf_counter()
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        while READY not in output.read_text(errors="replace"):
            if process.poll() is not None or time.perf_counter() - began > READY_SECONDS:
                raise RuntimeError(f"{command} did not become ready:\n{output.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)
        yield time.perf_counter() - began
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(STOP_SECONDS)
