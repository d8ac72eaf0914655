"""Tokens and money on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from agentgrid.cli import words
from agentgrid.cli.text import safe

OFFLINE_MODEL = "offline model"


def money(usd: float | None, unpriced: int) -> str:
    """US dollars; requests without a known price are counted, never shown as 0."""
    if usd is None:
        return "unpriced" if unpriced else ""
    if usd == 0:
        amount = "$0"
    elif usd < 0.0001:
        amount = "under $0.0001"
    else:
        whole, cents = f"{usd:,.4f}".split(".")
        amount = f"${whole}.{cents[:2]}{cents[2:].rstrip('0')}"
    return f"{amount} + {unpriced} unpriced" if unpriced else amount


def tokens(usage: Mapping[str, Any]) -> str:
    """Input and output tokens."""
    return f"{usage['input_tokens']:,} in, {usage['output_tokens']:,} out"


def _requests(usage: Mapping[str, Any]) -> str:
    return f"{usage['requests']:,} request{'' if usage['requests'] == 1 else 's'}"


def used(usage: Mapping[str, Any] | None) -> str | None:
    """A total: money, requests, tokens. None without requests."""
    if not usage or not usage["requests"]:
        return None
    return "  ".join(filter(None, (money(usage["usd"], usage["unpriced"]), _requests(usage), tokens(usage))))


def of_step(step: Mapping[str, Any]) -> list[Text]:
    """Notes on an agent's step, with its totals so far, or on a model turn."""
    usage = step.get("usage")
    if step["kind"] == "agent":
        # Most important first: a narrow terminal cuts the end.
        version = [Text(f"version {safe(step['version'])}", style="dim")] if step.get("version") else []
        if not usage or not usage["requests"]:
            return version
        price = money(usage["usd"], usage["unpriced"])
        return [*([Text(price)] if price else []), *version, Text(_requests(usage)), Text(tokens(usage))]
    if step["kind"] != "model" or not usage:
        return []
    model = str(usage.get("model") or "")
    offline = model == OFFLINE_MODEL
    parts = [Text(safe(model), style="yellow" if offline else "")] if model else []
    if not offline and (price := money(usage["usd"], usage["unpriced"])):
        parts.append(Text(price, style="yellow" if usage["unpriced"] else ""))
    parts.append(Text(tokens(usage)))
    if usage.get("latency_ms") is not None and not offline:
        parts.append(Text(f"answered in {words.duration(usage['latency_ms'] / 1000)}", style="dim"))
    return parts
