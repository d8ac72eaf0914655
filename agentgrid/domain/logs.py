"""Levels of log lines."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class LogLevel(StrEnum):
    """The severity of a line, in ascending order. An unknown level counts as `info`."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @classmethod
    def read(cls, text: str) -> LogLevel:
        """The level of a line, from the worker's spelling."""
        lowered = text.lower()
        return _READ.get(lowered, cls.INFO)

    @property
    def and_above(self) -> frozenset[LogLevel]:
        """This level and all more severe ones."""
        levels = list(LogLevel)
        return frozenset(levels[levels.index(self) :])


_READ = {**{level.value: level for level in LogLevel}, "warn": LogLevel.WARNING, "fatal": LogLevel.CRITICAL}


def spellings(levels: Iterable[LogLevel]) -> list[str]:
    """The worker spellings of these levels."""
    selected = set(levels)
    return [word for word, level in _READ.items() if level in selected]
