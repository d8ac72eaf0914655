"""A fork server: starts programs in separate processes that needn't import the libraries first, because the server already has.

For tests that need a process (its exit code, its streams, its death, the project code that it imports) but not a cold start.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uuid_utils

ROOT = Path(__file__).parents[1]
COMMANDS = (
    "agentgrid.cli.main",
    "agentgrid.cli.check",
    "agentgrid.cli.client",
    "agentgrid.dev.command",
    "agentgrid.sdk.grid",
)
PROGRAMS = (
    "agentgrid.cli.main",
    "agentgrid.api.app",
    "agentgrid.projector.main",
    "agentgrid.worker.main",
    "agentgrid.worker.models",
    "pydantic_ai.models.openai",
    "pydantic_ai.providers.openai",
)
"""The imports of the API, the projector and a worker with agents."""
COMMAND_LINE = "from agentgrid.cli.main import main; main()"
SECONDS = 60.0
PR_SET_PDEATHSIG = 1


class Forked:
    """A forked process, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, server: Forks, pid: int) -> None:
        self._server = server
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.request({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self.pid} did not end within {timeout:g} s")
            time.sleep(0.002)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forks:
    """The fork server. Its children die with it."""

    def __init__(self, modules: Sequence[str] = COMMANDS) -> None:
        self._modules = modules

    def __enter__(self) -> Self:
        code = "import sys; from tests.forks import serve; exec(serve(sys.argv[1:]), {'__name__': '__main__'})"
        self._server = subprocess.Popen(
            [sys.executable, "-c", code, *self._modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.kill()
        self._server.communicate()

    def start(
        self, code: str, *arguments: str, cwd: Path, env: Mapping[str, str], out: str | Path, err: str | Path
    ) -> Forked:
        """Start the equivalent of `python -c CODE ARGUMENTS...` in a new session; its output is appended to these files."""
        pid = self.request(
            {
                "code": code,
                "arguments": arguments,
                "cwd": str(cwd),
                "environment": dict(env),
                "streams": [os.devnull, str(out), str(err)],
            }
        )
        return Forked(self, pid)

    def run(
        self, code: str, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the equivalent of `python -c CODE ARGUMENTS...`; environment and folder default to those of this process."""
        environment = os.environ if env is None else env
        with tempfile.TemporaryDirectory(prefix="agentgrid-fork-") as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            forked = self.start(code, *arguments, cwd=cwd or Path.cwd(), env=environment, out=out, err=err)
            try:
                status = forked.wait(SECONDS)
            finally:
                forked.kill()
            command = ["python", "-c", code, *arguments]
            return subprocess.CompletedProcess(command, status, out.read_text(), err.read_text())

    def request(self, request: Mapping[str, Any]) -> Any:
        """Send a request to the server, and return its response."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        if not select.select([self._server.stdout], [], [], SECONDS)[0]:
            self._server.kill()
            raise TimeoutError(f"no response within {SECONDS:g} s: {request}")
        return json.loads(self._server.stdout.readline())


def serve(modules: Sequence[str]) -> str:
    """Runs in the server: forks for each request. Returns only in the children, with the code to run."""
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    prctl, server = ctypes.CDLL(None).prctl, os.getpid()
    for line in sys.stdin:
        request = json.loads(line)
        if "ended" in request:
            pid, status = os.waitpid(request["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif (answer := os.fork()) == 0:
            prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != server:  # the server died before the call
                os._exit(1)
            return _become(request)
        print(json.dumps(answer), flush=True)  # noqa: T201
    os._exit(0)


def _become(request: dict[str, Any]) -> str:
    os.setsid()
    for descriptor, path in enumerate(request["streams"]):
        opened = os.open(path, os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # the old one has buffered input
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    uuid_utils.reseed_rng()  # otherwise all children generate the same ids
    sys.argv = ["-c", *request["arguments"]]
    code: str = request["code"]
    return code
