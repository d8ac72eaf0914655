"""It is always clear which principal a command acts as, and a key file that others could read is not used."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from agentgrid.cli.exits import ExitCode
from agentgrid.cli.profiles import Profile, load_profiles, profiles_file, resolve, save_profiles
from agentgrid.errors import SettingsError
from tests.cli.conftest import KEY, Cli, FakeServer, Reply

EMPTY_PAGE = Reply(body={"items": [], "next_cursor": None})


def test_profiles_survive_writing_and_reading_with_odd_names(home: Path) -> None:
    file = profiles_file()
    profiles = {
        name: Profile(name=name, url="http://127.0.0.1:1", key_file=home / "keys" / "a.key")
        for name in ("operator", 'with "quotes"', "été")
    }
    save_profiles(file, profiles)
    assert load_profiles(file) == profiles
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_profile_operator_is_the_default(cli: Cli, server: FakeServer) -> None:
    server.on("GET /runs", EMPTY_PAGE)
    assert cli("run", "list").code == ExitCode.OK
    assert server.seen[0].headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o700, 0o660])
def test_a_key_file_that_is_not_private_is_refused_and_nothing_is_sent(
    cli: Cli, server: FakeServer, home: Path, mode: int
) -> None:
    (home / "keys" / "some.key").chmod(mode)
    ended = cli("run", "list")
    assert ended.code == ExitCode.USAGE
    assert "chmod 600" in ended.err
    assert server.seen == []


def test_profiles_that_others_could_change_are_refused(cli: Cli, server: FakeServer) -> None:
    profiles_file().chmod(0o666)
    assert cli("run", "list").code == ExitCode.USAGE
    assert server.seen == []


@pytest.mark.parametrize("content", ["", "\n", "two words\n", "nul\0\n", "schlüssel\n"])
def test_a_key_file_without_a_key_is_refused(cli: Cli, server: FakeServer, home: Path, content: str) -> None:
    (home / "keys" / "some.key").write_text(content, encoding="utf-8")
    assert cli("run", "list").code == ExitCode.USAGE
    assert server.seen == []


def test_without_configuration_the_error_says_how_to_configure(cli: Cli) -> None:
    ended = cli("run", "list")
    assert ended.code == ExitCode.USAGE
    assert "agentgrid dev" in ended.err
    assert "AGENTGRID_API_KEY" in ended.err


def test_an_unknown_profile_lists_the_existing_ones(cli: Cli, server: FakeServer) -> None:
    ended = cli("run", "list", "--profile", "nobody")
    assert ended.code == ExitCode.USAGE
    assert "operator, reviewer" in ended.err


def test_a_key_and_a_profile_in_the_environment_conflict(
    cli: Cli, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTGRID_API_KEY", KEY)
    monkeypatch.setenv("AGENTGRID_PROFILE", "reviewer")
    assert cli("run", "list").code == ExitCode.USAGE
    assert server.seen == []


def test_a_profile_on_the_command_line_overrides_a_key_in_the_environment(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTGRID_API_KEY", "ag_other")
    assert resolve("reviewer").profile == "reviewer"
    assert resolve(None).key == "ag_other"


def test_a_profiles_key_is_not_sent_to_another_server(
    cli: Cli, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTGRID_API_URL", "http://127.0.0.1:9")
    ended = cli("run", "list")
    assert ended.code == ExitCode.USAGE
    assert "belongs to" in ended.err


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8700",
        "ftp://x",
        "http://",
        "http://x:port",
        "http://x:99999",
        "http://u:p@x",
        "http://a b",
        "\x1b",
    ],
)
def test_a_bad_url_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AGENTGRID_API_URL", url or " ")
    monkeypatch.setenv("AGENTGRID_API_KEY", KEY)
    with pytest.raises(SettingsError) as refused:
        resolve(None)
    assert refused.value.message.isprintable()
    assert KEY not in refused.value.message


@pytest.mark.parametrize("content", ["not toml [", "profiles = 3", "[profiles.operator]\nurl = 'http://x'"])
def test_the_error_for_a_broken_profiles_file_names_it(content: str) -> None:
    profiles_file().touch(0o600)
    profiles_file().write_text(content)
    with pytest.raises(SettingsError, match=r"profiles\.toml"):
        resolve(None)


def test_no_key_is_ever_shown(server: FakeServer) -> None:
    assert KEY not in repr(resolve(None))
