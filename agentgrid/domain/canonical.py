"""Canonical JSON and its digest: what approvers see and sign is compared byte by byte with what tools run on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import rfc8785


def canonical(value: Any) -> bytes:
    """The RFC 8785 (JCS) text of a JSON value, as UTF-8.

    Raises ValueError for values that JSON can't represent exactly: NaN, infinities, integers beyond 2**53, lone surrogates, non-string keys.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise ValueError(f"not canonical JSON: {error}") from error


def digest(value: Any) -> str:
    """The SHA-256 of the canonical text, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def sorted_json(value: Any) -> bytes:
    """A JSON text that is independent of key order. Unlike `canonical`, it accepts any number and any string."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="surrogatepass")
