"""Secret names, and redaction of secret values in everything that leaves a worker. No I/O."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
"""Valid names. They are used as names of environment variables and files, and must not allow path traversal."""

MIN_REDACTED = 8
"""Values with fewer characters are not redacted: they would match ordinary words and numbers."""
KEPT_VALUES = 8
"""How many values of one secret are redacted: after a rotation, previous values may still be valid."""
MAX_DEPTH = 20
QUOTED_BYTES = 50
"""Pydantic's errors truncate longer inputs to their first 25 and last 24 bytes."""

_UNCHANGED = (bool, int, float, type(None))


def mark(name: str) -> str:
    """What is shown in place of the value."""
    return f"<secret {name}>"


def forms(value: str) -> set[str]:
    """The texts in which a value may appear: verbatim, quoted, JSON-escaped, URL-encoded, and in base64 at any offset."""
    quoted = repr(value)
    texts = {value, quoted[1:-1], repr(value.encode())[2:-1]}
    if len(raw := quoted.encode()) > QUOTED_BYTES:
        texts.add(f"{raw[:25].decode(errors='ignore')}...{raw[-24:].decode(errors='ignore')}")
    for encoded in (quote(value, safe=""), quote(value), quote_plus(value)):
        texts |= {encoded, re.sub("%..", lambda escape: escape[0].lower(), encoded)}
    for _ in range(2):  # a text in JSON, and that JSON as a text in JSON
        texts |= {json.dumps(text, ensure_ascii=ascii)[1:-1] for text in texts for ascii in (True, False)}
    texts |= {text.replace("/", "\\/") for text in texts}  # as some JSON encoders write it
    for offset, start in enumerate((0, 2, 3)):
        raw = b"\0" * offset + value.encode()
        for encoded_bytes in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
            # Only the characters that depend on nothing but the value.
            texts.add(encoded_bytes.decode()[start : len(raw) * 8 // 6])
    return texts


class Redactor:
    """Replaces the values of known secrets in texts. Thread-safe; costs nothing while it knows none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, tuple[str, ...]] = {}
        self._forms: tuple[tuple[str, bytes, str], ...] = ()
        """Each form as text and bytes, with its secret's name; longest first, because one may contain another."""

    @property
    def active(self) -> bool:
        """Whether any value is known."""
        return bool(self._forms)

    @property
    def longest(self) -> int:
        """The number of characters of the longest known form; 0 if no value is known."""
        return len(self._forms[0][0]) if self._forms else 0

    def learn(self, name: str, value: str) -> None:
        """Redact this value from now on, along with the secret's previous ones."""
        if len(value) < MIN_REDACTED or value in self._values.get(name, ()):
            return
        with self._lock:
            self._values[name] = (*self._values.get(name, ()), value)[-KEPT_VALUES:]
            self._compile()

    def forget(self, name: str, value: str) -> None:
        """Stop redacting this value."""
        with self._lock:
            self._values[name] = tuple(kept for kept in self._values.get(name, ()) if kept != value)
            self._compile()

    def _compile(self) -> None:
        pairs = {form: name for name, values in self._values.items() for value in values for form in forms(value)}
        longest = sorted(pairs.items(), key=lambda pair: (-len(pair[0]), pair))
        self._forms = tuple((form, form.encode(), name) for form, name in longest)

    def text(self, text: str) -> str:
        """The text with each value replaced; the same object if it holds none."""
        for form, _, name in self._forms:
            if form in text:
                text = text.replace(form, mark(name))
        return text

    def beginning(self, text: str, characters: int) -> str:
        """The first characters of the redacted text. Truncating before redacting could leave part of a value, which no form matches."""
        return self.text(text)[:characters]

    def data(self, data: bytes) -> bytes:
        """The bytes with each value replaced; the same object if they hold none."""
        for _, form, name in self._forms:
            if form in data:
                data = data.replace(form, mark(name).encode())
        return data

    def names_in(self, data: bytes | str) -> set[str]:
        """The secrets whose values occur in this text or these bytes."""
        if isinstance(data, str):
            return {name for form, _, name in self._forms if form in data}
        return {name for _, form, name in self._forms if form in data}

    def shown(self, value: Any, depth: int = 0) -> Any:
        """A value for a log line: the same object if it contains no secret, otherwise a redacted copy."""
        if isinstance(value, _UNCHANGED):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.data(value)
        if depth < MAX_DEPTH:
            if type(value) is dict:
                pairs = {self.shown(key, depth + 1): self.shown(item, depth + 1) for key, item in value.items()}
                return pairs if any(a is not b for a, b in zip(_parts(pairs), _parts(value), strict=False)) else value
            if type(value) in (list, tuple):
                items = [self.shown(item, depth + 1) for item in value]
                changed = any(a is not b for a, b in zip(items, value, strict=True))
                return type(value)(items) if changed else value
        for text in texts_of(value):
            if self.names_in(text):
                return self.text(text)
        return value


def texts_of(value: Any) -> Iterator[str]:
    """The `str` and `repr` of a value, unless its code raises."""
    for make in (str, repr):
        with contextlib.suppress(Exception):
            yield make(value)


def _parts(pairs: dict[Any, Any]) -> Iterator[Any]:
    for key, value in pairs.items():
        yield key
        yield value


known = Redactor()
"""The values that this process has read. Its workers share one redactor because they share its log. Workflow code never adds to it."""
