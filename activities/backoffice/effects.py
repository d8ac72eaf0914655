"""Shared by the write tools: the key that makes an effect happen only once, and the error for an unknown id."""

import agentgrid as ag


def effect_key() -> str:
    """This call's idempotency key, the same for all its attempts. Each direct call of a tool has a new key."""
    return ag.idempotency_key()


def unknown(noun: str, identifier: str) -> ag.ToolError:
    """The non-retryable error for an id that is not in the back office."""
    return ag.ToolError(f"there is no {noun} {identifier!r} in the back office", retryable=False)
