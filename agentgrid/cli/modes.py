"""Words that options take."""

from __future__ import annotations

from enum import StrEnum


class OutputFormat(StrEnum):
    """The output format."""

    TABLE = "table"
    JSON = "json"
