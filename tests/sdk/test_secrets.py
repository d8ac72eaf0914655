"""A secret is a name. Its value comes from the environment, a file or a provider, and the secret never shows it."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import pickle
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest

import agentgrid as ag
from agentgrid.domain.secrets import forms, known
from agentgrid.errors import SecretMissing, SecretUnavailable
from agentgrid.sdk import secrets as sdk_secrets
from agentgrid.sdk.secrets import SecretStore, standard_providers
from agentgrid.testing import secrets

KEY = ag.secret("STRIPE_KEY")


@pytest.fixture
def value() -> str:
    """A unique value, because a process remembers the values that it has read."""
    return f"sk_{uuid.uuid4().hex}"


async def test_a_secret_shows_only_its_name(value: str) -> None:
    with secrets({"STRIPE_KEY": value}):
        assert await KEY.value() == value
        assert {str(KEY), repr(KEY), f"{KEY}", f"{KEY!r:}"} == {"<secret STRIPE_KEY>"}
        assert b"sk_" not in pickle.dumps(KEY)
        assert {pickle.loads(pickle.dumps(KEY)), copy.deepcopy(KEY), ag.secret("STRIPE_KEY")} == {KEY}
        assert not hasattr(KEY, "__dict__")


@pytest.mark.parametrize("name", ["", "../key", "a/b", "..", "1KEY", "a b", "K" * 101, "sk_live/51H"])
def test_an_invalid_name_is_refused_and_not_shown(name: str) -> None:
    with pytest.raises(ValueError) as caught:
        ag.secret(name)
    assert not name or name not in str(caught.value).replace("..", "" if name == ".." else "..")


async def test_the_environment_comes_before_files_and_a_missing_secret_names_all_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("AGENTGRID_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("STRIPE_KEY", "")  # as compose passes an unset variable
    with pytest.raises(SecretMissing) as caught:
        await KEY.value()
    assert caught.value.message == (
        f"the secret STRIPE_KEY is missing; looked for the environment variable STRIPE_KEY, then the file {tmp_path}/STRIPE_KEY"
    )
    (tmp_path / "STRIPE_KEY").write_text(f"{value}\n")
    assert await KEY.value() == value
    monkeypatch.setenv("STRIPE_KEY", f"{value}-env")
    assert await KEY.value() == f"{value}-env"


async def test_a_rotated_file_is_read_again_in_time_and_the_old_value_stays_redacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    now = 1000.0
    monkeypatch.setattr(sdk_secrets.time, "monotonic", lambda: now)
    store = SecretStore(standard_providers(tmp_path))
    (tmp_path / "rotated").write_text(value)
    assert await store.find("rotated") == value
    (tmp_path / "rotated").write_text(f"{value}-2")
    now += sdk_secrets.CACHE_SECONDS - 0.1
    assert await store.find("rotated") == value
    now += 0.2
    assert await store.find("rotated") == f"{value}-2"
    assert known.text(f"{value} {value}-2") == "<secret rotated> <secret rotated>"


class Failing:
    """A provider that fails like a remote one, with credentials in the message."""

    def where(self, name: str) -> str:
        return f"the vault, at {name}"

    async def get(self, name: str) -> str | None:
        if name == "SLOW":
            await asyncio.sleep(60)
        if name == "WRONG":
            return b"bytes"  # type: ignore[return-value]
        if name == "SURROGATE":
            return "not text \udc80"
        raise ConnectionError("https://vault/?token=of-the-vault")


@pytest.mark.parametrize(
    ("name", "why"), [("SLOW", "no answer"), ("WRONG", "a bytes"), ("SURROGATE", "UTF-8"), ("OTHER", "ConnectionError")]
)
async def test_a_failing_provider_is_named_without_its_own_message(
    name: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk_secrets, "LOOKUP_SECONDS", 0.05)
    with pytest.raises(SecretUnavailable, match=f"{name} can't be read from the vault, at {name}: .*{why}") as caught:
        await SecretStore([Failing()]).find(name)
    assert "of-the-vault" not in caught.value.message
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


async def test_a_binary_or_oversized_file_is_refused_without_showing_its_content(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe-content")
    (tmp_path / "long").write_bytes(b"a" * (sdk_secrets.MAX_BYTES + 1))
    (tmp_path / "folder").mkdir()
    store = SecretStore(standard_providers(tmp_path))
    for name in ("binary", "long"):
        with pytest.raises(SecretUnavailable) as caught:
            await store.find(name)
        assert "content" not in caught.value.message
    assert await store.find("folder") is None


async def test_a_test_provides_exactly_its_secrets_and_leaves_none_behind(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("OTHER_KEY", value)
    with secrets({"STRIPE_KEY": f"{value}-given"}):
        with pytest.raises(SecretMissing, match=r"agentgrid\.testing\.secrets"):
            await ag.secret("OTHER_KEY").value()
        assert await asyncio.to_thread(lambda: asyncio.run(KEY.value())) == f"{value}-given"
        assert known.text(f"{value}-given") == "<secret STRIPE_KEY>"
    assert known.text(f"{value}-given") == f"{value}-given"


FORMS: dict[str, Callable[[str], str]] = {
    "verbatim": lambda value: f"a{value}b",
    "in JSON, in JSON": lambda value: json.dumps([json.dumps({"k": value})]),
    "in JSON with escaped slashes": lambda value: json.dumps({"k": value}).replace("/", "\\/"),
    "quoted": lambda value: repr([value]),
    "in a URL": lambda value: urlencode({"k": value}),
    "as basic authentication": lambda value: base64.b64encode(f"me:{value}".encode()).decode(),
    "in base64 for URLs": lambda value: base64.urlsafe_b64encode(f"m:{value}:n".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("end", ["", '"', "/+%&=", "é\\\n'", "?>~ü"])
def test_every_form_of_a_value_is_redacted(form: str, end: str, value: str) -> None:
    secret = value + end
    known.learn("SOME_KEY", secret)
    try:
        shown = known.text(FORMS[form](secret))
        assert "<secret SOME_KEY>" in shown
        assert value[-16:] not in shown
        assert not [trace for trace in forms(secret) if trace in shown]
        assert known.data(FORMS[form](secret).encode()) == shown.encode()
    finally:
        known.forget("SOME_KEY", secret)


def test_short_values_and_other_texts_are_left_alone(value: str) -> None:
    known.learn("SHORT", "1234567")
    assert known.text("12345678") == "12345678"
    known.learn("SOME_KEY", value)
    try:
        fields = {"a": [1, ("x", None)], "b": object()}
        assert known.shown(fields) is fields
        assert known.shown({"a": [1, (value, None)]}) == {"a": [1, ("<secret SOME_KEY>", None)]}
    finally:
        known.forget("SOME_KEY", value)
