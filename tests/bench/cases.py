"""Requests for every list of the API with every filter: unselective, selective, matching nothing and combined; first pages and deep ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import asyncpg
from starlette.requests import Request

from agentgrid.api.paging import encode
from tests.bench.dataset import DAYS

V1 = "/api/v1"
Params = Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request."""

    route: str
    name: str
    target: str
    """The path and query."""
    who: str = "operator"


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Identifiers that occur in the data."""

    run_id: str
    long_run_id: str
    parent: str
    reference: str
    approval_id: str
    command_id: str


async def samples(connection: asyncpg.Connection) -> Samples:
    """Pick identifiers from the data; the run and its reference come from the middle."""
    middle = await connection.fetchrow(
        "SELECT run_id, reference FROM runs WHERE reference IS NOT NULL AND trigger = 'api' AND status = 'completed' "
        "ORDER BY created_at OFFSET (SELECT count(*) / 4 FROM runs) LIMIT 1"
    )
    assert middle is not None
    return Samples(
        run_id=middle["run_id"],
        reference=middle["reference"],
        long_run_id=await connection.fetchval(
            "SELECT run_id FROM runs WHERE workflow = 'workflow-0' ORDER BY created_at DESC LIMIT 1"
        ),
        parent=await connection.fetchval("SELECT parent_run_id FROM runs WHERE parent_run_id IS NOT NULL LIMIT 1"),
        approval_id=await connection.fetchval(
            "SELECT approval_id FROM approvals WHERE status = 'pending' ORDER BY opened_at DESC LIMIT 1"
        ),
        command_id=await connection.fetchval("SELECT command_id FROM commands ORDER BY created_at DESC LIMIT 1"),
    )


def _runs(sample: Samples, now: datetime) -> Iterator[dict[str, Any]]:
    yield {}
    yield {"limit": "200"}
    for status in ("completed", "failed", "running", "waiting", "queued", "terminated"):
        yield {"status": status}
    yield {"status": ["failed", "timed_out"]}
    yield {"status": ["running", "waiting", "paused", "queued", "cancelling"]}
    for waiting_on in ("approval", "worker", "policy"):
        yield {"waiting_on": waiting_on}
    for workflow in ("workflow-0", "workflow-11", "nothing"):
        yield {"workflow": workflow}
    for agent in ("agent-1", "auditor", "nothing"):
        yield {"agent": agent}
    for tool in ("fetch_ticket", "tool-3", "purge_account", "nothing"):
        yield {"tool": tool}
    for tag in ("env:prod", "team:3", "vip", "legacy", "nothing"):
        yield {"tag": tag}
    yield {"tag": ["env:staging", "team:3"]}
    for reference in (sample.reference, "nothing"):
        yield {"reference": reference}
    for initiator in ("person-0", "nightly", "person-39", "nobody"):
        yield {"initiator": initiator}
    for trigger in ("api", "child", "external", "schedule"):
        yield {"trigger": trigger}
    for parent in (sample.parent, "nothing"):
        yield {"parent": parent}
    for stuck in ("true", "false"):
        yield {"stuck": stuck}
    for days in (1, 20):
        yield {"started_after": (now - timedelta(days=days)).isoformat()}
        yield {"started_before": (now - timedelta(days=days)).isoformat()}
        yield {"closed_after": (now - timedelta(days=days)).isoformat()}
    yield {"started_before": (now - timedelta(days=2 * DAYS)).isoformat()}
    yield {"closed_after": (now + timedelta(days=1)).isoformat()}
    for text in (
        sample.run_id,
        sample.run_id[-8:],
        sample.reference,
        sample.reference[4:],
        "workflow-1",
        "case 1",
        "the call",
        "former system",
        "orders/",
        "e",
    ):
        yield {"q": text}
    for text in ("ticket T-12", "send a reply", "nothing of the kind", "zq", "0123456789abcdef", "%"):
        yield {"q": text}
    for states in ("approval", "stuck", ["approval", "failed"], ["sleeping", "retrying", "waiting", "stuck"]):
        yield {"state": states}
    yield {"ids": [sample.run_id, sample.long_run_id, "nothing"]}
    yield {"workflow": ["workflow-3", "workflow-11"]}
    for days in (1, 20, 2 * DAYS):
        yield {"closed_before": (now - timedelta(days=days)).isoformat()}
    for seconds in ("60", "7000", "100000"):
        yield {"duration_over": seconds}
    for sort in ("updated", "next_at"):
        for more in ({}, {"status": "failed"}, {"workflow": "workflow-11"}):
            yield {"sort": sort, **more}
    # Combined. The second half match nothing, although each filter alone (except `nothing`) matches many runs.
    yield {"workflow": "workflow-0", "status": "failed"}
    yield {"tag": "env:staging", "tool": "post_reply", "status": "failed"}
    yield {"status": "failed", "closed_after": (now - timedelta(days=1)).isoformat()}
    yield {"q": "former system", "workflow": "workflow-11"}
    yield {"status": "completed", "tag": "legacy", "initiator": "person-0"}
    yield {"agent": "agent-1", "tag": "legacy"}
    yield {"workflow": "workflow-0", "initiator": "nightly"}
    yield {"tag": ["team:3", "team:4"]}
    yield {"tag": "legacy", "status": "running"}
    yield {"tag": "legacy", "started_after": (now - timedelta(days=5)).isoformat()}
    yield {"trigger": "external", "initiator": "person-0"}
    yield {"agent": "agent-1", "workflow": "nothing"}
    yield {"q": "former system", "started_after": (now - timedelta(days=5)).isoformat()}
    yield {"q": "nothing of the kind", "workflow": "workflow-0"}
    yield {"workflow": "workflow-0", "version": "nothing"}
    yield {"task_queue": "nothing", "state": "stuck"}


def _facets(now: datetime) -> Iterator[dict[str, Any]]:
    yield {}
    yield {"state": "failed"}
    yield {"workflow": "workflow-0"}
    yield {"agent": "auditor"}
    yield {"tag": "legacy", "initiator": "person-0"}
    yield {"q": "former system"}
    yield {"started_after": (now - timedelta(days=1)).isoformat()}


def _approvals(sample: Samples, now: datetime) -> Iterator[dict[str, Any]]:
    yield {}
    for status in ("pending", "approved", "rejected", "expired", "cancelled"):
        yield {"status": status}
    yield {"status": ["rejected", "expired"]}
    yield {"assigned_to": "me"}
    yield {"decidable_by": "me"}
    yield {"decidable_by": "me", "workflow": "workflow-11"}
    yield {"assigned_to": "me", "status": "pending"}
    for run in (sample.long_run_id, "nothing"):
        yield {"run": run}
    for tool in ("post_reply", "purge_account", "nothing"):
        yield {"tool": tool}
    for agent in ("agent-1", "auditor", "nothing"):
        yield {"agent": agent}
    for workflow in ("workflow-0", "workflow-11", "nothing"):
        yield {"workflow": workflow}
    yield {"decided_by": "reviewer"}
    yield {"decided_by": "nobody"}
    yield {"approver": "support-leads", "status": "pending"}
    yield {"shape": "shape-3"}
    yield {"opened_after": (now - timedelta(days=1)).isoformat()}
    for text in ("purge", "ticket T-12", "nothing of the kind"):
        yield {"q": text}
        yield {"q": text, "status": "pending"}
    yield {"agent": "auditor", "status": "pending"}
    yield {"workflow": "workflow-11", "status": "pending", "assigned_to": "me"}
    yield {"tool": "purge_account", "status": "expired"}
    yield {"workflow": "nothing", "tool": "purge_account"}


def _commands(sample: Samples, now: datetime) -> Iterator[dict[str, Any]]:
    yield {}
    for principal in ("person-0", "person-39", "reviewer", "nobody"):
        yield {"principal": principal}
    for run in (sample.run_id, "nothing"):
        yield {"run": run}
    for approval in (sample.approval_id, "nothing"):
        yield {"approval": approval}
    for kind in ("run.start", "approval.decide", "run.terminate", "run.pause"):
        yield {"kind": kind}
    yield {"kind": ["run.terminate", "run.cancel"]}
    for status in ("applied", "superseded", "refused", "failed", "pending"):
        yield {"status": status}
    yield {"since": (now - timedelta(days=1)).isoformat()}
    yield {"until": (now - timedelta(days=20)).isoformat()}
    yield {"since": (now - timedelta(days=20)).isoformat(), "until": (now - timedelta(days=19)).isoformat()}
    yield {"kind": "approval.decide", "status": "refused"}
    yield {"kind": "run.start", "status": "refused"}
    yield {"principal": "person-0", "kind": "approval.decide"}
    yield {"principal": "person-0", "status": "refused", "kind": "run.terminate"}


def cases(sample: Samples) -> list[Case]:
    """All cases, except those of `urgent` and `overview`."""
    now = datetime.now(UTC)
    deep_at = (now - timedelta(days=DAYS / 2)).isoformat()
    all_cases: list[Case] = []
    paged = (
        (f"{V1}/runs", "operator", _runs),
        (f"{V1}/approvals", "reviewer", _approvals),
        (f"{V1}/commands", "operator", _commands),
        (f"{V1}/commands", "reviewer", _commands),
    )
    for path, who, make_queries in paged:
        for query in make_queries(sample, now):
            params = _pairs(query)
            all_cases.append(_case(path, who, params))
            all_cases.append(_case(path, who, params, cursor=(deep_at, "~")))
    all_cases += [
        _case(f"{V1}/runs/counts", "operator", _pairs(query))
        for query in _runs(sample, now)
        if not {"limit", "sort"} & set(query)
    ]
    all_cases.append(_case(f"{V1}/approvals/counts", "reviewer", ()))
    long = f"{V1}/runs/{sample.long_run_id}"
    for tail, query in (
        ("steps", {}),
        ("steps", {"status": "waiting"}),
        ("steps", {"kind": "agent"}),
        ("steps", {"payloads": "false", "limit": "200"}),
        ("jobs", {}),
        ("jobs", {"limit": "200"}),
        ("jobs", {"activity": "1500"}),
        ("logs", {}),
        ("logs", {"q": "line 1999"}),
        ("logs", {"level": "error"}),
        ("logs", {"tail": "200"}),
        ("logs", {"min_level": "warning"}),
        ("timeline", {}),
        ("timeline", {"limit": "1000"}),
        ("logs", {"q": "nothing of the kind"}),
        ("approvals", {}),
    ):
        all_cases.append(_case(f"{long}/{tail}", "operator", _pairs(query), route=f"{V1}/runs/{{run_id}}/{tail}"))
    all_cases.append(
        _case(f"{long}/jobs", "operator", (), cursor=(now.isoformat(), ""), route=f"{V1}/runs/{{run_id}}/jobs")
    )
    all_cases.append(
        _case(f"{long}/steps", "operator", (), cursor=(now.isoformat(), 9_000, ""), route=f"{V1}/runs/{{run_id}}/steps")
    )
    for path in ("workflows", "tools"):
        all_cases += [
            _case(f"{V1}/{path}", "operator", _pairs(query))
            for query in ({}, {"q": "7"}, {"tag": "bench"}, {"q": "nothing"})
        ]
    all_cases += [_case(f"{V1}/agents", "operator", _pairs(query)) for query in ({}, {"q": "7"}, {"q": "nothing"})]
    month = {"from": (now - timedelta(days=DAYS)).isoformat(), "bucket": "day"}
    for path, names in (("agents", ("agent-1", "auditor")), ("workflows", ("workflow-0", "workflow-11"))):
        for name in names:
            route = f"{V1}/{path}/{{name}}/usage"
            all_cases += [
                _case(f"{V1}/{path}/{name}/usage", "operator", _pairs(query), route=route) for query in ({}, month)
            ]
    for path in ("policies", "principals", "keys", "signing-keys", "task-queues", "workers"):
        all_cases.append(_case(f"{V1}/{path}", "operator", ()))
    for path, identifier in (
        ("runs", sample.long_run_id),
        ("runs", sample.run_id),
        ("approvals", sample.approval_id),
        ("commands", sample.command_id),
        ("workflows", "workflow-0"),
        ("agents", "agent-1"),
    ):
        all_cases.append(_case(f"{V1}/{path}/{identifier}", "operator", (), route=f"{V1}/{path}/{{id}}"))
    return all_cases


def urgent() -> list[Case]:
    """Approvals sorted by urgency. Their cursors contain the time of the request."""
    queries: tuple[dict[str, Any], ...] = ({}, {"assigned_to": "me"}, {"workflow": "nothing"})
    return [_case(f"{V1}/approvals", "reviewer", _pairs({"sort": "urgency", **query})) for query in queries]


def overview() -> list[Case]:
    """The overview, facets of runs, and search."""
    facets = [_case(f"{V1}/runs/facets", "operator", _pairs(query)) for query in _facets(datetime.now(UTC))]
    overviews = [
        _case(f"{V1}/overview", who, params)
        for who in ("operator", "reviewer")
        for params in ((), (("lists", "true"),))
    ]
    searches = [_case(f"{V1}/search", "operator", (("q", q),)) for q in ("workflow-1", "nothing of the kind")]
    return overviews + facets + searches


def _pairs(query: dict[str, Any]) -> Params:
    return [(name, item) for name, value in query.items() for item in ([value] if isinstance(value, str) else value)]


def _case(
    path: str, who: str, params: Params, *, cursor: Sequence[str | int] | None = None, route: str | None = None
) -> Case:
    label = " ".join(f"{name}={value}" for name, value in params) or "no filter"
    if cursor is not None:
        # A cursor needs no existing row: the query looks for what comes after it either way.
        request = Request({"type": "http", "path": path, "query_string": urlencode(params).encode(), "headers": []})
        params = [*params, ("cursor", encode(request, *cursor))]
        label += ", deep"
    return Case(
        route=(route or path).removeprefix(V1), name=f"{label} ({who})", target=f"{path}?{urlencode(params)}", who=who
    )
