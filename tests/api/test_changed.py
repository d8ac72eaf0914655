"""Approving with changed arguments: the checks before anything is signed, and changes that need two people."""

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


async def show(client, approval):
    return (await client.get(f"/api/v1/approvals/{approval.approval_id}")).json()


async def test_an_approver_changes_and_approves_in_one_request(api: Api, as_):
    _, approval, handle = await waiting(api, terms=TAKES)
    response = await decide(as_("reviewer"), approval, arguments=GIVEN, comment="say sorry")
    assert response.status_code == 202, response.text
    (signal,) = await signals(handle)
    terms = Terms.model_validate(approval.terms)
    judgement = judge(terms, signal.input.payloads[0].data)
    assert (judgement.verdict, judgement.decision.comment) == (Verdict.APPROVED, "say sorry")
    assert (judgement.decision.arguments, judgement.decision.digest) == (GIVEN, changed_digest(terms, GIVEN))
    command = (await as_("auditor").get(f"/api/v1/commands/{signal.request_id}")).json()
    assert command["body"]["changed"] == {"arguments": GIVEN, "digest": judgement.decision.digest}
    assert command["body"]["digest"] == approval.digest


async def test_a_comment_is_signed_for_workers_that_support_it_and_always_stored(api: Api, as_):
    longest = "\N{EURO SIGN}" * MAX_COMMENT
    for takes, comment in ((["comment"], longest), ([], None)):
        _, approval, handle = await waiting(api, terms={"takes": takes})
        response = await decide(as_("reviewer"), approval, verdict="rejected", comment=longest)
        assert response.json()["command"]["reason"] == longest
        (signal,) = await signals(handle)
        assert judge(Terms.model_validate(approval.terms), signal.input.payloads[0].data).decision.comment == comment


REFUSALS = {
    "unknown field": ({"arguments": {**GIVEN, "to": "x"}}, TAKES, 422, "/arguments"),
    "missing field": ({"arguments": {"body": "x"}}, TAKES, 422, "/arguments"),
    "wrong type": ({"arguments": {**GIVEN, "body": 7}}, TAKES, 422, "/arguments/body"),
    "not an object": ({"arguments": [1]}, TAKES, 422, "/arguments"),
    "an inexact number": ({"arguments": {**GIVEN, "n": 2**60}}, TAKES, 422, "/arguments"),
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
    "a different version": (
        {"arguments": GIVEN},
        {**TAKES, "tool_version": "v0", "digest": digest(["post_reply", "v0", ASKED])},
        409,
        "another version of post_reply",
    ),
}


