"""How a result is written. A module of its own: every command's options need it, and it imports nothing."""

from __future__ import annotations

from enum import StrEnum


class OutputFormat(StrEnum):
    """How a result is written."""

    TABLE = "table"
    JSON = "json"
