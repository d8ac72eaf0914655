"""Output formats. A separate module without imports, because every command's options need it."""

from __future__ import annotations

from enum import StrEnum


class OutputFormat(StrEnum):
    """The output format."""

    TABLE = "table"
    JSON = "json"
