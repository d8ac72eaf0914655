"""The signing key: created once, kept private, and its memos verifiable by anybody."""

from __future__ import annotations

import base64
import stat

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agentgrid.control import signing
from agentgrid.domain.approvals import ApprovalKind, Terms
from agentgrid.errors import SettingsError
from agentgrid.protocol import RunMemo
from agentgrid.settings import Settings

TERMS = Terms(
    approval_id="a",
    kind=ApprovalKind.EXPLICIT,
    title="t",
    namespace="n",
    workflow_id="w",
    execution_id="e",
    digest="d",
    approvers=("role:approver",),
)
MEMO = RunMemo(run_id="r", initiator="operator", command_id="c", tags=("a", "ü"))


def test_a_new_key_is_private_can_be_loaded_and_is_never_overwritten(tmp_path):
    path = tmp_path / "keys" / "signing.pem"
    made = signing.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    loaded = signing.load(Settings(signing_key_file=path))
    assert (loaded.key_id, loaded.public_key) == (made.key_id, made.public_key)
    with pytest.raises(FileExistsError):
        signing.create(path)


def test_the_private_key_is_not_in_the_repr(tmp_path):
    assert "private" not in repr(signing.create(tmp_path / "k.pem"))


@pytest.mark.parametrize("content", [None, b"", b"nonsense", "ec"], ids=str)
def test_an_invalid_key_raises_a_settings_error_that_names_the_variable(tmp_path, content):
    path = tmp_path / "signing.pem"
    if content == "ec":
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(pem)
    elif content is not None:
        path.write_bytes(content)
    if path.exists():
        path.chmod(0o600)
    with pytest.raises(SettingsError, match="AGENTGRID_SIGNING_KEY_FILE"):
        signing.load(Settings(signing_key_file=path))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o660])
def test_r44_a_signing_key_that_others_can_read_or_write_is_refused_with_a_fix(tmp_path, mode):
    path = tmp_path / "signing.pem"
    signing.create(path)
    signing.load(Settings(signing_key_file=path))
    path.chmod(mode)
    with pytest.raises(SettingsError, match=f"AGENTGRID_SIGNING_KEY_FILE: .* has mode {mode:04o} .*chmod 600 {path}"):
        signing.load(Settings(signing_key_file=path))


def test_after_a_rotation_the_old_key_signs_only_for_approvals_that_name_no_newer_key(tmp_path):
    old, new = signing.create(tmp_path / "old.pem"), signing.create(tmp_path / "new.pem")
    file = tmp_path / "signing.pem"
    file.touch(mode=0o600)
    file.write_bytes((tmp_path / "new.pem").read_bytes() + (tmp_path / "old.pem").read_bytes())
    signer = signing.load(Settings(signing_key_file=file))
    assert [key.key_id for key in signer.all] == [new.key_id, old.key_id]
    chosen = [
        signer.under(TERMS.model_copy(update={"keys": {key.key_id: key.public_key for key in keys}}), revoked=revoked)
        for keys, revoked in (((old,), ()), ((old, new), ()), ((new,), ()), ((), ()), ((old, new), {new.key_id}))
    ]
    only_new = TERMS.model_copy(update={"keys": {new.key_id: new.public_key}})
    for kind in ApprovalKind:
        terms = only_new.model_copy(update={"kind": kind})
        assert signer.under(terms, revoked={new.key_id}), "the worker checks again and requests a new approval"
    assert [key.key_id if key else None for key in chosen] == [old.key_id, new.key_id, new.key_id, None, old.key_id]
    assert signer.under(TERMS.model_copy(update={"keys": {new.key_id: old.public_key}}), revoked=()) is None


@pytest.mark.parametrize("field", ["run_id", "initiator", "command_id", "note", "key_id"])
def test_a_memos_signature_covers_every_field(tmp_path, field):
    signer = signing.create(tmp_path / "k.pem")
    memo = signer.memo(MEMO)
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(signer.public_key))
    public.verify(base64.b64decode(memo.signature), signing.memo_bytes(memo))
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(memo.signature), signing.memo_bytes(memo.model_copy(update={field: "another"})))
