"""One JSON text per value, and its digest: what approvers see, sign and what tools run on is compared byte by byte."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import rfc8785


def canonical(value: Any) -> bytes:
    """The RFC 8785 (JCS) text of a JSON value, as UTF-8.

    Raises ValueError for what JSON can't say exactly: NaN, infinities, integers beyond 2**53, lone surrogates, keys that aren't strings.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise ValueError(f"not canonical JSON: {error}") from error


def digest(value: Any) -> str:
    """SHA-256 over the canonical text, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def sorted_json(value: Any) -> bytes:
    """A key-order-independent text for a JSON value; unlike `canonical` it accepts any number and any string."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="surrogatepass")
