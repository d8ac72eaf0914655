"""Expensive input checks, each in a child process with limits on time and memory.

With a recursive schema the number of faults can be exponential in the value's depth, and the library can't be interrupted. So a check
that may be expensive runs in a child process, which gets the schema and the value, but not this process's environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from typing import Any

from agentgrid.domain import schemas
from agentgrid.errors import RateLimited

SECONDS = 5.0
MEMORY_BYTES = 1 << 30
MAX_CONCURRENT = 2

FITS = "fits"
FAILS = "fails"

_running = 0


async def faults(schema: dict[str, Any], value: Any) -> list[tuple[list[str | int], str]]:
    """The first faults, each with its path; empty if the value fits. Raises RateLimited while too many checks are running."""
    global _running
    if _running >= MAX_CONCURRENT:
        raise RateLimited(
            "too many expensive input checks are running; try again in a moment", retry_after_seconds=SECONDS
        )
    _running += 1
    try:
        verdict, _, listed = (await _run_child(json.dumps({"schema": schema, "value": value}))).partition("\n")
    finally:
        _running -= 1
    if verdict == FITS:
        return []
    if verdict != FAILS:
        return [([], f"could not be checked within {SECONDS:.0f} s: the schema is too ambiguous for this value")]
    try:
        return [(path, message) for path, message in json.loads(listed)]
    except ValueError:
        return [([], f"does not fit the schema; the exact place could not be found within {SECONDS:.0f} s")]


async def _run_child(request: str) -> str:
    """The child's output until it exited or was killed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", __name__),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    output = b""
    try:
        async with asyncio.timeout(SECONDS):
            process.stdin.write(request.encode())
            process.stdin.close()
            while part := await process.stdout.read(65536):
                output += part
    except (TimeoutError, OSError):
        pass
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return output.decode()


def main() -> None:
    """Check the value from stdin; print the verdict first, then the faults."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS), int(SECONDS)))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    request = json.loads(sys.stdin.buffer.read())
    ready = schemas.compiled(request["schema"])
    fits = ready.validator.is_valid(request["value"])
    sys.stdout.write(f"{FITS if fits else FAILS}\n")
    sys.stdout.flush()
    if not fits:
        sys.stdout.write(json.dumps(schemas.faults(ready, request["value"])))


if __name__ == "__main__":
    main()
