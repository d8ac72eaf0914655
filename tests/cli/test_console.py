"""`agentgrid console` makes sign-in links, and hands them to nobody but the person and their browser."""

from __future__ import annotations

import stat
import webbrowser
from pathlib import Path

import pytest

from agentgrid.cli.dev.links import SignInLink, guests, sign_in_links
from agentgrid.cli.exits import ExitCode
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.cli.conftest import Cli, FakeServer, Reply, problem

CODE = "c0de" * 11
MADE = {"code": CODE, "url": f"http://127.0.0.1:8700/sign-in#{CODE}", "expires_at": "2026-03-01T12:10:00Z"}


def test_a_link_is_printed_alone_on_standard_output(cli: Cli, server: FakeServer) -> None:
    server.on("POST /session/codes", Reply(status=201, body=MADE))
    ended = cli("console", "--profile", "reviewer")
    assert (ended.code, ended.out) == (ExitCode.OK, MADE["url"] + "\n")
    assert "works once" in ended.err
    assert cli("console", "-o", "json").json() == MADE
    assert all(CODE not in seen.path for seen in server.seen)


def test_the_browser_is_given_a_private_file_and_no_code_in_its_arguments(
    cli: Cli, server: FakeServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("POST /session/codes", Reply(status=201, body={**MADE, "url": MADE["url"] + '"><script>'}))
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    ended = cli("console", "--open")
    assert ended.code == ExitCode.OK
    page = home / "console.html"
    assert opened == [page.as_uri()]
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert f'url={MADE["url"]}&quot;&gt;&lt;script&gt;"' in page.read_text()
    assert CODE not in ended.out + ended.err
    assert CODE not in cli("console", "--open", "-o", "json").out


def test_without_a_browser_the_link_is_printed(cli: Cli, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.on("POST /session/codes", Reply(status=201, body=MADE))
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    ended = cli("console", "--open")
    assert (ended.code, ended.out) == (ExitCode.OK, MADE["url"] + "\n")


def test_a_programs_key_is_refused_with_the_reason(cli: Cli, server: FakeServer) -> None:
    server.on("POST /session/codes", problem(403, "forbidden", "programs use keys: ci is a service"))
    ended = cli("console")
    assert ended.code == ExitCode.NOT_ALLOWED
    assert "programs use keys" in ended.err


def person(name: str, *roles: Role, kind: PrincipalKind = PrincipalKind.HUMAN) -> Principal:
    return Principal(name=name, kind=kind, roles=frozenset(roles))


async def test_dev_makes_a_link_for_the_operator_and_one_for_who_decides_each_on_a_host_of_its_own(
    server: FakeServer, home: Path
) -> None:
    people = [
        person("ci", Role.OPERATOR, kind=PrincipalKind.SERVICE),
        person("ada", Role.VIEWER),
        person("reviewer", Role.APPROVER),
        person("second", Role.APPROVER),
        person("operator", Role.OPERATOR, Role.APPROVER),
    ]
    names = guests(people)
    assert names == ["operator", "reviewer"]
    for name in names:
        key = home / "keys" / f"{name}.key"
        key.touch(0o600)
        key.write_text(f"ag_key-of-{name}")
    server.on("POST /session/codes", Reply(status=201, body=MADE))
    assert await sign_in_links(server.url, home, names) == [], "there is no console"

    server.replies["GET /sign-in"] = [Reply(body=b"<!doctype html>")]
    assert await sign_in_links(server.url, home, names) == [
        SignInLink(url=MADE["url"], name="operator"),
        SignInLink(url=MADE["url"].replace("127.0.0.1", "localhost"), name="reviewer"),
    ]
    asked = [seen for seen in server.seen if seen.method == "POST"]
    assert [seen.headers["Authorization"] for seen in asked] == [f"Bearer ag_key-of-{name}" for name in names]
    (home / "keys" / "reviewer.key").unlink()
    assert [link.name for link in await sign_in_links(server.url, home, names)] == ["operator"]
