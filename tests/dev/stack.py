"""`agentgrid dev` as a process, on a small project of its own, for tests that need the whole stack."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from agentgrid.servers.child import free_port

PROGRAM = [sys.executable, "-m", "agentgrid.cli.main"]
READY = "is ready"
READY_SECONDS = 90.0
STOP_SECONDS = 40.0


PROVIDER_KEY = "a-key-of-a-provider"


class DevStack:
    """A project and its home, which starts with free ports, so that it doesn't collide with other stacks."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="agentgrid-dev-"))
        self.folder.chmod(0o711)  # PostgreSQL, which root runs as another account, must reach its data
        subprocess.run(
            [*PROGRAM, "init", "demo", "--in", str(self.folder)], check=True, capture_output=True, timeout=60
        )
        self.root = self.folder / "demo"
        self.home = self.root / ".agentgrid"
        self.home.mkdir()
        ports = {name: free_port() for name in ("api", "temporal", "postgres")}
        (self.home / "ports.json").write_text(json.dumps(ports))
        self.output = self.folder / "dev.out"
        self.ready_file = self.folder / "ready.json"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        """Start it, and wait until it reports that it is ready."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AGENTGRID_")}
        environment["NOTES_FILE"] = str(self.folder / "notes.txt")
        environment["OPENAI_API_KEY"] = PROVIDER_KEY
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*PROGRAM, "dev", "--ready-file", str(self.ready_file), *arguments],
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.wait_for(READY, READY_SECONDS)

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait_for(self, words: str, seconds: float) -> str:
        """Wait until the output contains this text. Returns all output so far."""
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            output = self.output.read_text(errors="replace")
            if words in output:
                return output
            if self.process.poll() is not None:
                raise AssertionError(f"agentgrid dev exited with {self.process.returncode}:\n{output}")
            time.sleep(0.1)
        raise AssertionError(f"agentgrid dev did not print {words!r} within {seconds} s:\n{output}")

    def children(self) -> list[psutil.Process]:
        """All its descendant processes."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, name: str) -> psutil.Process:
        """The process of a command such as `agentgrid api`."""
        for process in self.children():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[1:4] == ["-m", "agentgrid.cli.main", name]:
                    return process
        raise AssertionError(f"no {name} is running")

    def wait_for_child(self, name: str, seconds: float) -> psutil.Process:
        """The process, as soon as it runs."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(AssertionError):
                return self.child(name)
            time.sleep(0.1)
        return self.child(name)

    def end(self, number: signal.Signals) -> int:
        """Signal it, and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def dispose(self) -> None:
        """Stop it if it runs, and remove everything."""
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGINT)
        shutil.rmtree(self.folder)

    def settings(self) -> dict[str, str]:
        """The variables that `.agentgrid/env` sets."""
        return dict(re.findall(r"^export (\w+)='(.*)'$", (self.home / "env").read_text(), re.MULTILINE))


def all_ended(processes: list[psutil.Process], seconds: float) -> bool:
    """Whether they all end within that time."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
