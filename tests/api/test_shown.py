"""What a caller may see of an error."""

from __future__ import annotations

from typing import Any

from agentgrid.api.shown import Shown

AT_WORKER = '  File "/x/agentgrid/worker/activities.py", line 158, in execute_activity\n'
AT_TOOL = '  File "/srv/activities/desk.py", line 8, in refuse\n'


def test_an_error_repeated_by_its_cause_is_shown_once_with_the_causes_location() -> None:
    """A `ToolError` is recorded this way: as the worker's error, caused by itself."""
    error = {"type": "ToolError", "message": "the desk refused A-1"}
    before = {"type": "KeyError", "message": "'A-1'", "stack": None, "cause": None}
    inner = {**error, "retryable": True, "stack": AT_TOOL, "details": None, "cause": before}
    stored = {**error, "retryable": False, "stack": AT_WORKER, "details": None, "cause": inner}
    wrapped = {"type": "ActivityError", "message": "Activity task failed", "cause": stored}
    for payloads in (True, False):
        outer: Any = Shown(payloads=payloads).error(wrapped)
        found = outer.cause
        assert (outer.type, found.type, found.retryable) == ("ActivityError", "ToolError", False)
        assert (found.cause.type, found.cause.cause) == ("KeyError", None)
        if payloads:
            assert (found.message, found.at, found.stack) == (
                "the desk refused A-1",
                "srv/activities/desk.py:8 in refuse",
                AT_TOOL,
            )
    other: Any = Shown(payloads=True).error({**stored, "cause": {**inner, "message": "another"}})
    assert (other.at, other.cause.message) == (None, "another")
