"""How long `make dev` takes to become ready in a fresh clone, and `agentgrid dev` in the same folder afterwards."""

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
from tests.bench.page import median_range
from tests.bench.stand import ROOT

TITLE = "Start"
METHOD = (
    "Seconds until it reports that it is ready, with the project's example registered by its worker: a fresh clone of the last commit with a "
    "warm package cache, then the same folder again. Median of the later starts, lowest and highest in brackets."
)
READY = "is ready"
READY_SECONDS = 300
STOP_SECONDS = 60
RESTARTS = 5
NOT_INHERITED = ("AGENTGRID_", "VIRTUAL_ENV", "MAKE", "MFLAGS", "ARGS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This part has no options."""


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Measure the first start and the later ones."""
    return await asyncio.to_thread(_measure, home)


def _measure(home: Path) -> list[tuple[str, str]]:
    clone = home / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    state = clone / ".agentgrid"
    state.mkdir(mode=0o711)
    ports = {name: free_port() for name in ("api", "temporal", "postgres")}
    (state / "ports.json").write_text(json.dumps(ports))
    with _start(["make", "dev"], clone, home / "cold.out") as cold:
        pass
    restarts = []
    for number in range(RESTARTS):
        with _start([".venv/bin/agentgrid", "dev"], clone, home / f"{number}.out") as seconds:
            restarts.append(seconds)
    return [
        ("cold `make dev` to ready", f"{cold:.1f}"),
        ("`agentgrid dev` again to ready", median_range(restarts, "{:.1f}")),
    ]


@contextlib.contextmanager
def _start(command: Sequence[str], folder: Path, output: Path) -> Iterator[float]:
    """Start the command and yield the seconds until it is ready. On exit, send SIGINT to its process group, as Ctrl-C does."""
    # The inner `make` must not inherit the variables of `make bench`.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    started_at = time.perf_counter()
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        while READY not in output.read_text(errors="replace"):
            if process.poll() is not None or time.perf_counter() - started_at > READY_SECONDS:
                raise RuntimeError(f"{command} did not become ready:\n{output.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)
        yield time.perf_counter() - started_at
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(STOP_SECONDS)
