"""F17: the overview, counts, facets and lists of runs agree, for any data and any filter."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from agentgrid.db import run_counts, run_facets
from agentgrid.db.run_filter import RunFilter
from agentgrid.db.session import reading
from agentgrid.domain.run_states import RunState
from agentgrid.domain.runs import CLOSED, OPEN, RunStatus, WaitingOn
from tests.api import factories
from tests.api.conftest import Api
from tests.api.test_lists import pages
from tests.security.scoped import narrow, sides

__all__ = ["narrow", "sides"]

RUNS, FACETS, COUNTS = "/api/v1/runs", "/api/v1/runs/facets", "/api/v1/runs/counts"

WAITS = st.sampled_from([None, *WaitingOn])
ROW = st.fixed_dictionaries(
    {
        "status": st.sampled_from(list(RunStatus)),
        "waiting_on": WAITS,
        "workflow": st.sampled_from(["f_a", "f_b", "f_c"]),
        "initiator": st.sampled_from(["ada", "bob"]),
        "tags": st.lists(st.sampled_from(["t1", "t2", "t3"]), max_size=3),
        "tools": st.lists(st.sampled_from(["pay", "look"]), max_size=2, unique=True),
        "agents": st.lists(st.sampled_from(["triager", "clerk"]), max_size=3),
        "fails": st.booleans(),
        "minutes": st.integers(0, 30 * 60),
    }
)
FILTER = st.fixed_dictionaries(
    {},
    optional={
        "state": st.lists(st.sampled_from(list(RunState)), min_size=1, max_size=3, unique=True),
        "status": st.lists(st.sampled_from(list(RunStatus)), min_size=1, max_size=2, unique=True),
        "waiting_on": st.lists(st.sampled_from(list(WaitingOn)), min_size=1, max_size=2, unique=True),
        "workflow": st.lists(st.sampled_from(["f_a", "f_b", "none"]), min_size=1, max_size=2, unique=True),
        "initiator": st.sampled_from(["ada", "bob"]),
        "tag": st.lists(st.sampled_from(["t1", "t2"]), min_size=1, max_size=2, unique=True),
        "agent": st.sampled_from(["triager", "nobody"]),
        "tool": st.sampled_from(["pay", "none"]),
        "duration_over": st.sampled_from([0, 3600]),
        "q": st.just("f_"),
    },
)


def rows_for(rows, signer):
    """Rows as written by the projector: only a waiting run has `waiting_on`, and only an open run's task fails."""
    now = datetime.now(UTC)
    for row in rows:
        status, ago = row["status"], timedelta(minutes=row["minutes"], seconds=30)
        run = factories.run(
            status=status,
            waiting_on=row["waiting_on"] if status == RunStatus.WAITING else None,
            workflow=row["workflow"],
            initiator=row["initiator"],
            tags=row["tags"],
            tools=row["tools"],
            created_at=now - ago - timedelta(hours=1),
            closed_at=now - ago if status in CLOSED else None,
        )
        problem = "it fails" if row["fails"] and status in OPEN else None
        yield run
        yield factories.execution(run, status="running" if status in OPEN else "completed", live_problem=problem)
        if run.waiting_on == WaitingOn.APPROVAL:
            yield factories.under(signer, factories.approval(run))
        for number, agent in enumerate(row["agents"]):
            yield factories.step(run, 5 + number, kind="agent", name=agent)


async def everything(client, **params):
    return [run for page in await pages(client, RUNS, limit=200, **params) for run in page]


async def json_of(client, path, **params):
    response = await client.get(path, params=params)
    assert response.status_code == 200, response.text
    return response.json()


async def workflows_agree(client, day):
    """The catalog's figures for each workflow match the list of runs."""
    runs = await everything(client)
    for name in ("f_a", "in_f_b", "f_c"):
        own_runs = [run for run in runs if run["workflow"] == name]
        ended = Counter(
            run["status"] for run in own_runs if run["closed_at"] and datetime.fromisoformat(run["closed_at"]) > day
        )
        recent = (await json_of(client, f"/api/v1/workflows/{name}"))["lately"]
        assert recent["open"] == sum(run["status"] in OPEN for run in own_runs), name
        assert recent["completed"] == ended["completed"], name
        assert recent["failed"] == ended["failed"] + ended["timed_out"] + ended["terminated"], name


