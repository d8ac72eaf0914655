"""`make bench`: what is measured, part by part. The figures go to standard output and, with `--write`, to docs/benchmarks.md."""

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

OUT = ROOT / "docs" / "benchmarks.md"
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
"""Each part has a title, a sentence on how it measures, arguments of its own, and `measure`. Servers and data are its own too."""


def chosen(words: str) -> list[str]:
    """The parts that `--only` names, in their order on the page."""
    wanted = set(PARTS) if words == "all" else set(words.split(","))
    if unknown := wanted - set(PARTS):
        raise argparse.ArgumentTypeError(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return [name for name in PARTS if name in wanted]


def main() -> None:
    """Measure, print, and keep with `--write`."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only",
        type=chosen,
        default="throughput",
        metavar="PART,...",
        help=f"what to measure, of {', '.join(PARTS)}, or `all` (default: throughput)",
    )
    parser.add_argument("--write", action="store_true", help=f"write {OUT.relative_to(ROOT)}")
    for part in PARTS.values():
        part.add_arguments(parser)
    arguments = parser.parse_args()
    # Ended from outside, it ends in good order, and its servers with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for name in arguments.only:
        part = PARTS[name]
        home = Path(tempfile.mkdtemp(prefix="agentgrid-bench-"))
        home.chmod(0o711)
        try:
            figures = asyncio.run(part.measure(arguments, home))
        finally:
            shutil.rmtree(home, ignore_errors=True)
        body = section(part.SAYS, shlex.join(sys.argv[1:]), figures)
        print(f"## {part.TITLE}\n\n{body}\n", flush=True)
        if arguments.write:
            # After each part: one that fails later takes nothing of it away.
            page = OUT.read_text() if OUT.exists() else ""
            OUT.write_text(merged(page, {part.TITLE: body}, [each.TITLE for each in PARTS.values()]))


if __name__ == "__main__":
    main()
