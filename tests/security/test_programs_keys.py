"""API keys of programs: a model may read an agent's key, and a service's key is stored on disk (R23)."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from tests.api import factories
from tests.api.conftest import Api, api, as_, listening  # noqa: F401 (fixtures)
from tests.api.test_streams import take


@pytest.mark.parametrize("who", ["agent", "robot"])
async def test_r23_a_programs_key_never_decides_regardless_of_its_roles(
    api: Api,  # noqa: F811
    as_: Callable[[str], httpx.AsyncClient],  # noqa: F811
    who: str,
) -> None:
    """Although the agent is an operator, and the service an administrator."""
    run = factories.run(initiator="operator")
    approval = factories.approval(run, approvers=["role:approver", "agent", "robot"])
    await factories.insert(api.plane.engine, run, factories.execution(run), approval)
    for verdict in ("approved", "rejected"):
        body = {"verdict": verdict, "digest": approval.digest}
        refused = await as_(who).post(f"/api/v1/approvals/{approval.approval_id}/decisions", json=body)
        assert refused.status_code == 403
        assert "only people decide" in refused.text


async def test_r23_an_agents_key_sees_only_the_approvals_of_its_own_runs(
    api: Api,  # noqa: F811
    as_: Callable[[str], httpx.AsyncClient],  # noqa: F811
) -> None:
    own, other = factories.run(initiator="agent"), factories.run(initiator="operator")
    approvals = [factories.approval(run) for run in (own, other)]
    executions = [factories.execution(run) for run in (own, other)]
    await factories.insert(api.plane.engine, own, other, *executions, *approvals)
    mine, theirs = (approval.approval_id for approval in approvals)

    async def ids(path: str, *, who: str = "agent") -> set[str]:
        answer = await as_(who).get(path)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        return {item["approval_id"] for item in page.get("items", page.get("approvals", ()))}

    listed = await ids("/api/v1/approvals?limit=200")
    assert mine in listed
    assert theirs not in listed
    for run, approval, seen in ((own, mine, {mine}), (other, theirs, set())):
        assert await ids(f"/api/v1/approvals?run={run.run_id}") == seen
        assert await ids(f"/api/v1/runs/{run.run_id}/approvals") == seen
        assert await ids(f"/api/v1/runs/{run.run_id}") == seen
        assert (await as_("agent").get(f"/api/v1/approvals/{approval}")).status_code == (200 if seen else 404)
        assert await ids(f"/api/v1/runs/{run.run_id}/approvals", who="operator") == {approval}


async def test_r23_neither_streams_nor_unattributed_acts_show_an_agent_the_approvals_of_others(
    api: Api,  # noqa: F811
) -> None:
    own, other = factories.run(initiator="agent"), factories.run(initiator="operator")
    approvals = {run.run_id: factories.approval(run) for run in (own, other)}
    decisions = [factories.decision(approval, 9, attributed=False) for approval in approvals.values()]
    executions = [factories.execution(run) for run in (own, other)]
    await factories.insert(api.plane.engine, own, other, *executions, *approvals.values(), *decisions)
    everything = [(run.run_id, kind) for run in (other, own) for kind in ("approval", "run")]
    seen = [(other.run_id, "run"), (own.run_id, "approval"), (own.run_id, "run")]
    (before,) = await factories.publish(api.plane.engine, (own.run_id, "run", {}))
    for run_id, kind in everything:
        subject = approvals[run_id].approval_id if kind == "approval" else None
        await factories.publish(api.plane.engine, (run_id, kind, {}), subject=subject)
    async with listening(api.app) as url:
        for who, expected in (("agent", seen), ("viewer", everything)):
            headers = {"Authorization": f"Bearer {api.tokens[who]}"}
            async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
                events = await take(client, "/api/v1/events", last=str(before), at_most=len(expected))
                assert [(json.loads(event.data)["run_id"], event.event) for event in events] == expected, who
                listed = (await client.get("/api/v1/commands/unattributed")).json()["items"]
            theirs = {approvals[run_id].approval_id for run_id, kind in expected if kind == "approval"}
            assert {act["approval_id"] for act in listed} == theirs, who