async def approvals_agree(client):
    """The inbox, its counts and the overview agree."""
    overview = await json_of(client, "/api/v1/overview")
    counts = await json_of(client, "/api/v1/approvals/counts")
    pending = await json_of(client, "/api/v1/approvals", status="pending", limit=200)
    mine = await json_of(client, "/api/v1/approvals", status="pending", decidable_by="me", limit=200)
    assert counts["all"]["count"] == len(pending["items"])
    assert counts["mine"]["count"] == overview["approvals_for_me"]["count"] == len(mine["items"])
    assert counts["all"]["count"] == overview["approvals_pending"]["count"]


@pytest.mark.parametrize("who", ["viewer", "scoped"])
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=12), filters=FILTER)
async def test_overview_counts_facets_and_lists_agree(narrow: Api, as_, who, rows, filters):
    async with narrow.plane.engine.begin() as connection:
        for table in ("approvals", "executions", "runs"):
            await connection.execute(text(f"DELETE FROM {table}"))
        for name in ("f_a", "in_f_b", "f_c"):
            await connection.execute(text("DELETE FROM workflows WHERE name = :name"), {"name": name})
            await connection.execute(text("DELETE FROM workflow_versions WHERE name = :name"), {"name": name})
    for name in ("f_a", "in_f_b", "f_c"):
        await factories.insert(narrow.plane.engine, *factories.workflow(name))
    for row in rows:
        row["workflow"] = row["workflow"].replace("f_b", "in_f_b")
    await factories.insert(narrow.plane.engine, *rows_for(rows, narrow.plane.signer))
    filters = {
        **filters,
        **(
            {"workflow": [name.replace("f_b", "in_f_b") for name in filters["workflow"]]}
            if "workflow" in filters
            else {}
        ),
    }
    client = as_(who)

    listed = await everything(client, **filters)
    if who == "scoped":
        assert {run["workflow"] for run in await everything(client)} <= {"in_f_b"}
    counts = await json_of(client, COUNTS, **filters)
    assert {status: n for status, n in counts["by_status"].items() if n} == Counter(run["status"] for run in listed)

    facets = await json_of(client, FACETS, **filters)
    own = {"state": ("state", "status", "waiting_on", "stuck"), "workflow": ("workflow", "version")}
    for name in ("state", "workflow", "initiator", "agent", "tool", "tag"):
        others = {key: value for key, value in filters.items() if key not in own.get(name, (name,))}
        assert facets[name]["complete"]
        for item in facets[name]["items"]:
            matches = await everything(client, **others, **{name: item["value"]})
            assert len(matches) == item["count"], (name, item, others)
    states = {item["value"] for item in facets["state"]["items"]}
    assert states == set(RunState)
    for name, column in (("workflow", "workflow"), ("initiator", "initiator")):
        others = {key: value for key, value in filters.items() if key not in own.get(name, (name,))}
        seen = Counter(run[column] for run in await everything(client, **others))
        assert {item["value"]: item["count"] for item in facets[name]["items"]} == seen

    overview = await json_of(client, "/api/v1/overview")
    unfiltered = {item["value"]: item["count"] for item in (await json_of(client, FACETS))["state"]["items"]}
    for figure, state in (
        ("waiting_for_approval", "approval"),
        ("retrying", "retrying"),
        ("stuck", "stuck"),
        *((name, name) for name in ("running", "queued", "paused", "cancelling")),
    ):
        assert overview[figure]["count"] == unfiltered[state], figure
    for name, figure in overview.items():
        if isinstance(figure, dict) and "/runs?" in figure.get("href", ""):
            query = parse_qs(figure["href"].partition("?")[2])
            assert len(await everything(client, **query)) == figure["count"], name
    recent = [run for run in await everything(client) if run["closed_at"] and run["status"] == "completed"]
    day = datetime.now(UTC) - timedelta(days=1)
    recent = [run for run in recent if datetime.fromisoformat(run["closed_at"]) > day]
    assert overview["completed_24h"]["count"] == len(recent) == sum(hour["completed"] for hour in overview["hours"])
    await workflows_agree(client, day)
    for reader in (client, as_("reviewer")):
        await approvals_agree(reader)


