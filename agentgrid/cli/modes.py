"""Choices of command-line options."""

from __future__ import annotations

from enum import StrEnum


class OutputFormat(StrEnum):
    """How a command prints its result."""

    TABLE = "table"
    JSON = "json"
