"""What the parts measure on: child processes, each alone so that its CPU and memory are its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 20


@contextmanager
def child(role: str, environment: Mapping[str, str]) -> Iterator[psutil.Process]:
    """A process of `tests.bench.processes`; stopped at the end."""
    with process([sys.executable, "-m", "tests.bench.processes", role], environment) as started:
        yield started


@contextmanager
def process(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[psutil.Process]:
    """A measured process; stopped at the end."""
    started = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield psutil.Process(started.pid)
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            started.kill()
