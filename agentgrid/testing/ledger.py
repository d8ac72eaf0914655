"""The provider's own record of its requests: what it received, what it billed, and how each request ended.

In the file each request has several lines, one for each change of its state. A line is written and flushed before the bytes that it is about
are sent, so what a client has received is always on record, also when either process is killed. `read_log` joins the lines of each request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from agentgrid.testing.turns import Message, TokenCounts


class RequestState(StrEnum):
    """Where a request is, and how it ended."""

    RECEIVED = "received"
    """The script is working on it."""
    ANSWERING = "answering"
    """The answer is known and billed; its last byte hasn't been sent."""
    ANSWERED = "answered"
    """Handed to the network whole. A client that is killed at that moment may not have read it."""
    REFUSED = "refused"
    """Ended with an error status. Nothing was billed."""
    CUT = "cut"
    """The provider dropped the connection."""
    ABANDONED = "abandoned"
    """The client went away first."""


ENDED = frozenset({RequestState.ANSWERED, RequestState.REFUSED, RequestState.CUT, RequestState.ABANDONED})


@dataclass(frozen=True, kw_only=True)
class Record:
    """One request."""

    number: int
    """From 1, in the order of arrival."""
    at: datetime
    protocol: str
    """`chat`, `responses` or `messages`."""
    model: str
    stream: bool
    key_given: bool
    """Whether the request had an API key. The key itself is never recorded."""
    client_retry: int
    """How often the client's library reports that it has sent this request before."""
    messages: tuple[Message, ...]
    tools: tuple[str, ...]
    turn: int
    """The number of the assistant's messages in the conversation."""
    attempt: int
    """How often the provider has received this conversation, this time included."""
    state: RequestState = RequestState.RECEIVED
    status: int | None = None
    """The HTTP status, once it is decided."""
    billed: TokenCounts | None = None
    """None until there is an answer. It stays when the answer doesn't reach the client."""
    error: str | None = None

    @property
    def answered(self) -> bool:
        return self.state is RequestState.ANSWERED


_RECORD = TypeAdapter(Record)
_CHANGING = ("number", "state", "status", "billed", "error")


class Ledger:
    """The records, in memory and, given a path, in a file of JSON lines. An existing file is continued.

    changed: called after each change.
    """

    def __init__(self, path: Path | None, changed: Callable[[], None]) -> None:
        self.records: list[Record] = []
        self._changed = changed
        self._file: TextIOWrapper | None = None
        self._before = 0
        if path is not None:
            self._before = max((record.number for record in read_log(path)), default=0) if path.exists() else 0
            self._file = path.open("a", encoding="utf-8")
            if path.stat().st_size:
                self._file.write("\n")  # ends a line that a killed process left unfinished

    def add(self, **fields: Any) -> Record:
        record = Record(number=self._before + len(self.records) + 1, at=datetime.now(UTC), **fields)
        self.records.append(record)
        self._write(_RECORD.dump_python(record, mode="json"))
        return record

    def change(self, number: int, **fields: Any) -> Record:
        index = number - self._before - 1
        record = self.records[index] = replace(self.records[index], **fields)
        values = _RECORD.dump_python(record, mode="json")
        self._write({name: values[name] for name in _CHANGING})
        return record

    def of(self, number: int) -> Record:
        return self.records[number - self._before - 1]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, values: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()
        self._changed()


def read_log(path: Path) -> list[Record]:
    """The requests in a provider's file, each in its last state. A line that a killed process left unfinished is left out."""
    found: dict[int, dict[str, Any]] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            found.setdefault(values["number"], {}).update(values)
    return [_RECORD.validate_python(values) for values in found.values()]


def billed(records: Sequence[Record]) -> TokenCounts:
    """The sum of what was billed."""
    return sum((record.billed for record in records if record.billed), TokenCounts(input_tokens=0, output_tokens=0))
