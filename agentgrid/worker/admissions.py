"""Which scheduled activity each decision let through, in this process.

One approval lets one effect through. The decision itself binds execution and call key, but workflow code, or whoever else may write the
commands of an execution, can schedule the same call again and present the same decision. So each decision admits one scheduled activity:
its attempts go on, any other activity is asked about again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agentgrid.domain.approvals import Decision

KEPT = 10_000
"""People make far fewer decisions in the time for which one counts. An entry takes about 300 bytes."""

NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """One scheduled activity."""

    activity_id: str
    scheduled_at: datetime
    """When Temporal scheduled it: an activity id may be used again once the first one has ended."""
    local: bool
    attempt: int

    def continues(self, admitted: Scheduled) -> bool:
        """Whether this is an attempt of the admitted activity.

        A local activity that backs off is scheduled again under another id, with the number of its attempt; one whose workflow task failed
        runs again under its id, at another time. Both are the same call to Temporal.
        """
        if self.local and admitted.local:
            return self.activity_id == admitted.activity_id or self.attempt > 1
        return (self.activity_id, self.scheduled_at) == (admitted.activity_id, admitted.scheduled_at)


@dataclass(kw_only=True)
class Admissions:
    """A bounded memory, least recently used out. What it forgets counts as admitted before."""

    kept: int = KEPT
    _admitted: OrderedDict[str, tuple[Scheduled, datetime]] = field(default_factory=OrderedDict)
    _forgotten_until: datetime = NEVER
    """The newest date of the decisions that were forgotten: of those up to it, an unknown one may have been one of them."""

    def refusal(self, decision: Decision, scheduled: Scheduled) -> str | None:
        """Why the decision admits no such activity, or None."""
        admitted = self._admitted.get(decision.approval_id)
        if admitted is None:
            known = decision.decided_at > self._forgotten_until
            return None if known else "it is not known whether it let a call through before"
        return None if scheduled.continues(admitted[0]) else "it let another call through before"

    def admitted(self, decision: Decision) -> bool:
        """Whether an activity was admitted under the decision here."""
        return decision.approval_id in self._admitted

    def admit(self, decision: Decision, scheduled: Scheduled) -> None:
        """Remember that the decision let this activity through."""
        entry = self._admitted.get(decision.approval_id, (scheduled, decision.decided_at))
        self._admitted[decision.approval_id] = entry
        self._admitted.move_to_end(decision.approval_id)
        while len(self._admitted) > self.kept:
            _, (_, decided_at) = self._admitted.popitem(last=False)
            self._forgotten_until = max(self._forgotten_until, decided_at)
