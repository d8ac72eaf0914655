"""Statuses, times and durations on the terminal. All icons and colours are defined here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from agentgrid.cli.text import safe

ICONS: Mapping[str, tuple[str, str]] = {
    "queued": ("○", "dim"),
    "scheduled": ("○", "dim"),
    "pending": ("◆", "yellow"),
    "running": ("●", "cyan"),
    "live": ("●", "green"),
    "active": ("●", "green"),
    "waiting": ("◆", "yellow"),
    "paused": ("‖", "magenta"),
    "cancelling": ("◌", "yellow"),
    "completed": ("✓", "green"),
    "applied": ("✓", "green"),
    "approved": ("✓", "green"),
    "delivered": ("→", "cyan"),
    "failed": ("✗", "bold red"),
    "rejected": ("✗", "red"),
    "proposed": ("◔", "yellow"),
    "refused": ("✗", "red"),
    "expired": ("⌛", "red"),
    "timed_out": ("⌛", "red"),
    "cancelled": ("⊘", "dim"),
    "terminated": ("⊘", "red"),
    "superseded": ("⊘", "dim"),
    "abandoned": ("⊘", "dim"),
    "lost": ("⊘", "red"),
    "stale": ("◌", "yellow"),
    "shutting_down": ("◌", "dim"),
    "enabled": ("●", "green"),
    "disabled": ("⊘", "bold red"),
    "in_force": ("●", "green"),
    "retired": ("◌", "yellow"),
    "revoked": ("⊘", "red"),
}

RISK_STYLES = {"read": "green", "write": "yellow", "destructive": "bold red"}
EFFECT_STYLES = {"allow": "green", "require_approval": "yellow", "deny": "bold red"}
LEVEL_STYLES = {"debug": "dim", "info": "", "warning": "yellow", "error": "red", "critical": "bold red"}

NOTHING = Text("–", style="dim")

UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def status(word: object, suffix: str = "") -> Text:
    """A status with its icon and colour; an unknown status is printed as is."""
    icon, style = ICONS.get(str(word), ("·", ""))
    return Text(f"{icon} {safe(word)}{suffix}", style=style)


def run_status(run: Mapping[str, Any]) -> Text:
    """A run's status and what it waits on."""
    waiting_on = run.get("waiting_on")
    return status(run["status"], f" · {safe(waiting_on)}" if waiting_on else "")


def unattributed(signal: Mapping[str, Any]) -> str:
    """The text shown instead of a person for an unattributed signal."""
    claim = signal["claimed_principal"]
    return f"unattributed (claims {safe(claim)})" if claim else "unattributed"


def styled(word: object, styles: Mapping[str, str]) -> Text:
    """A word in its colour."""
    return Text(safe(word), style=styles.get(str(word), ""))


def yes_no(value: bool | None, *, no_style: str = "red") -> Text:
    """Yes, no or unknown."""
    if value is None:
        return Text("unknown", style="dim")
    return Text("yes", style="green") if value else Text("no", style=no_style)


def moment(value: str | None) -> datetime | None:
    """Parse a time from the API."""
    return None if value is None else datetime.fromisoformat(value).astimezone(UTC)


def duration(seconds: float) -> str:
    """A duration in its two largest units: `0.4s`, `12s`, `3m 05s`, `2h 10m`, `5d 3h`."""
    if seconds < 0:
        return "0s"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600}h"


def ago(value: str | None, now: datetime | None = None) -> Text:
    """Time since or until a moment."""
    at = moment(value)
    if at is None:
        return NOTHING
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    return Text(f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}")


def short_ago(value: str | None, now: datetime | None = None) -> Text:
    """Like `ago`, for lists: past times in one unit (`7m ago`), future times in two, because they may be urgent (`in 3h 59m`)."""
    at = moment(value)
    if at is None:
        return NOTHING
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if seconds < 0:
        return Text(f"in {duration(-seconds)}")
    unit, length = next((unit for unit in UNITS if seconds >= unit[1]), UNITS[-1])
    return Text(f"{int(seconds // length)}{unit} ago")


def absolute(value: str | None) -> str:
    """A moment in UTC, to the second."""
    at = moment(value)
    return "–" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def between(start: str | None, end: str | None, now: datetime | None = None) -> str:
    """Time from one moment to another, or to now."""
    began = moment(start)
    if began is None:
        return ""
    return duration(((moment(end) or now or datetime.now(UTC)) - began).total_seconds())