@pytest.mark.parametrize(("body", "terms", "status", "words"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_an_invalid_change_is_refused_before_anything_is_signed(api: Api, as_, body, terms, status, words):
    over = {"digest": terms["digest"]} if "digest" in terms else {}
    _, approval, handle = await waiting(api, terms=terms, **over)
    response = await decide(as_("reviewer"), approval, **body)
    assert response.status_code == status, response.text
    assert words in response.text
    assert await signals(handle) == []


async def test_r22_where_the_rule_requires_two_another_approver_approves_exactly_the_proposed_change(api: Api, as_):
    _, approval, handle = await waiting(api, terms=TWO)
    proposed = await decide(as_("second"), approval, arguments=GIVEN, comment="sorry first")
    assert (proposed.status_code, proposed.json()["command"]["kind"]) == (202, "approval.propose")
    assert (proposed.json()["command"]["status"], proposed.json()["status"]) == ("applied", "pending")
    again = await decide(as_("second"), approval, arguments=GIVEN)
    assert again.json()["command"]["kind"] == "approval.propose", "nobody confirms their own proposal"
    other = await decide(as_("reviewer"), approval, arguments={**GIVEN, "body": "other"})
    assert other.json()["command"]["kind"] == "approval.propose"
    assert await signals(handle) == []

    detail = await show(as_("reviewer"), approval)
    assert detail["changes"] == "second_person"
    assert [item["principal"] for item in detail["proposals"]] == ["reviewer", "second", "second"]
    assert detail["proposals"][2]["arguments"] == GIVEN
    assert detail["proposals"][2]["comment"] == "sorry first"
    unseen = await show(as_("viewer"), approval)
    assert {(item["arguments"], item["comment"]) for item in unseen["proposals"]} == {(None, None)}
    # Nobody, not even an administrator, can confirm it the way administrators' proposals are confirmed.
    first = detail["proposals"][2]["command_id"]
    assert (await as_("admin").post(f"/api/v1/commands/{first}/confirm", json={})).status_code == 404

    assert (await decide(as_("reviewer"), approval, arguments=GIVEN)).json()["command"]["kind"] == "approval.decide"
    (signal,) = await signals(handle)
    judgement = judge(Terms.model_validate(approval.terms), signal.input.payloads[0].data)
    assert (judgement.verdict, judgement.decision.principal, judgement.decision.proposer) == (
        Verdict.APPROVED,
        "reviewer",
        "second",
    )
    assert judgement.decision.proposal == detail["proposals"][1]["command_id"]


async def test_r22_a_proposal_cannot_be_hidden_behind_many_others(api: Api, as_):
    _, approval, handle = await waiting(api, terms=TWO)
    hers = (await decide(as_("second"), approval, arguments=GIVEN)).json()["command"]["command_id"]
    async with writing(api.plane.engine) as session:
        for digest_of in ("command_id", "body -> 'changed' ->> 'digest'"):
            # Proposals of different arguments and of the same ones.
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
    command_ids = [item["command_id"] for item in (await show(as_("both"), approval))["proposals"]]
    assert (len(command_ids), command_ids[-1]) == (50, hers)
    assert (await decide(as_("both"), approval, arguments=GIVEN)).json()["command"]["kind"] == "approval.decide"
    (signal,) = await signals(handle)
    decision = judge(Terms.model_validate(approval.terms), signal.input.payloads[0].data).decision
    assert (decision.principal, decision.proposer, decision.proposal) == ("both", "second", hers)


async def test_r22_the_author_of_a_change_may_not_decide_where_the_rule_requires_a_second_person(api: Api, as_):
    _, approval, handle = await waiting(api, terms={**TWO, "changed_by": "reviewer"})
    made = await api_keys.create(api.plane.engine, SETUP, principal="second")
    api.tokens["second, by reviewer"] = made.secret
    async with writing(api.plane.engine) as session:
        await session.execute(
            text("UPDATE api_keys SET issuers = '{reviewer}' WHERE key_id = :key"), {"key": made.key_id}
        )
    async with api.client("second, by reviewer") as puppet:
        for client in (as_("reviewer"), puppet):
            for arguments in (None, GIVEN):
                response = await decide(client, approval, arguments=arguments)
                assert response.status_code == 403, response.text
                assert "reviewer changed the arguments of this call" in response.json()["detail"]
            inbox = await client.get("/api/v1/approvals", params={"status": "pending", "assigned_to": "me"})
            assert approval.approval_id not in [item["approval_id"] for item in inbox.json()["items"]]
    assert await signals(handle) == []
    assert (await decide(as_("second"), approval)).json()["command"]["kind"] == "approval.decide"
    (signal,) = await signals(handle)
    assert judge(Terms.model_validate(approval.terms), signal.input.payloads[0].data).decision.principal == "second"


async def test_r22_the_issuer_of_the_key_used_for_a_change_may_not_decide_either(api: Api, as_):
    made = await api_keys.create(api.plane.engine, SETUP, principal="second")
    api.tokens["second, of reviewer"] = made.secret
    async with writing(api.plane.engine) as session:
        await session.execute(
            text("UPDATE api_keys SET issuers = '{reviewer}' WHERE key_id = :key"), {"key": made.key_id}
        )
    # The decision carries it to workers that support it.
    for takes, carried in ((["arguments", "issuers"], ("reviewer",)), (["arguments"], ())):
        _, small, handle = await waiting(api, terms={"takes": takes})
        async with api.client("second, of reviewer") as puppet:
            assert (await decide(puppet, small, arguments=GIVEN)).status_code == 202
        (signal,) = await signals(handle)
        assert judge(Terms.model_validate(small.terms), signal.input.payloads[0].data).decision.issuers == carried

    _, large, handle = await waiting(api, terms={**TWO, "changed_by": "second", "changed_issuers": ["reviewer"]})
    response = await decide(as_("reviewer"), large)
    assert response.status_code == 403, response.text
    assert "second changed the arguments of this call with a key that reviewer issued" in response.json()["detail"]
    refused = (await show(as_("reviewer"), large))["who"]["refused"]
    assert {"second", "reviewer"} <= {item["principal"] for item in refused}
    inbox = await as_("reviewer").get("/api/v1/approvals", params={"status": "pending", "assigned_to": "me"})
    assert large.approval_id not in [item["approval_id"] for item in inbox.json()["items"]]
    assert await signals(handle) == []
    assert (await decide(as_("both"), large)).json()["command"]["kind"] == "approval.decide"


async def test_r22_an_unchanged_approval_needs_one_person_even_where_changes_need_two(api: Api, as_):
    _, approval, handle = await waiting(api, terms=TWO)
    assert (await decide(as_("reviewer"), approval)).json()["command"]["kind"] == "approval.decide"
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
    _, approval, handle = await waiting(api, terms=TWO)
    made = {name: await api_keys.create(api.plane.engine, SETUP, principal=name) for name in ("second", "reviewer")}
    api.tokens |= {f"{name}, again": key.secret for name, key in made.items()}
    async with api.client("second, again") as proposer, api.client("reviewer, again") as approver:
        assert (await decide(proposer, approval, arguments=GIVEN)).status_code == 202
        if proposers is None:
            await api_keys.revoke(api.plane.engine, SETUP, made["second"].key_id)
        async with writing(api.plane.engine) as session:
            for name, issuers in (("second", proposers or []), ("reviewer", approvers)):
                await session.execute(
                    text("UPDATE api_keys SET issuers = :issuers WHERE key_id = :key"),
                    {"issuers": issuers, "key": made[name].key_id},
                )
        response = await decide(approver, approval, arguments=GIVEN)
    assert response.status_code == 403, response.text
    assert words in response.json()["detail"]
    assert await signals(handle) == []


async def test_a_rule_says_how_many_people_a_change_needs(api: Api, as_):
    body = {"effect": "require_approval", "changes": "second_person"}
    put = (await as_("admin").put("/api/v1/tools/post_reply/policy", json=body)).json()
    assert put["policy"]["changes"] == Changes.SECOND_PERSON
    rule = (await as_("admin").get("/api/v1/policies/tool:post_reply")).json()
    assert (rule["changes"], rule["version"]) == ("second_person", 1)
    relaxed = await as_("admin").put("/api/v1/tools/post_reply/policy", json=body | {"changes": "one_person"})
    assert relaxed.json()["policy"]["changes"] == "one_person"
    (command, *_) = (await as_("auditor").get("/api/v1/commands?kind=tool.policy")).json()["items"]
    assert command["outcome"]["lifts"] == ["post_reply"], "relaxed, by the only administrator"
