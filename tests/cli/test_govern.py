"""Governing from the command line: against a real API for what it shows and does, against a told one for what it asks first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from agentgrid.cli.exits import ExitCode
from tests.api import factories
from tests.api.conftest import Api, api, eventually, listening
from tests.cli.conftest import Cli, Ended, FakeServer, Reply, problem

__all__ = ["api"]

Run = Callable[..., Awaitable[Ended]]


@pytest.fixture
async def admin(api: Api, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Run]:
    """A command of the administrator's, in a thread: the server is in this one."""
    async with listening(api.app) as url:
        monkeypatch.setenv("AGENTGRID_API_URL", url)
        monkeypatch.setenv("AGENTGRID_API_KEY", api.tokens["admin"])

        async def run(*arguments: str, code: int = ExitCode.OK) -> Ended:
            ended = await asyncio.to_thread(cli, *arguments)
            assert ended.code == code, ended.err
            return ended

        yield run


async def test_a_rule_is_put_listed_shown_and_withdrawn(api: Api, admin: Run) -> None:
    await factories.insert(api.plane.engine, factories.tool("fax_send"))
    put = await admin("policy", "put", "no-fax", "fax_*", "deny", "--reason", "nobody reads it")
    assert "no-fax@1" in put.out
    assert "fax_send" in put.out
    listed = await admin("policy", "list", "--tool", "fax_send")
    assert "nobody reads it" in listed.out
    assert (await admin("policy", "list", "--tool", "mail", "-o", "json")).json()["items"] == []
    odd = await admin("policy", "put", "odd", "telex_*", "require_approval", "--approver", "leads", "--expires", "60")
    assert "fits no registered tool" in odd.out
    shown = (await admin("policy", "show", "odd", "-o", "json")).json()
    assert (shown["approvers"], shown["expires_seconds"]) == (["leads"], 60)
    gone = await admin("policy", "withdraw", "no-fax", "--yes", "--reason", "somebody does")
    assert "withdrawn" in gone.out
    assert "no-fax" not in (await admin("policy", "list")).out
    assert "nobody reads it" in (await admin("policy", "show", "no-fax")).out
    await admin("policy", "show", "never-put", code=ExitCode.NOT_FOUND)
    await admin("policy", "put", "tool:fax_send", "fax_send", "deny", code=ExitCode.FAILED)


async def test_a_workflow_is_disabled_shown_so_and_enabled(api: Api, admin: Run) -> None:
    await factories.insert(api.plane.engine, *factories.workflow("drip", {}))
    off = await admin("workflow", "policy", "drip", "--disable", "--reason", "it leaks", "--yes")
    assert "disabled" in off.out
    assert "it leaks" in off.out
    assert "disabled" in (await admin("workflow", "list")).out
    assert "Input" not in off.out
    assert "Input" in (await admin("workflow", "get", "drip")).out
    on = await admin("workflow", "policy", "drip", "--enable")
    assert "enabled" in on.out
    await admin("workflow", "policy", "nothing", "--enable", code=ExitCode.NOT_FOUND)


async def test_a_principal_is_made_changed_disabled_and_enabled(admin: Run) -> None:
    made = await admin("principal", "put", "noor", "--role", "operator", "--group", "editors")
    assert "human" in made.out
    kept = (await admin("principal", "put", "noor", "--role", "viewer", "--yes", "-o", "json")).json()
    assert (kept["roles"], kept["groups"]) == (["viewer"], ["editors"]), "what is not named stays"
    asked = await admin("principal", "put", "noor", "--role", "operator", code=ExitCode.USAGE)
    assert "--yes" in asked.err
    same = await admin("principal", "put", "noor", "--role", "viewer")
    assert "viewer" in same.out, "nothing changes, so nothing is asked"
    assert "disabled" in (await admin("principal", "disable", "noor", "--yes", "--reason", "left")).out
    assert "disabled" in (await admin("principal", "list")).out
    assert "enabled" in (await admin("principal", "enable", "noor")).out
    assert "read" in (await admin("principal", "show", "noor")).out
    await admin("principal", "put", "noor", "--kind", "service", code=ExitCode.FAILED)
    await admin("principal", "put", "admin", "--role", "approver", "--yes", code=ExitCode.NOT_ALLOWED)
    await admin("principal", "show", "nobody-known", code=ExitCode.NOT_FOUND)


