"""Remembers which scheduled activity each decision admitted, in this process.

One approval allows one effect. The decision binds execution and call key, but workflow code, or anyone else who can write an execution's
commands, can schedule the same call again with the same decision. So each decision admits one scheduled activity: later attempts of it
pass, and any other activity requires a new approval.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agentgrid.domain.approvals import Decision

CAPACITY = 10_000
"""Far more decisions than people make while one is valid. An entry takes about 300 bytes."""

NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """One scheduled activity."""

    activity_id: str
    scheduled_at: datetime
    """When Temporal scheduled it. Activity ids can be reused once the first activity has ended."""
    local: bool
    attempt: int

    def continues(self, admitted: Scheduled) -> bool:
        """Whether this is an attempt of the admitted activity.

        After a long backoff a local activity is scheduled again under a new id, keeping its attempt number; after a failed workflow task it
        runs again under the same id, at another time. To Temporal both are the same call.
        """
        if self.local and admitted.local:
            return self.activity_id == admitted.activity_id or self.attempt > 1
        return (self.activity_id, self.scheduled_at) == (admitted.activity_id, admitted.scheduled_at)


@dataclass(kw_only=True)
class Admissions:
    """A bounded LRU cache. A decision that may have been evicted counts as used."""

    capacity: int = CAPACITY
    _admitted: OrderedDict[str, tuple[Scheduled, datetime]] = field(default_factory=OrderedDict)
    _forgotten_until: datetime = NEVER
    """The newest date of any evicted decision. An unknown decision up to this date may be an evicted one."""

    def refusal(self, decision: Decision, scheduled: Scheduled) -> str | None:
        """Why the decision does not admit this activity, or None."""
        admitted = self._admitted.get(decision.approval_id)
        if admitted is None:
            known = decision.decided_at > self._forgotten_until
            return None if known else "it may already have admitted another call"
        return None if scheduled.continues(admitted[0]) else "it already admitted another call"

    def admitted(self, decision: Decision) -> bool:
        """Whether this process has admitted an activity under the decision."""
        return decision.approval_id in self._admitted

    def admit(self, decision: Decision, scheduled: Scheduled) -> None:
        """Record that the decision admitted this activity."""
        entry = self._admitted.get(decision.approval_id, (scheduled, decision.decided_at))
        self._admitted[decision.approval_id] = entry
        self._admitted.move_to_end(decision.approval_id)
        while len(self._admitted) > self.capacity:
            _, (_, decided_at) = self._admitted.popitem(last=False)
            self._forgotten_until = max(self._forgotten_until, decided_at)
