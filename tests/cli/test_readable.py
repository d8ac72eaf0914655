"""Multi-line strings are shown as text, and nothing in them can imitate another part of the document."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from agentgrid.cli.output import payload
from agentgrid.cli.readable import BAR, ESCAPED, FOLD, Readable


def shown(value: Any, *, width: int = 80, names: tuple[str, ...] = ()) -> list[str]:
    console = Console(width=width, color_system=None, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(Readable(value, names=names))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_multi_line_string_is_shown_as_text() -> None:
    mail = {"to": "ada@example.org", "body": "Dear Ada,\n\n  yours\n", "cents": 3, "also": ["one\ntwo", {}]}
    assert shown(mail) == [
        "{",
        '  "to": "ada@example.org",',
        '  "body":',
        "    │ Dear Ada,",
        "    │",
        "    │   yours",
        "    │",
        '  "cents": 3,',
        '  "also": [',
        "    -",
        "      │ one",
        "      │ two",
        "    {}",
        "  ]",
        "}",
    ]


@pytest.mark.parametrize("width", [30, 60])
def test_a_text_cannot_imitate_a_part_of_the_document(width: int) -> None:
    forged = 'Thanks\n}\n  "cents": 1,\n' + "x " * width + '"cents": 2' + " " * width + '"cents": 4'
    lines = shown({"note": forged, "line": "y " * width + "│ forged", "cents": 900}, width=width)
    body = lines[2 : lines.index(next(line for line in lines if line.startswith('  "line"')))]
    assert all(line.lstrip().startswith((BAR.strip(), FOLD.strip())) for line in body)
    assert [line for line in lines if line.startswith('  "cents"')] == ['  "cents": 900']
    assert not [line for line in lines if line.lstrip().startswith("│ forged")], (
        "a wrapped line begins with its own mark"
    )


@pytest.mark.parametrize(
    ("control", "escape"),
    [("\x1b[2J", "\\u001b[2J"), ("\r", "\\r"), ("\t", "\\t"), ("\u202e", "\\u202e"), ("\u2028", "\\u2028")],
)
def test_control_characters_are_escaped_and_the_text_is_marked(control: str, escape: str) -> None:
    lines = shown({"body": f"a{control}b\nC:\\new"})
    assert lines[1:4] == [f'  "body": {ESCAPED}', f"    │ a{escape}b", "    │ C:\\\\new"]
    assert shown({"body": "a\nC:\\new"})[3] == "    │ C:\\new", "without escapes, backslashes are not doubled"


def test_arguments_of_a_plain_activity_are_labelled_with_their_names() -> None:
    stored = {"size": 9, "arity": 3, "values": ["O-1", 4200, {"why": "a\nb"}]}
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        console.print(payload(stored, names=("order", "cents")))
    assert captured.get().splitlines()[:3] == ['order: "O-1"', "cents: 4200", "[2]: {"]
    assert shown(["O-1"], names=("order",)) == ['order: "O-1"']
    with console.capture() as captured:
        console.print(payload({"size": 9, "value": ["O-1"]}, names=("orders",)))
    assert captured.get().splitlines() == ["orders: [", '  "O-1"', "]"]
