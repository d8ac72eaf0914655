"""`make bench`: run the benchmark's parts. The figures go to standard output and, with `--write`, to docs/benchmarks.md."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.bench import agents, console, decide, front, lists, projecting, start, streams, throughput, waiting
from tests.bench.page import merged, section
from tests.bench.stand import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
PARTS = {
    "throughput": throughput,
    "api": front,
    "lists": lists,
    "streams": streams,
    "decide": decide,
    "projector": projecting,
    "start": start,
    "waiting": waiting,
    "agents": agents,
    "console": console,
}
"""Each part is a module with `TITLE`, `METHOD` (how it measures), `add_arguments` and `measure`, and starts its own servers with its own data."""


def chosen_parts(words: str) -> list[str]:
    """The parts named by `--only`, in the order of the page."""
    names = set(PARTS) if words == "all" else set(words.split(","))
    if unknown := names - set(PARTS):
        raise argparse.ArgumentTypeError(f"unknown part: {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    return [name for name in PARTS if name in names]


def main() -> None:
    """Measure and print the chosen parts; with `--write`, also update the page."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only",
        type=chosen_parts,
        default="throughput",
        metavar="PART,...",
        help=f"parts to measure: {', '.join(PARTS)}, or `all` (default: throughput)",
    )
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    for part in PARTS.values():
        part.add_arguments(parser)
    arguments = parser.parse_args()
    # SIGTERM also shuts down in order, and stops the servers.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for name in arguments.only:
        part = PARTS[name]
        home = Path(tempfile.mkdtemp(prefix="agentgrid-bench-"))
        home.chmod(0o711)
        try:
            figures = asyncio.run(part.measure(arguments, home))
        finally:
            shutil.rmtree(home, ignore_errors=True)
        body = section(part.METHOD, shlex.join(sys.argv[1:]), figures)
        print(f"## {part.TITLE}\n\n{body}\n", flush=True)
        if arguments.write:
            # Write after each part, so that a later failure loses nothing.
            page = PAGE.read_text() if PAGE.exists() else ""
            PAGE.write_text(merged(page, {part.TITLE: body}, [other.TITLE for other in PARTS.values()]))


if __name__ == "__main__":
    main()
