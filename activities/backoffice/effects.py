"""What the write tools share: the key that makes an effect land once, and the refusal of an unknown id."""

import agentgrid as ag


def effect_key() -> str:
    """This call's idempotency key, the same in all of its attempts. A tool that is called directly has a new one for each call."""
    return ag.idempotency_key()


def unknown(noun: str, identifier: str) -> ag.ToolError:
    """The error for an id that the back office does not hold; no retry can mend it."""
    return ag.ToolError(f"there is no {noun} {identifier!r} in the back office", retryable=False)
