"""The API's Ed25519 keys, which sign decisions and run memos. Their public keys are registered for verification.

The first key in the file signs. The keys after it are older, kept for approvals whose terms name no newer key: terms are fixed when
an approval opens, so without the old keys a rotation would leave approvals that nobody can decide.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentgrid.control.private import read_private
from agentgrid.domain.approvals import Decision, SignedDecision, Terms, sign
from agentgrid.domain.canonical import canonical
from agentgrid.domain.memos import ScheduleMemo, signed_bytes
from agentgrid.errors import SettingsError
from agentgrid.protocol import RunMemo
from agentgrid.settings import Settings

_PEM = re.compile(rb"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A signing key with its id and public key."""

    key_id: str
    """The first 16 hexadecimal digits of the public key's SHA-256."""
    public_key: str
    """The raw public key, base64."""
    private_key: Ed25519PrivateKey = field(repr=False)
    older: tuple[Signer, ...] = ()
    """The keys before this one, newest first."""

    @property
    def all(self) -> tuple[Signer, ...]:
        """This key and the older ones."""
        return (self, *self.older)

    @property
    def public(self) -> frozenset[tuple[str, str]]:
        """The id and public key of each key."""
        return frozenset((signer.key_id, signer.public_key) for signer in self.all)

    def under(self, terms: Terms, *, revoked: Collection[str]) -> Signer | None:
        """The newest of these keys whose decisions count under the terms, or None.

        A revoked key may still be used if no other counts: the worker checks every approval again before the effect, refuses the key, and
        requests approval again under a key in force.
        """
        named = [signer for signer in self.all if terms.keys.get(signer.key_id) == signer.public_key]
        trusted = [signer for signer in named if signer.key_id not in revoked]
        return next(iter(trusted + named), None)

    @classmethod
    def of(cls, private_key: Ed25519PrivateKey) -> Signer:
        """The signer for this private key."""
        raw = private_key.public_key().public_bytes_raw()
        return cls(
            key_id=hashlib.sha256(raw).hexdigest()[:16],
            public_key=base64.b64encode(raw).decode(),
            private_key=private_key,
        )

    def decision(self, decision: Decision) -> SignedDecision:
        """The decision with this key's signature."""
        return sign(decision, self.private_key)

    def memo(self, memo: RunMemo) -> RunMemo:
        """Sign the memo: the signature covers the canonical text of all its other non-null fields."""
        named = memo.model_copy(update={"key_id": self.key_id, "signature": None})
        signature = self.private_key.sign(memo_bytes(named))
        return named.model_copy(update={"signature": base64.b64encode(signature).decode()})

    def schedule_memo(self, memo: ScheduleMemo) -> ScheduleMemo:
        """Like `memo`, for the memo of a schedule."""
        named = memo.model_copy(update={"key_id": self.key_id, "signature": None})
        signature = self.private_key.sign(signed_bytes(named.model_dump(mode="json", exclude_none=True)))
        return named.model_copy(update={"signature": base64.b64encode(signature).decode()})


def memo_bytes(memo: RunMemo) -> bytes:
    """The bytes that a memo's signature covers."""
    return canonical(memo.model_dump(mode="json", exclude={"signature"}, exclude_none=True))


def load(settings: Settings) -> Signer:
    """The signer of this installation: the first key in the file signs, the following ones are older keys.

    Raises SettingsError if there is no usable key, or if other users could read or change the file.
    """
    path = settings.signing_key_file
    if path is None:
        raise SettingsError(
            "AGENTGRID_SIGNING_KEY_FILE is not set; set it to the path of an Ed25519 private key in PEM "
            "(create one with `openssl genpkey -algorithm ed25519`, or use the key of `agentgrid dev`)"
        )
    try:
        text = read_private(path).encode()
    except SettingsError as error:
        raise SettingsError(f"AGENTGRID_SIGNING_KEY_FILE: {error.message}") from None
    try:
        keys = [serialization.load_pem_private_key(pem, password=None) for pem in _PEM.findall(text) or [text]]
    except (ValueError, TypeError) as error:
        raise SettingsError(
            f"AGENTGRID_SIGNING_KEY_FILE={str(path)!r} can't be read as a private key: {error}"
        ) from error
    signers = [Signer.of(key) for key in keys if isinstance(key, Ed25519PrivateKey)]
    if len(signers) != len(keys):
        raise SettingsError(f"AGENTGRID_SIGNING_KEY_FILE={str(path)!r} contains a key that is not Ed25519")
    return replace(signers[0], older=tuple(signers[1:]))


def create(path: Path) -> Signer:
    """Create a new key in a file that only its owner can read. Raises FileExistsError if the file exists."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    return Signer.of(key)
