"""Helpers for developers' own tests.

`Governance` is an in-memory policy with an approver who decides a workflow's approvals. `agentgrid.testing.provider` is a local model provider
that speaks the real protocols; import it explicitly, because it loads a web server. `scripted` answers model turns without a provider.
`secrets` gives tools their secrets.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentgrid.sdk.context import keyed
    from agentgrid.sdk.secrets import secrets
    from agentgrid.testing.governance import Governance, open_approvals
    from agentgrid.testing.models import scripted
    from agentgrid.testing.turns import Call, Fault, Turn

__all__ = ["Call", "Fault", "Governance", "Turn", "keyed", "open_approvals", "scripted", "secrets"]

_HOMES = {
    "Call": "agentgrid.testing.turns",
    "Fault": "agentgrid.testing.turns",
    "Governance": "agentgrid.testing.governance",
    "Turn": "agentgrid.testing.turns",
    "keyed": "agentgrid.sdk.context",
    "open_approvals": "agentgrid.testing.governance",
    "scripted": "agentgrid.testing.models",
    "secrets": "agentgrid.sdk.secrets",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'agentgrid.testing' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
