"""Governing agents over the API: their own rule, rules that name them, conditions, and the kill switch."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentgrid.api import policy_tests
from agentgrid.api.schemas.policies import PolicyTest, PolicyTested
from agentgrid.control import snapshots
from agentgrid.db import policies
from agentgrid.db.session import ReadSession, WriteSession
from agentgrid.db.tables import PolicyRow, Switch
from agentgrid.domain.activities import governed
from agentgrid.domain.agents import AgentHeader
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Risk
from agentgrid.domain.steps import StepKind
from agentgrid.worker.governor import Answer, ApprovalNeeded, CallAttempt, Deny, Governor, Unsupported
from agentgrid.worker.policy import FixedPolicy
from tests.api import factories
from tests.api.conftest import Api
from tests.api.test_policies import PLACE, last_command, published
from tests.api.test_principals import second_administrator
from tests.worker.test_policy import call

SMALL = {"argument": "cents", "op": "<=", "value": 1000}


async def test_a_rule_can_name_an_agent_a_tool_and_conditions(api: Api, as_):
    await factories.insert(api.plane.engine, factories.tool("payout", risk="destructive"))
    admin = as_("admin")
    body = {"tool": "payout", "agent": "payer", "when": [SMALL], "effect": "allow"}

    put = await admin.put(f"{PLACE}/small-payouts", json=body)

    assert put.status_code == 200, put.text
    rule = put.json()
    assert (rule["agent"], rule["when"], rule["fits"], rule["holds_for"]) == (
        "payer",
        [SMALL],
        ["payout"],
        ["payout"],
    )
    snapshot = await published(api)

    def snapshot_rule(agent: str | None, cents: Any) -> str:
        return snapshot.rule_for("payout", Risk.DESTRUCTIVE, agent=agent, arguments=lambda: {"cents": cents}).rule_id

    assert [
        snapshot_rule("payer", 1000),
        snapshot_rule("payer", 1001),
        snapshot_rule("payer", "1"),
        snapshot_rule(None, 1),
    ] == [
        "small-payouts",
        *["default:destructive"] * 3,
    ]
    tool = (await as_("viewer").get("/api/v1/tools/payout")).json()["policy"]
    assert (tool["rule"], tool["also"]) == ("default:destructive@1", ["small-payouts@1"])
    assert (await admin.put(f"{PLACE}/small-payouts", json=body)).json()["version"] == 1, "unchanged"
    paid = {**body, "tool": "payback", "agent": "booker", "when": [{"argument": "paid", "op": "==", "value": 1}]}
    await admin.put(f"{PLACE}/paid", json=paid)
    paid["when"][0]["value"] = True
    assert (await admin.put(f"{PLACE}/paid", json=paid)).json()["version"] == 2, "true is not the same value as 1"
    again = await admin.put(f"{PLACE}/other", json=body)
    assert (again.status_code, "for the agent payer under the same conditions" in again.text) == (409, True)
    wider = await admin.put(f"{PLACE}/other", json=body | {"when": [SMALL | {"value": 2000}]})
    assert (wider.status_code, wider.json()["when"][0]["value"]) == (200, 2000)
    listed = (await admin.get(PLACE, params={"agent": "payer"})).json()["items"]
    assert [item["rule_id"] for item in listed] == ["other", "small-payouts"]
    alone = await admin.put(f"{PLACE}/payers", json={"agent": "pay*", "effect": "require_approval"})
    assert (alone.status_code, alone.json()["tool"], alone.json()["agent"]) == (200, "*", "pay*")
    for rule_id in ("small-payouts", "other", "payers", "paid"):
        await admin.delete(f"{PLACE}/{rule_id}")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"tool": None}, ""),
        ({"agent": "Pay er"}, "/agent"),
        ({"when": [SMALL, SMALL | {"op": "~"}]}, "/when/1/op"),
        ({"when": [SMALL | {"argument": "a b"}]}, "/when/0/argument"),
        ({"when": [SMALL | {"value": [1]}]}, "/when/0/value"),
        ({"when": [SMALL | {"op": "matches", "value": "(?=a)"}]}, "/when/0/value"),
        ({"when": [SMALL | {"unit": "EUR"}]}, "/when/0/unit"),
        ({"when": [SMALL] * 11}, "/when"),
    ],
)
async def test_a_rule_that_could_not_be_evaluated_is_refused(api: Api, as_, change: dict[str, Any], pointer: str):
    response = await as_("admin").put(f"{PLACE}/wrong", json={"tool": "payout", "effect": "deny", **change})
    assert (response.status_code, response.json()["faults"][0]["pointer"]) == (422, pointer), response.text


async def test_an_agents_own_rule_and_kill_switch(api: Api, as_):
    run = factories.run(status="running")
    opened = factories.step(run, 5, kind="agent", name="filer", status="running", tool_version="v7")
    ended = factories.step(run, 9, kind="agent", name="filer", status="completed")
    await factories.insert(api.plane.engine, run, factories.execution(run), opened, ended)
    admin = as_("admin")

    put = await admin.put("/api/v1/agents/filer/policy", json={"effect": "require_approval", "approvers": ["nobodys"]})

    assert put.status_code == 200, put.text
    (own,) = put.json()["rules"]
    assert (own["rule_id"], own["tool"], own["agent"]) == ("agent:filer", "*", "filer")
    assert "nobodys" in put.json()["note"]
    applied = (await published(api)).rule_for("file", Risk.WRITE, agent="filer")
    assert (applied.rule_id, applied.effect) == ("agent:filer", Effect.REQUIRE_APPROVAL)
    assert (await last_command(as_, "agent.policy"))["target"] == "filer"

    disabled = await admin.post("/api/v1/agents/filer/disable", json={"reason": "it loses files"})

    assert disabled.status_code == 200, disabled.text
    assert (disabled.json()["switch"]["disabled"], disabled.json()["switch"]["reason"]) == (True, "it loses files")
    (call,) = disabled.json()["in_flight"]
    assert (call["run_id"], call["event_id"], call["version"]) == (run.run_id, 5, "v7")
    assert disabled.json()["rules"] == put.json()["rules"]
    assert "filer" in (await published(api)).disabled["agent"]
    assert (await last_command(as_, "agent.disable"))["reason"] == "it loses files"
    on = await admin.post("/api/v1/agents/filer/enable")
    assert on.json()["switch"]["disabled"] is False
    assert (await admin.delete(f"{PLACE}/agent:filer")).status_code == 200

    unknown = (await admin.post("/api/v1/agents/never_called/enable")).json()
    assert (unknown["called"], unknown["in_flight"]) == (False, [])
    assert "no run has called" in unknown["note"]
    for path in ("policy", "disable"):
        method = "PUT" if path == "policy" else "POST"
        wrong = await admin.request(
            method, f"/api/v1/agents/No%20Agent/{path}", json={"effect": "deny"} if method == "PUT" else {}
        )
        assert wrong.status_code == 404, wrong.text
        assert (
            await as_("operator").request(method, f"/api/v1/agents/filer/{path}", json={"effect": "deny"})
        ).status_code in (403, 422)


async def test_a_policy_test_says_which_rule_would_apply_and_why(api: Api, as_):
    await factories.insert(api.plane.engine, factories.tool("recall", risk="destructive"))
    admin = as_("admin")
    await admin.put(
        f"{PLACE}/small-recalls", json={"tool": "recall", "agent": "caller", "when": [SMALL], "effect": "allow"}
    )
    await admin.put(f"{PLACE}/recalls", json={"tool": "rec*", "effect": "require_approval", "reason": "they cost"})

    async def tried(**call: Any) -> tuple[str, str, dict[str, str]]:
        response = await admin.post(f"{PLACE}/test", json={"tool": "recall", **call})
        assert response.status_code == 200, response.text
        body = response.json()
        return body["rule"], body["effect"], {item["rule"]: item["because"] for item in body["considered"]}

    try:
        small = await tried(agent="caller", arguments={"cents": 5})
        assert small == (
            "small-recalls@1",
            "allow",
            {"small-recalls@1": "it applies", "recalls@1": "small-recalls@1 is more specific"},
        )
        assert (await tried(agent="caller", arguments={"cents": 5000}))[2][
            "small-recalls@1"
        ] == "a condition doesn't hold"
        unknown = await tried(agent="caller")
        assert (unknown[0], unknown[2]["small-recalls@1"]) == (
            "recalls@1",
            "its conditions can't be evaluated, and a rule that allows then doesn't apply",
        )
        assert (await tried(arguments={"cents": 5}))[2] == {"recalls@1": "it applies"}
        await admin.post("/api/v1/agents/caller/disable", json={"reason": "stop"})
        disabled = (await admin.post(f"{PLACE}/test", json={"tool": "recall", "agent": "caller"})).json()["disabled"]
        assert disabled == "the agent caller is disabled by its kill switch: stop"
        assert (
            await as_("viewer").post(f"{PLACE}/test", json={"tool": "recall"})
        ).status_code == 200  # rules are not secret
        assert (await admin.post(f"{PLACE}/test", json={"tool": "recall", "kind": "timer"})).status_code == 422
    finally:
        await admin.post("/api/v1/agents/caller/enable")
        for rule_id in ("small-recalls", "recalls"):
            await admin.delete(f"{PLACE}/{rule_id}")


EFFECTS = ("allow", "require_approval", "deny")
CONDITIONS = [
    SMALL,
    {"argument": "cents", "op": ">", "value": 1000},
    {"argument": "cents", "op": "!=", "value": 2**53},
    {"argument": "to.country", "op": "in", "value": ["DE", "FR"]},
    {"argument": "to.country", "op": "exists", "value": False},
    {"argument": "0", "op": "==", "value": 500},
    {"argument": "note", "op": "matches", "value": "^urgent"},
    {"argument": "note", "op": "contains", "value": "\N{CYRILLIC SMALL LETTER O}"},
]
ARGUMENTS = [
    None,
    {},
    [500],
    *({"cents": cents} for cents in (5, 1000.0, 5000, 2**53, 2**53 + 1, 10**400, "5", True, None, float("nan"))),
    {"cents": 5, "to": {"country": "DE"}, "note": "urgent"},
    {"cents": 5, "to.country": "DE", "c\N{CYRILLIC SMALL LETTER IE}nts": 5000},
    {"cents": 5, "to": ["DE"], "note": "\ud800"},
    {"cents\0": 5, **{f"key {number}": number for number in range(10_000)}},
]


def some_rule(random: Random, rule_id: str, agent: str | None) -> PolicyRow:
    return PolicyRow(
        rule_id=rule_id,
        version=1,
        kind=random.choice([None, None, "tool", "activity", "model"]),
        tool=random.choice(["wire", "wi*", "*", "post"]),
        agent=random.choice([None, "pay*", "payer"]) if agent is None else agent,
        when=random.sample(CONDITIONS, random.choice([0, 0, 1, 2])),
        effect=random.choice(EFFECTS),
        approvers=["role:approver"],
        expires_seconds=60,
        created_by="admin",
    )


async def test_a_policy_test_agrees_with_what_a_worker_does(api: Api):
    """Random rules, kill switches and calls. The worker has the snapshot that the database provides."""
    random = Random(36)
    tools = frozenset({"wire", "post"})
    session = AsyncSession(api.plane.engine)
    async with session, session.begin() as transaction:
        await session.execute(text("DELETE FROM policies"))
        session.add(factories.tool("wire", risk="destructive"))
        for number in range(40):
            await session.execute(text("DELETE FROM policies"))
            await session.execute(text("DELETE FROM switches"))
            ids = random.sample(["a", "b", "c", "d", "tool:wire"], random.choice([1, 3, 4]))
            session.add_all(some_rule(random, rule_id, None) for rule_id in ids)
            if number % 3 == 0:
                session.add(some_rule(random, "agent:payer", "payer"))
            if number % 10 == 0:
                kind, name = random.choice([("tool", "wire"), ("agent", "payer")])
                session.add(Switch(kind=kind, name=name, version=1, disabled=True, created_by="admin"))
            await session.flush()
            await snapshots.publish(WriteSession(session))
            snapshot = await policies.newest_snapshot(ReadSession(session))
            assert snapshot is not None
            governor = Governor(
                policy=FixedPolicy(snapshot.model_copy(update={"public_keys": {"k": "a"}})),
                allowed_to={"payer": tools, "booker": tools},
            )
            session.expunge_all()
            for _ in range(3):
                kind = random.choice([StepKind.TOOL, StepKind.ACTIVITY, StepKind.MODEL])
                agent = random.choice([None, "payer", "booker"])
                name = random.choice(sorted(tools)) if kind is not StepKind.MODEL else agent or "payer"
                arguments = random.choice(ARGUMENTS)
                request = PolicyTest.model_construct(tool=name, kind=kind, agent=agent, arguments=arguments)
                response = await policy_tests.tested(ReadSession(session), request)
                by = agent if kind is not StepKind.MODEL else name
                decision_of_worker = governor.judge(attempt_of(kind, name, by, arguments))
                assert describes(response, decision_of_worker), (
                    number,
                    request,
                    response,
                    decision_of_worker,
                    snapshot.rules,
                )
        await transaction.rollback()


def attempt_of(kind: StepKind, name: str, agent: str | None, arguments: Any) -> CallAttempt:
    """The call as received by a worker."""

    def given() -> Any:
        if arguments is None:
            raise ValueError("not known")
        return arguments

    is_tool = kind is StepKind.TOOL
    risk = Risk.DESTRUCTIVE if name == "wire" else Risk.READ
    return call(
        kind=next(item for item in governed() if item.step is kind),
        subject=name,
        version="v1" if is_tool else None,
        risk=risk if is_tool else None,
        arguments=given,
        agent=None if agent is None else AgentHeader(agent=agent, version="v1", call="c"),
    )


def describes(answer: PolicyTested, decision_of_worker: Answer) -> bool:
    match decision_of_worker:
        case Deny(reason=reason):
            if answer.disabled is not None:
                return reason == answer.disabled
            return answer.effect is Effect.DENY and f"by the rule {answer.rule}" in reason
        case ApprovalNeeded(terms=terms):
            asks = answer.effect is Effect.REQUIRE_APPROVAL and answer.disabled is None
            return asks and (terms.policy, list(terms.approvers)) == (answer.rule, answer.approvers)
        case Unsupported(reason=reason):
            # JSON can't represent the arguments exactly, so nobody could sign them.
            return answer.effect is Effect.REQUIRE_APPROVAL and "can't be shown exactly" in reason
    return answer.effect is Effect.ALLOW and answer.disabled is None


async def test_an_agents_model_turns_belong_to_it(api: Api, as_):
    body = {"kind": "model", "agent": "thinker", "effect": "deny"}
    await as_("admin").put(f"{PLACE}/thinkers", json=body)
    try:
        turn = {"tool": "thinker", "kind": "model"}
        response = await as_("admin").post(f"{PLACE}/test", json=turn)
        assert (response.status_code, response.json()["rule"]) == (200, "thinkers@1")
        other = await as_("admin").post(f"{PLACE}/test", json=turn | {"agent": "clerk"})
        assert (other.status_code, other.json()["faults"][0]["pointer"]) == (422, "/agent"), other.text
    finally:
        await as_("admin").delete(f"{PLACE}/thinkers")


async def test_relaxing_a_rule_about_an_agent_requires_two_administrators(api: Api, as_):
    admin = as_("admin")
    await admin.put("/api/v1/agents/clerk/policy", json={"effect": "deny"})
    large = {"tool": "clerks_tool", "agent": "clerk", "when": [SMALL | {"op": ">"}], "effect": "deny"}
    await admin.put(f"{PLACE}/clerks-large", json=large)
    async with second_administrator(api) as second:
        for path, body in (
            ("/api/v1/agents/clerk/policy", {"effect": "require_approval"}),
            (f"{PLACE}/clerks-large", {**large, "when": [SMALL | {"op": ">", "value": 2000}]}),
            (f"{PLACE}/clerks-exception", {"tool": "clerks_tool", "agent": "clerk", "effect": "allow"}),
        ):
            proposed = await admin.put(path, json=body)
            assert proposed.status_code == 202, proposed.text
            confirmed = await second.post(proposed.json()["confirm"])
            assert (confirmed.status_code, confirmed.json()["status"]) == (200, "applied"), confirmed.text
        stricter = await admin.put("/api/v1/agents/clerk/policy", json={"effect": "deny", "reason": "again"})
        assert stricter.status_code == 200, stricter.text
    snapshot = await published(api)
    rules = {item.rule_id: item for item in snapshot.rules}
    assert rules["clerks-large"].when[0].value == 2000
    assert rules["agent:clerk"].effect is Effect.DENY
    assert rules["clerks-exception"].agent == "clerk"
    for rule_id in ("agent:clerk", "clerks-large", "clerks-exception"):
        await admin.delete(f"{PLACE}/{rule_id}")
