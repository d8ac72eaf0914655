"""Programs in processes of their own that need not import the libraries first: a server has done so, and forks.

For tests in which a process is needed (its exit code, its streams, the code of a project that it imports) and not a start from nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[1]
IMPORTED = (
    "agentgrid.cli.main",
    "agentgrid.cli.check",
    "agentgrid.cli.client",
    "agentgrid.cli.dev.command",
    "agentgrid.sdk.grid",
)
COMMAND_LINE = "from agentgrid.cli.main import main; main()"
SECONDS = 60.0


class Forks:
    """The server. Programs run one after the other."""

    def __enter__(self) -> Self:
        code = "from tests.forks import forked; exec(forked(), {'__name__': '__main__'})"
        self._server = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.kill()
        self._server.communicate()

    def run(
        self, code: str, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What `python -c CODE ARGUMENTS...` does; without an environment and a folder, in those of this process."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with tempfile.TemporaryDirectory(prefix="agentgrid-fork-") as folder:
            request = {
                "code": code,
                "arguments": arguments,
                "cwd": str(cwd or Path.cwd()),
                "environment": dict(os.environ if env is None else env),
                "streams": [os.devnull, f"{folder}/out", f"{folder}/err"],
            }
            self._server.stdin.write(json.dumps(request).encode() + b"\n")
            self._server.stdin.flush()
            if not select.select([self._server.stdout], [], [], SECONDS)[0]:
                self._server.kill()
                raise TimeoutError(f"not within {SECONDS:g} s: {code} {arguments}")
            status = json.loads(self._server.stdout.readline())
            out, err = (Path(folder, name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(["python", "-c", code, *arguments], status, out, err)


def forked() -> str:
    """In the server: fork for each request. Returns in each child, with the code that it is to run."""
    for module in IMPORTED:
        importlib.import_module(module)
    for line in sys.stdin:
        request = json.loads(line)
        if (child := os.fork()) == 0:
            return _become(request)
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)  # noqa: T201
    os._exit(0)


def _become(request: dict[str, Any]) -> str:
    for descriptor, path in enumerate(request["streams"]):
        opened = os.open(path, os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # the old one holds what is read ahead
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["-c", *request["arguments"]]
    code: str = request["code"]
    return code
