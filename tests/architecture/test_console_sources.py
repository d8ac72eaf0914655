"""Conventions of the console's code."""

from __future__ import annotations

import re
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "console" / "src"
LONGEST_COMPONENT = 250
GENERATED = "schema.d.ts"


def sources(*endings: str) -> dict[str, str]:
    """The console's hand-written files, without tests."""
    paths = (path for ending in endings for path in SOURCES.rglob(f"*{ending}"))
    return {
        path.relative_to(SOURCES).as_posix(): path.read_text()
        for path in paths
        if path.name != GENERATED and ".test." not in path.name
    }


def test_no_file_is_too_long() -> None:
    lengths = {name: text.count("\n") for name, text in sources(".ts", ".tsx").items()}
    assert len(lengths) > 100
    assert not {name: lines for name, lines in lengths.items() if lines > LONGEST_COMPONENT}


def test_no_text_is_interpreted_as_markup_or_code() -> None:
    forbidden = re.compile(
        r"\b(innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML)\b|document\.write|\beval\("
    )
    assert not [name for name, text in sources(".ts", ".tsx").items() if forbidden.search(text)]


def test_colours_are_defined_in_one_file() -> None:
    colour = re.compile(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)|\b(?:hsl|oklch)\(")
    files = {name for name, text in sources(".css").items() if colour.search(text)}
    assert files == {"tokens.css"}


def test_the_words_for_statuses_are_written_in_one_file() -> None:
    status = (SOURCES / "status.tsx").read_text()
    table = status[status.index("export const STATUS = {") : status.index("} satisfies Record<string, Look>")]
    words = re.findall(r'word: "([^"]+)"', table)
    assert len(words) > 10
    literal = re.compile("|".join(rf'"{word}"' for word in words))
    assert {name for name, text in sources(".ts", ".tsx").items() if literal.search(text)} == {"status.tsx"}
