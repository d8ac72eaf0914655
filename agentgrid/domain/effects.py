"""The effect of a rule. Imports no library, because the command line loads it on every start."""

from __future__ import annotations

from enum import StrEnum


class Effect(StrEnum):
    """The effect of a rule."""

    ALLOW = "allow"
    REQUIRE_APPROVAL = "require_approval"
    DENY = "deny"


STRICTNESS = {Effect.ALLOW: 0, Effect.REQUIRE_APPROVAL: 1, Effect.DENY: 2}
