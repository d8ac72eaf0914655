"""Events of the live streams."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from agentgrid.api.schemas.common import Out


class EventOut(Out):
    """The `data` of one server-sent event; its `id` is the event's id, its `event` the kind."""

    run_id: str
    kind: Literal["run", "step", "approval", "end"]
    subject: str | None
    data: dict[str, Any]
    at: datetime
