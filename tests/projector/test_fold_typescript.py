"""Histories of the TypeScript SDK: they have nothing from AgentGrid, and are shown completely, under Temporal's own names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.projector.folding import Rows, names, one_pass, recorded

Steps = list[tuple[str, str, str, int]]

STEPS: dict[str, list[Steps]] = {
    "typescript_calls": [
        [
            ("activity", "echo", "completed", 1),
            ("activity", "flaky", "completed", 3),
            ("activity", "broken", "failed", 1),
            ("activity", "hang", "timed_out", 1),
            ("activity", "echo", "completed", 1),
            ("activity", "flaky", "completed", 3),
            ("activity", "broken", "failed", 1),
            ("activity", "bytes", "completed", 1),
            ("activity", "nothing", "completed", 1),
            ("timer", "timer", "completed", 0),
        ]
    ],
    "typescript_scopes": [
        [
            ("activity", "hang", "cancelled", 1),
            ("timer", "timer", "cancelled", 0),
            ("timer", "timer", "completed", 0),
            ("timer", "timer", "completed", 0),
            ("timer", "timer", "cancelled", 0),
            ("timer", "timer", "cancelled", 0),
            ("activity", "echo", "completed", 1),
        ]
    ],
    "typescript_messages": [
        [
            ("signal", "note", "completed", 0),
            ("update", "ask", "completed", 0),
            ("timer", "timer", "completed", 0),
            ("update", "ask", "failed", 0),
            ("timer", "timer", "completed", 0),
            ("signal", "unheard", "completed", 0),
            ("signal", "note", "completed", 0),
        ]
    ],
    "typescript_parent": [
        [
            ("child", "tsChild", "completed", 0),
            ("child", "tsChild", "failed", 0),
            ("child", "tsChild", "completed", 0),
            ("signal", "note", "completed", 0),
            ("signal", "note", "completed", 0),
            ("signal", "cancel", "completed", 0),
            ("signal", "note", "failed", 0),
        ],
        [],
        [],
        [("signal", "note", "completed", 0)],
        [("signal", "note", "completed", 0)],
    ],
    "typescript_continued": [[], [], []],
    "typescript_retried": [[], [], []],
    "typescript_nexus": [
        [
            ("nexus", "clerk.echo", "completed", 0),
            ("nexus", "clerk.child", "completed", 0),
            ("nexus", "clerk.child", "failed", 0),
        ]
    ],
}
ENDS: dict[str, list[Any]] = {
    "typescript_calls": [
        [
            *("plain", "after two failures", "ActivityFailure", "ActivityFailure"),
            *("local", "local after two failures", "ApplicationFailure", 4, {"nested": {"list": [1, "two", None]}}),
        ]
    ],
    "typescript_scopes": [None],
    "typescript_messages": [5],
    "typescript_parent": [["good", "ChildWorkflowFailure", "ApplicationFailure"], "good", "NoGood", "wait", "wait"],
    "typescript_continued": [None, None, 0],
    "typescript_retried": ["Error", "Error", 3],
    "typescript_nexus": [["hello", "good", "NexusOperationFailure"]],
}


def test_every_recording_of_the_typescript_sdk_is_tested_here() -> None:
    assert {name for name in names() if name.startswith("typescript")} == STEPS.keys() == ENDS.keys()


@pytest.mark.parametrize("name", STEPS)
def test_steps_and_ends_match_what_a_person_reads_in_the_history(name: str) -> None:
    folded = [one_pass(execution)[1] for execution in recorded(name)]
    assert [_steps(rows) for rows in folded] == STEPS[name]
    assert [_end(rows) for rows in folded] == ENDS[name]


def _steps(rows: Rows) -> Steps:
    return [(row["kind"], row["name"], row["status"], row.get("attempts", 0)) for _, row in sorted(rows.steps.items())]


def _end(rows: Rows) -> Any:
    if rows.closed.error is not None:
        return rows.closed.error["type"]
    return rows.closed.result["value"] if rows.closed.result is not None else None


def test_arguments_of_the_default_converter_are_decoded_and_bytes_are_opaque() -> None:
    rows = one_pass(recorded("typescript_calls")[0])[1]
    by_name = {row["name"]: row for row in rows.steps.values()}
    assert by_name["nothing"]["input"]["values"] == [None, None]
    assert by_name["bytes"]["input"] == {"size": 4, "encoding": "binary/plain", "opaque": True}
    assert by_name["broken"]["error"]["details"]["value"] == {"code": 7}
    messages = one_pass(recorded("typescript_messages")[0])[1]
    signals = [row["input"] for row in messages.steps.values() if row["kind"] == "signal"]
    assert [stored.get("values", stored.get("value")) for stored in signals] == [["one", 2], {"of": "signal"}, []]


def test_the_sdks_summary_of_a_child_becomes_its_title() -> None:
    rows = one_pass(recorded("typescript_parent")[0])[1]
    titles = [row["title"] for _, row in sorted(rows.steps.items()) if row["kind"] == "child"]
    assert titles == ["A good child", None, None]