async def test_a_scope_is_put_and_stays_where_it_is_not_named(admin: Run) -> None:
    made = (await admin("principal", "put", "sam", "--role", "viewer", "--workflows", "crm_*", "-o", "json")).json()
    assert made["workflows"] == ["crm_*"]
    kept = (await admin("principal", "put", "sam", "--role", "operator", "--yes", "-o", "json")).json()
    assert (kept["roles"], kept["workflows"]) == (["operator"], ["crm_*"])
    asked = await admin("principal", "put", "sam", "--workflows", "*", code=ExitCode.USAGE)
    assert "--yes" in asked.err
    assert "crm_*" in (await admin("principal", "show", "sam")).out
    wrong = await admin("principal", "put", "sam", "--workflows", "crm_[ab]", "--yes", code=ExitCode.FAILED)
    assert "is no glob" in wrong.err


async def test_an_auditor_sees_who_read_what(api: Api, admin: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run = factories.run(input={"size": 1, "value": 1})
    await factories.insert(api.plane.engine, run)
    async with api.client("operator") as client:
        await client.get(f"/api/v1/runs/{run.run_id}")
    await api.app.state.reads.flush()
    await admin("audit", "reads", code=ExitCode.NOT_ALLOWED)
    monkeypatch.setenv("AGENTGRID_API_KEY", api.tokens["auditor"])
    (read,) = (await admin("audit", "reads", "--subject", run.run_id, "-o", "json")).json()["items"]
    assert (read["principal"], read["outcome"], read["count"]) == ("operator", "read", 1)
    assert "operator" in (await admin("audit", "reads", "--principal", "operator", "--outcome", "read")).out


async def test_signing_keys_are_listed_and_the_one_that_signs_is_not_retired(api: Api, admin: Run) -> None:
    key_id = api.plane.signer.key_id

    async def used() -> bool:
        (key,) = (await admin("signing-key", "list", "-o", "json")).json()["items"]
        return bool(key["in_use"])

    await eventually(used)
    assert key_id in (await admin("signing-key", "list")).out
    refused = await admin("signing-key", "retire", key_id, "--yes", code=ExitCode.FAILED)
    assert "an API signs with this key" in refused.err
    await admin("signing-key", "revoke", "0" * 16, "--yes", code=ExitCode.NOT_FOUND)


DANGEROUS = {
    "rule that allows": ("policy", "put", "r", "crm_*", "allow"),
    "withdrawal": ("policy", "withdraw", "r"),
    "kill switch": ("workflow", "policy", "w", "--disable"),
    "disabling": ("principal", "disable", "p"),
    "change of roles": ("principal", "put", "p", "--role", "admin"),
    "retirement": ("signing-key", "retire", "k"),
    "revocation": ("signing-key", "revoke", "k"),
}


@pytest.mark.parametrize("arguments", DANGEROUS.values(), ids=DANGEROUS.keys())
def test_what_is_dangerous_is_not_done_without_a_terminal_or_yes(
    cli: Cli, server: FakeServer, arguments: tuple[str, ...]
) -> None:
    server.on("GET /policies/r", Reply(body={"effect": "deny", "tool": "x", "disabled": True}))
    server.on("GET /workflows/w", Reply(body={"stats": {"open": {"running": 2}}}))
    server.on("GET /principals/p", Reply(body={"roles": ["viewer"], "groups": [], "workflows": ["*"]}))
    refused = cli(*arguments)
    assert (refused.code, "--yes" in refused.err) == (ExitCode.USAGE, True)
    assert {seen.method for seen in server.seen} <= {"GET"}
    server.seen.clear()
    assert cli(*arguments, "--yes").code == ExitCode.NOT_FOUND
    (sent,) = [seen for seen in server.seen if seen.method != "GET"]
    assert sent.headers["Idempotency-Key"]


def test_a_reason_goes_along_and_no_reason_is_none(cli: Cli, server: FakeServer) -> None:
    for place in ("DELETE /policies/r", "POST /principals/p/disable", "POST /signing-keys/k/retire"):
        server.on(place, problem(409, "conflict"))
    for command in (("policy", "withdraw", "r"), ("principal", "disable", "p"), ("signing-key", "retire", "k")):
        cli(*command, "--yes", "--reason", "why not")
        cli(*command, "--yes")
    assert [json.loads(seen.body) for seen in server.seen] == [{"reason": "why not"}, {}] * 3
