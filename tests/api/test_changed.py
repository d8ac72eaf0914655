"""Approving with changed arguments: what is checked before anything is signed, and changes that take two people."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from agentgrid.control import api_keys
from agentgrid.db.session import writing
from agentgrid.domain.approvals import MAX_COMMENT, Changes, Terms, Verdict, changed_digest, judge
from agentgrid.domain.canonical import digest
from tests.api import factories
from tests.api.conftest import SETUP, Api
from tests.api.test_decide import decide, signals, waiting

SCHEMA = {
    "type": "object",
    "properties": {
        "ticket_id": {"type": "string"},
        "body": {"type": "string", "maxLength": 20_000},
        "n": {"type": "integer"},
    },
    "required": ["ticket_id", "body"],
    "additionalProperties": False,
}
ASKED = {"ticket_id": "T-1", "body": "hello"}
GIVEN = {"ticket_id": "T-1", "body": "hello, and sorry"}
TAKES = {"takes": ["comment", "arguments"]}
TWO = {**TAKES, "changes": "second_person"}


@pytest.fixture(scope="module", autouse=True)
async def cataloged(api: Api) -> None:
    await factories.insert(api.plane.engine, factories.tool("post_reply", input_schema=SCHEMA))


async def show(client, gate):
    return (await client.get(f"/api/v1/approvals/{gate.approval_id}")).json()


async def test_an_approver_changes_and_approves_in_one_act(api: Api, as_):
    _, gate, handle = await waiting(api, terms=TAKES)
    answer = await decide(as_("reviewer"), gate, arguments=GIVEN, comment="say sorry")
    assert answer.status_code == 202, answer.text
    (signal,) = await signals(handle)
    terms = Terms.model_validate(gate.terms)
    found = judge(terms, signal.input.payloads[0].data)
    assert (found.verdict, found.decision.comment) == (Verdict.APPROVED, "say sorry")
    assert (found.decision.arguments, found.decision.digest) == (GIVEN, changed_digest(terms, GIVEN))
    command = (await as_("auditor").get(f"/api/v1/commands/{signal.request_id}")).json()
    assert command["body"]["changed"] == {"arguments": GIVEN, "digest": found.decision.digest}
    assert command["body"]["digest"] == gate.digest


async def test_a_comment_is_signed_for_workers_that_take_it_and_kept_for_all(api: Api, as_):
    longest = "\N{EURO SIGN}" * MAX_COMMENT
    for takes, comment in ((["comment"], longest), ([], None)):
        _, gate, handle = await waiting(api, terms={"takes": takes})
        answer = await decide(as_("reviewer"), gate, verdict="rejected", comment=longest)
        assert answer.json()["command"]["reason"] == longest
        (signal,) = await signals(handle)
        assert judge(Terms.model_validate(gate.terms), signal.input.payloads[0].data).decision.comment == comment


REFUSALS = {
    "unknown field": ({"arguments": {**GIVEN, "to": "x"}}, TAKES, 422, "/arguments"),
    "missing field": ({"arguments": {"body": "x"}}, TAKES, 422, "/arguments"),
    "wrong type": ({"arguments": {**GIVEN, "body": 7}}, TAKES, 422, "/arguments/body"),
    "not an object": ({"arguments": [1]}, TAKES, 422, "/arguments"),
    "no exact number": ({"arguments": {**GIVEN, "n": 2**60}}, TAKES, 422, "/arguments"),
    "unchanged": ({"arguments": {"body": "hello", "ticket_id": "T-1"}}, TAKES, 422, "/arguments"),
    "too long to be sent": ({"arguments": {**GIVEN, "body": "x" * 9_000}}, TAKES, 422, "/arguments"),
    "a rejection": ({"arguments": GIVEN, "verdict": "rejected"}, TAKES, 422, "/arguments"),
    "a comment too long": ({"comment": "x" * 2_001}, TAKES, 422, "/comment"),
    "a comment of few characters and many bytes": (
        {"comment": "\N{GRINNING FACE}" * 2_000},
        TAKES,
        422,
        "bytes too long: the maximum for a decision with its comment",
    ),
    "an older worker": ({"arguments": GIVEN}, {"takes": ["comment"]}, 409, "update it"),
    "an explicit approval": (
        {"arguments": GIVEN},
        {**TAKES, "kind": "explicit", "digest": digest(["Post reply", ASKED])},
        409,
        "only the arguments of a tool",
    ),
    "another version": (
        {"arguments": GIVEN},
        {**TAKES, "tool_version": "v0", "digest": digest(["post_reply", "v0", ASKED])},
        409,
        "another version",
    ),
}


@pytest.mark.parametrize(("body", "terms", "status", "words"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_change_that_cannot_run_is_refused_before_anything_is_signed(api: Api, as_, body, terms, status, words):
    over = {"digest": terms["digest"]} if "digest" in terms else {}
    _, gate, handle = await waiting(api, terms=terms, **over)
    answer = await decide(as_("reviewer"), gate, **body)
    assert answer.status_code == status, answer.text
    assert words in answer.text
    assert await signals(handle) == []


async def test_r22_where_the_rule_wants_two_another_approver_approves_exactly_the_proposed_change(api: Api, as_):
    _, gate, handle = await waiting(api, terms=TWO)
    proposed = await decide(as_("second"), gate, arguments=GIVEN, comment="sorry first")
    assert (proposed.status_code, proposed.json()["command"]["kind"]) == (202, "approval.propose")
    assert (proposed.json()["command"]["status"], proposed.json()["status"]) == ("applied", "pending")
    again = await decide(as_("second"), gate, arguments=GIVEN)
    assert again.json()["command"]["kind"] == "approval.propose", "nobody confirms their own proposal"
    other = await decide(as_("reviewer"), gate, arguments={**GIVEN, "body": "other"})
    assert other.json()["command"]["kind"] == "approval.propose"
    assert await signals(handle) == []

    shown = await show(as_("reviewer"), gate)
    assert shown["changes"] == "second_person"
    assert [each["principal"] for each in shown["proposals"]] == ["reviewer", "second", "second"]
    assert shown["proposals"][2]["arguments"] == GIVEN
    assert shown["proposals"][2]["comment"] == "sorry first"
    unseen = await show(as_("viewer"), gate)
    assert {(each["arguments"], each["comment"]) for each in unseen["proposals"]} == {(None, None)}
    # Neither administrators nor anybody else can confirm it as they confirm their own proposals.
    first = shown["proposals"][2]["command_id"]
    assert (await as_("admin").post(f"/api/v1/commands/{first}/confirm", json={})).status_code == 404

    assert (await decide(as_("reviewer"), gate, arguments=GIVEN)).json()["command"]["kind"] == "approval.decide"
    (signal,) = await signals(handle)
    found = judge(Terms.model_validate(gate.terms), signal.input.payloads[0].data)
    assert (found.verdict, found.decision.principal, found.decision.proposer) == (
        Verdict.APPROVED,
        "reviewer",
        "second",
    )
    assert found.decision.proposal == shown["proposals"][1]["command_id"]


async def test_r22_nobody_hides_a_proposal_behind_many_of_their_own(api: Api, as_):
    _, gate, handle = await waiting(api, terms=TWO)
    hers = (await decide(as_("second"), gate, arguments=GIVEN)).json()["command"]["command_id"]
    async with writing(api.plane.engine) as session:
        for digest_of in ("command_id", "body -> 'changed' ->> 'digest'"):
            # Of other arguments, and of the same.
            await session.execute(
                text(
                    f"""
                    INSERT INTO commands (command_id, kind, status, principal, key_id, approval_id, body, created_at)
                    SELECT gen_random_uuid()::text, kind, status, 'reviewer', 'a-revoked-key', approval_id,
                        json_build_object('changed', json_build_object('arguments', '{{}}'::json, 'digest', {digest_of})),
                        created_at + n * interval '1 ms'
                    FROM commands, generate_series(1, 60) AS n WHERE command_id = :hers
                    """
                ),
                {"hers": hers},
            )
    shown = [each["command_id"] for each in (await show(as_("both"), gate))["proposals"]]
    assert (len(shown), shown[-1]) == (50, hers)
    assert (await decide(as_("both"), gate, arguments=GIVEN)).json()["command"]["kind"] == "approval.decide"
    (signal,) = await signals(handle)
    decision = judge(Terms.model_validate(gate.terms), signal.input.payloads[0].data).decision
    assert (decision.principal, decision.proposer, decision.proposal) == ("both", "second", hers)


async def test_r22_who_changed_the_call_alone_does_not_decide_where_the_rule_wants_a_second_person(api: Api, as_):
    _, gate, handle = await waiting(api, terms={**TWO, "changed_by": "reviewer"})
    made = await api_keys.create(api.plane.engine, SETUP, principal="second")
    api.tokens["second, by reviewer"] = made.secret
    async with writing(api.plane.engine) as session:
        await session.execute(
            text("UPDATE api_keys SET issuers = '{reviewer}' WHERE key_id = :key"), {"key": made.key_id}
        )
    async with api.client("second, by reviewer") as puppet:
        for client in (as_("reviewer"), puppet):
            for arguments in (None, GIVEN):
                answer = await decide(client, gate, arguments=arguments)
                assert answer.status_code == 403, answer.text
                assert "reviewer changed the arguments of this call" in answer.json()["detail"]
            mine = await client.get("/api/v1/approvals", params={"status": "pending", "assigned_to": "me"})
            assert gate.approval_id not in [each["approval_id"] for each in mine.json()["items"]]
    assert await signals(handle) == []
    assert (await decide(as_("second"), gate)).json()["command"]["kind"] == "approval.decide"
    (signal,) = await signals(handle)
    assert judge(Terms.model_validate(gate.terms), signal.input.payloads[0].data).decision.principal == "second"


async def test_r22_who_issued_the_key_that_changed_the_call_alone_does_not_decide_either(api: Api, as_):
    made = await api_keys.create(api.plane.engine, SETUP, principal="second")
    api.tokens["second, of reviewer"] = made.secret
    async with writing(api.plane.engine) as session:
        await session.execute(
            text("UPDATE api_keys SET issuers = '{reviewer}' WHERE key_id = :key"), {"key": made.key_id}
        )
    # The decision carries it to workers that understand it.
    for takes, carried in ((["arguments", "issuers"], ("reviewer",)), (["arguments"], ())):
        _, small, handle = await waiting(api, terms={"takes": takes})
        async with api.client("second, of reviewer") as puppet:
            assert (await decide(puppet, small, arguments=GIVEN)).status_code == 202
        (signal,) = await signals(handle)
        assert judge(Terms.model_validate(small.terms), signal.input.payloads[0].data).decision.issuers == carried

    _, large, handle = await waiting(api, terms={**TWO, "changed_by": "second", "changed_issuers": ["reviewer"]})
    answer = await decide(as_("reviewer"), large)
    assert answer.status_code == 403, answer.text
    assert "second changed the arguments of this call with a key that reviewer issued" in answer.json()["detail"]
    refused = (await show(as_("reviewer"), large))["who"]["refused"]
    assert {"second", "reviewer"} <= {each["principal"] for each in refused}
    mine = await as_("reviewer").get("/api/v1/approvals", params={"status": "pending", "assigned_to": "me"})
    assert large.approval_id not in [each["approval_id"] for each in mine.json()["items"]]
    assert await signals(handle) == []
    assert (await decide(as_("both"), large)).json()["command"]["kind"] == "approval.decide"


async def test_r22_an_unchanged_approval_takes_one_person_also_where_changes_take_two(api: Api, as_):
    _, gate, handle = await waiting(api, terms=TWO)
    assert (await decide(as_("reviewer"), gate)).json()["command"]["kind"] == "approval.decide"
    assert len(await signals(handle)) == 1


@pytest.mark.parametrize(
    ("proposers", "approvers", "words"),
    [
        (None, [], "was revoked"),
        (["reviewer"], [], "could be the same person"),
        (["both"], ["both"], "both issued your key or the proposer's"),
        (["robot"], [], "issued by a program (robot)"),
        (
            ["operator"],
            [],
            "second, who proposed these arguments, may not decide this approval: the key of second was issued by operator",
        ),
    ],
    ids=["its key was revoked", "the other issued it", "one person issued both", "a program did", "the initiator did"],
)
async def test_r22_a_proposal_counts_only_for_two_people_who_may_both_decide_now(
    api: Api, as_, proposers: list[str] | None, approvers: list[str], words: str
):
    _, gate, handle = await waiting(api, terms=TWO)
    made = {name: await api_keys.create(api.plane.engine, SETUP, principal=name) for name in ("second", "reviewer")}
    api.tokens |= {f"{name}, again": key.secret for name, key in made.items()}
    async with api.client("second, again") as proposer, api.client("reviewer, again") as approver:
        assert (await decide(proposer, gate, arguments=GIVEN)).status_code == 202
        if proposers is None:
            await api_keys.revoke(api.plane.engine, SETUP, made["second"].key_id)
        async with writing(api.plane.engine) as session:
            for name, issuers in (("second", proposers or []), ("reviewer", approvers)):
                await session.execute(
                    text("UPDATE api_keys SET issuers = :issuers WHERE key_id = :key"),
                    {"issuers": issuers, "key": made[name].key_id},
                )
        answer = await decide(approver, gate, arguments=GIVEN)
    assert answer.status_code == 403, answer.text
    assert words in answer.json()["detail"]
    assert await signals(handle) == []


async def test_a_rule_says_how_many_people_a_change_takes(api: Api, as_):
    body = {"effect": "require_approval", "changes": "second_person"}
    put = (await as_("admin").put("/api/v1/tools/post_reply/policy", json=body)).json()
    assert put["policy"]["changes"] == Changes.SECOND_PERSON
    rule = (await as_("admin").get("/api/v1/policies/tool:post_reply")).json()
    assert (rule["changes"], rule["version"]) == ("second_person", 1)
    relaxed = await as_("admin").put("/api/v1/tools/post_reply/policy", json=body | {"changes": "one_person"})
    assert relaxed.json()["policy"]["changes"] == "one_person"
    (command, *_) = (await as_("auditor").get("/api/v1/commands?kind=tool.policy")).json()["items"]
    assert command["outcome"]["lifts"] == ["post_reply"], "relaxed, by the only administrator"
