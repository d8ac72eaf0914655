"""Checks of inputs that could take long, each in a process of its own that ends when its time or memory is used up.

What a schema that refers to itself finds wrong with a value can be exponential in the value's depth, and the library can't
be interrupted: where the cost isn't known to be small, somebody else's process bears it. It gets schema and value, and no secret
of this process's environment.
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
AT_ONCE = 2

FITS = "fits"
FAILS = "fails"

_running = 0


async def faults(schema: dict[str, Any], value: Any) -> list[tuple[list[str | int], str]]:
    """The first faults, each with its path; none where the value fits. Raises RateLimited while too many are looked for."""
    global _running
    if _running >= AT_ONCE:
        raise RateLimited("other inputs that take long to check are being checked", retry_after_seconds=SECONDS)
    _running += 1
    try:
        verdict, _, found = (await _asked(json.dumps({"schema": schema, "value": value}))).partition("\n")
    finally:
        _running -= 1
    if verdict == FITS:
        return []
    if verdict != FAILS:
        return [([], f"can't be checked within {SECONDS:.0f} s: the schema leaves too many ways to read it")]
    try:
        return [(path, said) for path, said in json.loads(found)]
    except ValueError:
        return [([], f"does not fit; where can't be said within {SECONDS:.0f} s")]


async def _asked(question: str) -> str:
    """What the process said until it ended, or was ended."""
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
    said = b""
    try:
        async with asyncio.timeout(SECONDS):
            process.stdin.write(question.encode())
            process.stdin.close()
            while part := await process.stdout.read(65536):
                said += part
    except (TimeoutError, OSError):
        pass
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return said.decode()


def main() -> None:
    """Answer the question on stdin: the verdict at once, the faults as they are found out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS), int(SECONDS)))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    question = json.loads(sys.stdin.buffer.read())
    ready = schemas.compiled(question["schema"])
    fits = ready.validator.is_valid(question["value"])
    sys.stdout.write(f"{FITS if fits else FAILS}\n")
    sys.stdout.flush()
    if not fits:
        sys.stdout.write(json.dumps(schemas.faults(ready, question["value"])))


if __name__ == "__main__":
    main()
