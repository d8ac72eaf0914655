"""Untrusted text can't control the terminal, and all of it is visible."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgrid.cli.output import error_text
from agentgrid.cli.text import safe, safe_json, safe_lines


def test_a_failure_whose_cause_repeats_it_is_shown_once() -> None:
    failure = {"type": "ToolError", "message": "no such ticket"}
    text = error_text(
        {"message": "task failed", "cause": failure | {"cause": failure | {"cause": {"type": "KeyError"}}}}
    )
    assert text is not None
    assert text.plain == "task failed ← ToolError: no such ticket ← KeyError"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("approve \u202etxt.exe", "approve \\u202etxt.exe"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("pay\u200bpal", "pay\\u200bpal"),
        ("one\ntwo\r\n", "one\\ntwo\\r\\n"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("filler\u3164", "filler\\u3164"),
        ("soft\u00adhyphen", "soft\\xadhyphen"),
        ("café 日本 ✓", "café 日本 ✓"),
    ],
)
def test_control_and_invisible_characters_are_escaped(raw: str, shown: str) -> None:
    assert safe(raw) == shown


@given(st.text())
def test_safe_text_has_no_control_characters(text: str) -> None:
    assert not {unicodedata.category(character) for character in safe(text)} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert "\r" not in safe_lines(text)


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_escaped_json_is_the_same_value(value: object) -> None:
    shown = safe_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(shown) == value
    assert not {unicodedata.category(character) for character in shown if character != "\n"} & {"Cc", "Cf", "Cs", "Co"}
