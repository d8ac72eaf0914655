"""Golden histories: recorded once, replayed against the current code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory

STACKS = ("stackTrace", "stack_trace")
HISTORIES = Path(__file__).parent / "histories"


def record(name: str, history: WorkflowHistory) -> None:
    """Save a history as `histories/<name>.json`, without details of the machine that recorded it."""
    path = HISTORIES / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"workflow_id": history.workflow_id, **without_machine(history.to_json_dict())}
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def load(path: Path) -> WorkflowHistory:
    """Load a recorded history."""
    document = json.loads(path.read_text())
    return WorkflowHistory.from_json(document.pop("workflow_id"), document)


def recorded(folder: str) -> list[Path]:
    """The histories in one folder, by name."""
    return sorted((HISTORIES / folder).glob("*.json"))


def without_machine(value: Any) -> Any:
    """The JSON of a history without stack traces, which contain folders of the machine that recorded it."""
    if isinstance(value, dict):
        return {key: without_machine(inner) for key, inner in value.items() if key not in STACKS}
    if isinstance(value, list):
        return [without_machine(inner) for inner in value]
    return value
