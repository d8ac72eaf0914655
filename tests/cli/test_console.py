"""`agentgrid console` creates sign-in links, and reveals them only to the user and their browser."""

from __future__ import annotations

import stat
import webbrowser
from pathlib import Path

import pytest

from agentgrid.cli.exits import ExitCode
from agentgrid.dev.links import SignInLink, link_recipients, sign_in_links
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.cli.conftest import Cli, FakeServer, Reply, problem

CODE = "c0de" * 11
LINK = {"code": CODE, "url": f"http://127.0.0.1:8700/sign-in#{CODE}", "expires_at": "2026-03-01T12:10:00Z"}


def test_only_the_link_is_printed_on_standard_output(cli: Cli, server: FakeServer) -> None:
    server.on("POST /session/codes", Reply(status=201, body=LINK))
    ended = cli("console", "--profile", "reviewer")
    assert (ended.code, ended.out) == (ExitCode.OK, LINK["url"] + "\n")
    assert "works once" in ended.err
    assert cli("console", "-o", "json").json() == LINK
    assert all(CODE not in seen.path for seen in server.seen)


def test_the_browser_gets_a_private_file_and_no_code_in_its_arguments(
    cli: Cli, server: FakeServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("POST /session/codes", Reply(status=201, body={**LINK, "url": LINK["url"] + '"><script>'}))
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    ended = cli("console", "--open")
    assert ended.code == ExitCode.OK
    page = home / "console.html"
    assert opened == [page.as_uri()]
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert f'url={LINK["url"]}&quot;&gt;&lt;script&gt;"' in page.read_text()
    assert CODE not in ended.out + ended.err
    assert CODE not in cli("console", "--open", "-o", "json").out


def test_without_a_browser_the_link_is_printed(cli: Cli, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.on("POST /session/codes", Reply(status=201, body=LINK))
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    ended = cli("console", "--open")
    assert (ended.code, ended.out) == (ExitCode.OK, LINK["url"] + "\n")


def test_a_services_key_is_refused_with_the_reason(cli: Cli, server: FakeServer) -> None:
    server.on("POST /session/codes", problem(403, "forbidden", "programs use keys: ci is a service"))
    ended = cli("console")
    assert ended.code == ExitCode.NOT_ALLOWED
    assert "programs use keys" in ended.err


def person(name: str, *roles: Role, kind: PrincipalKind = PrincipalKind.HUMAN) -> Principal:
    return Principal(name=name, kind=kind, roles=frozenset(roles))


async def test_dev_creates_a_link_for_the_operator_and_one_for_an_approver_on_separate_hosts(
    server: FakeServer, home: Path
) -> None:
    people = [
        person("ci", Role.OPERATOR, kind=PrincipalKind.SERVICE),
        person("ada", Role.VIEWER),
        person("reviewer", Role.APPROVER),
        person("second", Role.APPROVER),
        person("operator", Role.OPERATOR, Role.APPROVER),
    ]
    names = link_recipients(people)
    assert names == ["operator", "reviewer"]
    for name in names:
        key = home / "keys" / f"{name}.key"
        key.touch(0o600)
        key.write_text(f"ag_key-of-{name}")
    server.on("POST /session/codes", Reply(status=201, body=LINK))
    assert await sign_in_links(server.url, home, names) == [], "the console is not installed"

    server.replies["GET /sign-in"] = [Reply(body=b"<!doctype html>")]
    assert await sign_in_links(server.url, home, names) == [
        SignInLink(url=LINK["url"], name="operator"),
        SignInLink(url=LINK["url"].replace("127.0.0.1", "localhost"), name="reviewer"),
    ]
    requests = [seen for seen in server.seen if seen.method == "POST"]
    assert [seen.headers["Authorization"] for seen in requests] == [f"Bearer ag_key-of-{name}" for name in names]
    (home / "keys" / "reviewer.key").unlink()
    assert [link.name for link in await sign_in_links(server.url, home, names)] == ["operator"]
