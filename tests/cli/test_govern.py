"""Governing from the command line: output and effects against a real API, confirmations against a scripted one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from agentgrid.cli.exits import ExitCode
from agentgrid.control import api_keys, principals
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.api import factories
from tests.api.conftest import SETUP, Api, api, eventually, listening
from tests.cli.conftest import Cli, Ended, FakeServer, Reply, problem

__all__ = ["api"]

Run = Callable[..., Awaitable[Ended]]


@pytest.fixture
async def admin(api: Api, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Run]:
    """Runs a command as the administrator, in another thread: the server runs in this one."""
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
    assert "matches no registered tool" in odd.out
    shown = (await admin("policy", "show", "odd", "-o", "json")).json()
    assert (shown["approvers"], shown["expires_seconds"]) == (["leads"], 60)
    withdrawn = await admin("policy", "withdraw", "no-fax", "--yes", "--reason", "somebody does")
    assert "withdrawn" in withdrawn.out
    assert "no-fax" not in (await admin("policy", "list")).out
    assert "nobody reads it" in (await admin("policy", "show", "no-fax")).out
    await admin("policy", "show", "never-put", code=ExitCode.NOT_FOUND)
    await admin("policy", "put", "tool:fax_send", "fax_send", "deny", code=ExitCode.FAILED)


async def test_a_workflow_is_disabled_shown_as_disabled_and_enabled(api: Api, admin: Run) -> None:
    await factories.insert(api.plane.engine, *factories.workflow("drip", {}))
    off = await admin("workflow", "disable", "drip", "--reason", "it leaks", "--yes")
    assert "disabled" in off.out
    assert "it leaks" in off.out
    assert "disabled" in (await admin("workflow", "list")).out
    assert "Input" not in off.out
    assert "Input" in (await admin("workflow", "get", "drip")).out
    on = await admin("workflow", "enable", "drip")
    assert "disabled" not in on.out
    assert "enabled" in (await admin("workflow", "list")).out
    await admin("workflow", "enable", "nothing", code=ExitCode.NOT_FOUND)


async def test_a_tool_is_disabled_and_enabled_and_keeps_its_rule(api: Api, admin: Run) -> None:
    await factories.insert(api.plane.engine, factories.tool("pager", risk="destructive"))
    await admin("tool", "policy", "pager", "require_approval", "--approver", "leads")
    off = await admin("tool", "disable", "pager", "--reason", "it rings at night", "--yes")
    assert "disabled" in off.out
    assert "it rings at night" in off.out
    assert "require_approval" in off.out
    assert "disabled" in (await admin("tool", "list")).out
    on = (await admin("tool", "enable", "pager", "-o", "json")).json()
    assert (on["switch"]["disabled"], on["policy"]["effect"], on["policy"]["approvers"]) == (
        False,
        "require_approval",
        ["leads"],
    )
    await admin("tool", "disable", "nothing", "--yes", code=ExitCode.NOT_FOUND)


async def test_a_principal_is_created_changed_disabled_and_enabled(admin: Run) -> None:
    made = await admin("principal", "put", "noor", "--role", "operator", "--group", "editors")
    assert "human" in made.out
    kept = (await admin("principal", "put", "noor", "--role", "viewer", "--yes", "-o", "json")).json()
    assert (kept["roles"], kept["groups"]) == (["viewer"], ["editors"]), "omitted options change nothing"
    unconfirmed = await admin("principal", "put", "noor", "--role", "operator", code=ExitCode.USAGE)
    assert "--yes" in unconfirmed.err
    same = await admin("principal", "put", "noor", "--role", "viewer")
    assert "viewer" in same.out, "nothing changes, so no confirmation is needed"
    assert "disabled" in (await admin("principal", "disable", "noor", "--yes", "--reason", "left")).out
    assert "disabled" in (await admin("principal", "list")).out
    assert "enabled" in (await admin("principal", "enable", "noor")).out
    assert "read" in (await admin("principal", "show", "noor")).out
    await admin("principal", "put", "noor", "--kind", "service", code=ExitCode.FAILED)
    await admin("principal", "put", "admin", "--role", "approver", "--yes", code=ExitCode.NOT_ALLOWED)
    await admin("principal", "show", "nobody-known", code=ExitCode.NOT_FOUND)


async def test_proposals_are_created_listed_confirmed_and_withdrawn(
    api: Api, admin: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alone = await admin("principal", "put", "erin", "--role", "approver", code=ExitCode.NOT_ALLOWED)
    assert "agentgrid key create" in alone.err
    berta = Principal(name="berta", kind=PrincipalKind.HUMAN, roles=frozenset({Role.ADMIN}))
    await principals.put(api.plane.engine, SETUP, berta)
    second = await api_keys.create(api.plane.engine, SETUP, principal="berta")
    try:
        proposed = await admin("principal", "put", "erin", "--role", "approver", "--reason", "joins the leads")
        assert ("proposed" in proposed.out, "agentgrid proposal confirm" in proposed.out) == (True, True)
        for listing in (("proposal", "list"), ("audit", "list", "--status", "proposed")):
            (waiting,) = (await admin(*listing, "-o", "json")).json()["items"]
            assert "joins the leads" in (await admin(*listing)).out
        assert "role:approver" in (await admin("proposal", "show", waiting["command_id"])).out
        await admin("proposal", "confirm", waiting["command_id"], "--yes", code=ExitCode.NOT_ALLOWED)
        async with api.client("admin") as http:
            given = await http.post("/api/v1/keys", json={"principal": "reviewer"})
        lifted = await admin("policy", "put", "gap", "fax_*", "allow", "--yes", "-o", "json")
        monkeypatch.setenv("AGENTGRID_API_KEY", second.secret)
        unconfirmed = await admin("proposal", "confirm", waiting["command_id"], code=ExitCode.USAGE)
        assert "--yes" in unconfirmed.err
        assert "confirmed by" in (await admin("proposal", "confirm", waiting["command_id"], "--yes")).out
        assert "decide" in (await admin("principal", "show", "erin")).out
        file = tmp_path / "reviewer.key"
        await admin("proposal", "confirm", given.json()["command_id"], "--yes", "--file", str(file))
        assert file.read_text().startswith(f"ag_{given.json()['target']}_")
        withdrawn = await admin("proposal", "withdraw", lifted.json()["command_id"], "--reason", "no")
        assert "withdrawn by berta" in withdrawn.out
        assert (await admin("proposal", "list", "-o", "json")).json()["items"] == []
    finally:
        await principals.set_disabled(api.plane.engine, SETUP, "berta", True)


async def test_a_scope_is_set_and_kept_when_omitted(admin: Run) -> None:
    made = (await admin("principal", "put", "sam", "--role", "viewer", "--workflows", "crm_*", "-o", "json")).json()
    assert made["workflows"] == ["crm_*"]
    kept = (await admin("principal", "put", "sam", "--role", "operator", "--yes", "-o", "json")).json()
    assert (kept["roles"], kept["workflows"]) == (["operator"], ["crm_*"])
    unconfirmed = await admin("principal", "put", "sam", "--workflows", "*", code=ExitCode.USAGE)
    assert "--yes" in unconfirmed.err
    assert "crm_*" in (await admin("principal", "show", "sam")).out
    wrong = await admin("principal", "put", "sam", "--workflows", "crm_[ab]", "--yes", code=ExitCode.FAILED)
    assert "is not a valid glob" in wrong.err


async def test_an_auditor_sees_who_read_what(api: Api, admin: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run = factories.run(input={"size": 1, "value": 1})
    await factories.insert(api.plane.engine, run)
    async with api.client("operator") as client:
        await client.get(f"/api/v1/runs/{run.run_id}")
    await api.app.state.reads.flush()
    await admin("audit", "reads", code=ExitCode.NOT_ALLOWED)
    monkeypatch.setenv("AGENTGRID_API_KEY", api.tokens["auditor"])
    (read,) = (await admin("audit", "reads", "--subject", run.run_id[-8:], "-o", "json")).json()["items"]
    assert (read["principal"], read["outcome"], read["count"]) == ("operator", "read", 1)
    assert "operator" in (await admin("audit", "reads", "--principal", "operator", "--outcome", "read")).out


async def test_signing_keys_are_listed_and_the_one_in_use_is_not_retired(api: Api, admin: Run) -> None:
    key_id = api.plane.signer.key_id

    async def used() -> bool:
        (key,) = (await admin("signing-key", "list", "-o", "json")).json()["items"]
        return bool(key["in_use"])

    await eventually(used)
    assert key_id in (await admin("signing-key", "list")).out
    refused = await admin("signing-key", "retire", key_id, "--yes", code=ExitCode.FAILED)
    assert "an API process signs with this key" in refused.err
    await admin("signing-key", "revoke", "0" * 16, "--yes", code=ExitCode.NOT_FOUND)


DANGEROUS = {
    "rule that allows": ("policy", "put", "r", "crm_*", "allow"),
    "withdrawal": ("policy", "withdraw", "r"),
    "kill switch of a workflow": ("workflow", "disable", "w"),
    "kill switch of a tool": ("tool", "disable", "t"),
    "disabling": ("principal", "disable", "p"),
    "change of roles": ("principal", "put", "p", "--role", "admin"),
    "retirement": ("signing-key", "retire", "k"),
    "revocation": ("signing-key", "revoke", "k"),
}


@pytest.mark.parametrize("arguments", DANGEROUS.values(), ids=DANGEROUS.keys())
def test_dangerous_commands_need_a_terminal_or_yes(cli: Cli, server: FakeServer, arguments: tuple[str, ...]) -> None:
    server.on("GET /policies/r", Reply(body={"effect": "deny", "tool": "x"}))
    server.on("GET /workflows/w", Reply(body={"stats": {"open": {"running": 2}}}))
    server.on("GET /principals/p", Reply(body={"roles": ["viewer"], "groups": [], "workflows": ["*"]}))
    refused = cli(*arguments)
    assert (refused.code, "--yes" in refused.err) == (ExitCode.USAGE, True)
    assert {seen.method for seen in server.seen} <= {"GET"}
    server.seen.clear()
    assert cli(*arguments, "--yes").code == ExitCode.NOT_FOUND
    (sent,) = [seen for seen in server.seen if seen.method != "GET"]
    assert sent.headers["Idempotency-Key"]


def test_a_reason_is_sent_only_if_given(cli: Cli, server: FakeServer) -> None:
    for place in ("DELETE /policies/r", "POST /principals/p/disable", "POST /signing-keys/k/retire"):
        server.on(place, problem(409, "conflict"))
    for command in (("policy", "withdraw", "r"), ("principal", "disable", "p"), ("signing-key", "retire", "k")):
        cli(*command, "--yes", "--reason", "why not")
        cli(*command, "--yes")
    assert [json.loads(seen.body) for seen in server.seen] == [{"reason": "why not"}, {}] * 3


async def test_a_rule_with_an_agent_and_conditions_is_put_and_tested(
    api: Api, admin: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    await factories.insert(api.plane.engine, factories.tool("wire_back", risk="destructive"))
    rule = ("policy", "put", "small-wires", "wire_back", "allow", "--agent", "wirer")
    put = await admin(*rule, "--when", "cents <= 1000", "--when", 'currency in ["EUR"]', "--yes")
    assert 'wire_back by the agent wirer when cents <= 1000 and currency in ["EUR"]' in " ".join(put.out.split())
    wrong = await admin(*rule, "--when", "cents <= lots", "--yes", code=ExitCode.FAILED)
    assert "is invalid at character 10: expected a JSON value" in wrong.err
    call = ("policy", "test", "--tool", "wire_back", "--agent", "wirer", "--arguments")
    small = await admin(*call, '{"cents": 5, "currency": "EUR"}')
    assert "allow  by small-wires@1" in small.out
    large = await admin(*call, '{"cents": 5000, "currency": "EUR"}')
    assert "require_approval  by default:destructive@1" in large.out
    assert "a condition doesn't hold" in large.out
    for given, why in (("{", "--arguments is not JSON"), ("[" * 100_000, "nested too deeply")):
        assert why in (await admin(*call, given, code=ExitCode.USAGE)).err
    questions: list[str] = []
    monkeypatch.setattr("agentgrid.cli.policies.confirm", lambda question, yes: questions.append(question))
    await admin(*rule, "--when", "cents <= 1000")
    await admin("policy", "withdraw", "small-wires")
    about = "wire_back by the agent wirer when cents <= 1000"
    assert questions == [
        f"Allow calls of {about} without approval, even destructive ones?",
        f"small-wires sets allow for {about}. Withdraw it?",
    ]


async def test_an_agent_is_governed_disabled_and_enabled(admin: Run) -> None:
    put = await admin("agent", "policy", "clerk", "require_approval")
    assert "agent:clerk@1: * by the agent clerk" in put.out
    off = await admin("agent", "disable", "clerk", "--reason", "it files twice", "--yes")
    assert ("it files twice" in off.out, "no run has called an agent named" in off.out) == (True, True)
    assert (await admin("agent", "enable", "clerk", "-o", "json")).json()["switch"]["disabled"] is False
    await admin("agent", "disable", "No Agent", "--yes", code=ExitCode.NOT_FOUND)
