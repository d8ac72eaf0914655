"""The effect of a rule. Loads no library, because the command line imports it at every start."""

from __future__ import annotations

from enum import StrEnum


class Effect(StrEnum):
    """The effect of a rule."""

    ALLOW = "allow"
    REQUIRE_APPROVAL = "require_approval"
    DENY = "deny"