async def test_facets_are_bounded_and_say_so(api: Api, as_, monkeypatch):
    rows = [factories.run(workflow=f"many_{number}", tags=["many"], status="failed") for number in range(6)]
    await factories.insert(api.plane.engine, *rows)
    monkeypatch.setattr(run_facets, "MOST_VALUES", 4)
    result = await json_of(as_("viewer"), FACETS, tag="many")
    assert (len(result["workflow"]["items"]), result["workflow"]["more"], result["workflow"]["complete"]) == (
        4,
        2,
        True,
    )
    monkeypatch.setattr(run_facets, "MOST", 5)
    monkeypatch.setattr(run_facets, "MOST_CALLED", 5)
    monkeypatch.setattr(run_counts, "MOST", 5)
    for params in ({"tag": "many"}, {}):
        result = await json_of(as_("viewer"), FACETS, **params)
        assert not result["initiator"]["complete"]
        assert not result["agent"]["complete"]
        assert not result["state"]["complete"], params
        assert {item["value"]: item["count"] for item in result["state"]["items"]}["failed"] == 5


async def test_facets_are_read_by_index(api: Api):
    """Without an index, a query without a filter could read all runs."""
    async with reading(api.plane.engine) as session:
        facets = await run_facets.of(session, wanted=RunFilter(), scope=frozenset({"*"}))
        assert facets.state.complete


async def test_ids_return_exactly_these_runs_within_the_scope(narrow: Api, as_, sides):
    ids = [sides["in_run"].run_id, sides["out_run"].run_id, "nothing"]
    assert {run["run_id"] for run in await everything(as_("operator"), ids=ids)} == set(ids[:2])
    assert {run["run_id"] for run in await everything(as_("scoped"), ids=ids)} == set(ids[:1])
    assert (await json_of(as_("scoped"), COUNTS, ids=ids))["total"] == 1
    too_many = await as_("operator").get(RUNS, params={"ids": [str(number) for number in range(201)]})
    assert too_many.status_code == 422
    most = await as_("operator").get(RUNS, params={"ids": [sides["in_run"].run_id + str(n) for n in range(200)]})
    assert most.json()["items"] == []


async def test_lists_sorted_by_last_change_and_by_next_event(api: Api, as_):
    now = datetime.now(UTC)
    rows = [
        factories.run(
            workflow="sorted",
            updated_at=now - timedelta(minutes=(n * 7) % 10),
            next_at=None if n == 3 else now + timedelta(minutes=(n * 3) % 10),
        )
        for n in range(10)
    ]
    await factories.insert(api.plane.engine, *rows)
    by = {
        "updated": sorted(rows, key=lambda row: (row.updated_at, row.run_id), reverse=True),
        "next_at": sorted((row for row in rows if row.next_at), key=lambda row: (row.next_at, row.run_id)),
    }
    for sort, expected in by.items():
        for params in ({"workflow": "sorted"}, {"q": "sorted"}):
            runs = [run for page in await pages(as_("viewer"), RUNS, sort=sort, limit=3, **params) for run in page]
            assert [run["run_id"] for run in runs] == [row.run_id for row in expected], sort
    first = (await as_("viewer").get(RUNS, params={"sort": "updated", "limit": 1, "workflow": "sorted"})).json()
    other = await as_("viewer").get(
        RUNS, params={"sort": "next_at", "cursor": first["next_cursor"], "workflow": "sorted"}
    )
    assert other.status_code == 422


async def test_rows_have_the_workflows_title(api: Api, as_):
    flow, version = factories.workflow("titled")
    flow.title = "A fine title"
    await factories.insert(
        api.plane.engine, flow, version, factories.run(workflow="titled"), factories.run(workflow="untitled")
    )
    for params in ({"workflow": ["titled", "untitled"]}, {"workflow": "titled"}, {"workflow": "untitled"}):
        for run in await everything(as_("viewer"), **params):
            one = (await as_("viewer").get(f"{RUNS}/{run['run_id']}")).json()
            expected = "A fine title" if run["workflow"] == "titled" else None
            assert run["workflow_title"] == one["workflow_title"] == expected


@pytest.mark.parametrize(
    "params",
    [
        {"version": "v1"},
        {"task_queue": "q"},
        {"closed_after": "2030-01-02T00:00:00Z", "closed_before": "2030-01-01T00:00:00Z"},
    ],
)
async def test_a_filter_that_would_scan_everything_is_refused_and_says_what_to_add(as_, params):
    response = await as_("viewer").get(RUNS, params=params)
    assert response.status_code == 422
    assert response.json()["faults"][0]["pointer"] in (*params, "closed_before")
