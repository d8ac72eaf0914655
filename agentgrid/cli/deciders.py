"""Which of this folder's profiles may decide an approval: a hint that can't work is worse than none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentgrid.cli.client import ApiClient
from agentgrid.cli.exits import CommandFailed
from agentgrid.cli.profiles import ApiTarget, other_targets

MAX_PROFILES = 8


def deciders_of(target: ApiTarget, run_id: str, approvals: Sequence[Mapping[str, Any]]) -> dict[str, ApiTarget]:
    """The first profile that may decide each of the run's approvals, trying the current one first.

    Each profile asks the server what it may decide; the response has no payloads. A profile that the server refuses is skipped.
    """
    open_ = {approval["approval_id"] for approval in approvals}
    deciders: dict[str, ApiTarget] = {}
    for profile in [target, *other_targets(target)][:MAX_PROFILES]:
        if open_ <= deciders.keys():
            break
        for approval_id in _may_decide(profile, run_id):
            deciders.setdefault(approval_id, profile)
    return deciders


def _may_decide(target: ApiTarget, run_id: str) -> list[str]:
    try:
        with ApiClient(target) as client:
            page = client.get("/approvals", run=run_id, status=["pending"], assigned_to="me", limit=200).json()
            return [approval["approval_id"] for approval in page["items"]]
    except (CommandFailed, KeyError, TypeError):
        return []
