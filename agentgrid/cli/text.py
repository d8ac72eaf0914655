"""Makes untrusted text safe to print: characters that a terminal would act on or wouldn't show are escaped."""

from __future__ import annotations

import unicodedata

INVISIBLE_LETTERS = frozenset("\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters by category, but invisible."""

ESCAPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Control, format (bidi marks, zero-width and tag characters), surrogate, private use, line and paragraph separators."""


def _needs_escape(character: str) -> bool:
    return unicodedata.category(character) in ESCAPED_CATEGORIES or character in INVISIBLE_LETTERS


def _json_escape(character: str) -> str:
    number = ord(character)
    if number > 0xFFFF:
        number -= 0x10000
        return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"
    return f"\\u{number:04x}"


def _plain_escape(character: str) -> str:
    number = ord(character)
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if short:
        return short
    return f"\\x{number:02x}" if number <= 0xFF else f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def safe(value: object) -> str:
    """The value as one printable line: ESC becomes `\\x1b`, a line end `\\n`, a right-to-left override `\\u202e`."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_plain_escape(character) if _needs_escape(character) else character for character in text)


def safe_lines(value: object) -> str:
    """Like `safe`, with line ends kept."""
    return "\n".join(safe(line) for line in str(value).replace("\r\n", "\n").split("\n"))


def safe_json(document: str) -> str:
    """The same JSON value, with such characters written as JSON escapes.

    They can only occur in strings: outside strings, JSON allows only four white-space characters, which are kept.
    """
    return "".join(
        _json_escape(character) if character not in " \n\r\t" and _needs_escape(character) else character
        for character in document
    )
