"""Port selection: the given ports, else those of the previous start, else the defaults, else free ones."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from agentgrid.servers.child import ServerError, free_port, require_free_port

DEFAULT_PORTS = {"api": 8700, "temporal": 7233, "postgres": 5499}


def choose_ports(home: Path, requested: Mapping[str, int | None], say: Callable[[str], None]) -> dict[str, int]:
    """A port for each purpose, stored in `ports.json`, so that bookmarks and profiles stay valid.

    Raises ServerError if an explicitly given port is in use; any other is replaced by a free one, with a message.
    """
    file = home / "ports.json"
    remembered = _remembered(file)
    chosen: dict[str, int] = {}
    for purpose, default in DEFAULT_PORTS.items():
        port = requested.get(purpose)
        if port is not None:
            require_free_port(port, purpose)
            chosen[purpose] = port
            continue
        port = remembered.get(purpose, default)
        if port in chosen.values() or not _is_free(port):
            replacement = free_port()
            say(f"port {port} is in use: {purpose} uses {replacement} instead")
            port = replacement
        chosen[purpose] = port
    file.write_text(json.dumps(chosen, indent=2) + "\n")
    return chosen


def _is_free(port: int) -> bool:
    try:
        require_free_port(port, "")
    except ServerError:
        return False
    return True


def _remembered(file: Path) -> dict[str, int]:
    with contextlib.suppress(OSError, ValueError):
        stored = json.loads(file.read_text())
        if isinstance(stored, dict):
            return {purpose: port for purpose, port in stored.items() if isinstance(port, int) and 0 < port < 65_536}
    return {}
