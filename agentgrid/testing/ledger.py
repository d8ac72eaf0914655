"""The provider's own record of its requests: what it received, what it billed, and how each request ended.

The file has several lines per request, one for each state change. A line is flushed before the bytes that it is about are sent, so everything
that a client has received is on record, even if either process is killed. `read_log` merges the lines of each request.
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
    """Where a request is, or how it ended."""

    RECEIVED = "received"
    """The script is working on it."""
    ANSWERING = "answering"
    """The answer is known and billed, but its last byte hasn't been sent."""
    ANSWERED = "answered"
    """Passed to the network completely. A client that is killed at that moment may not have read it."""
    REFUSED = "refused"
    """Ended with an error status. Nothing is billed."""
    CUT = "cut"
    """The provider dropped the connection."""
    ABANDONED = "abandoned"
    """The client disconnected first."""


ENDED = frozenset({RequestState.ANSWERED, RequestState.REFUSED, RequestState.CUT, RequestState.ABANDONED})


@dataclass(frozen=True, kw_only=True)
class Record:
    """One request to the provider."""

    number: int
    """Counts from 1, in order of arrival."""
    at: datetime
    protocol: str
    """`chat`, `responses` or `messages`."""
    model: str
    stream: bool
    key_given: bool
    """Whether the request carried an API key. The key itself is never recorded."""
    client_retry: int
    """How many earlier attempts the client's library reports for this request."""
    messages: tuple[Message, ...]
    tools: tuple[str, ...]
    turn: int
    """The number of assistant messages in the conversation."""
    attempt: int
    """How often the provider has received this conversation, including this time."""
    state: RequestState = RequestState.RECEIVED
    status: int | None = None
    """The HTTP status, once decided."""
    billed: TokenCounts | None = None
    """None until there is an answer. Remains if the answer doesn't reach the client."""
    error: str | None = None

    @property
    def answered(self) -> bool:
        return self.state is RequestState.ANSWERED


_RECORD = TypeAdapter(Record)
_CHANGING = ("number", "state", "status", "billed", "error")


class Ledger:
    """The records, in memory and, with a path, in a JSON Lines file. An existing file is appended to.

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
                self._file.write("\n")  # ends the partial line of a killed process

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
    """The requests in a provider's file, each in its last state. Skips a partial line left by a killed process."""
    by_number: dict[int, dict[str, Any]] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            by_number.setdefault(values["number"], {}).update(values)
    return [_RECORD.validate_python(values) for values in by_number.values()]


def billed(records: Sequence[Record]) -> TokenCounts:
    """The sum of all billed tokens."""
    return sum((record.billed for record in records if record.billed), TokenCounts(input_tokens=0, output_tokens=0))
