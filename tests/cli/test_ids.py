"""Ids as people type them: a workflow id, a unique beginning or end; if ambiguous, the candidates are listed and nothing is sent."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from agentgrid.cli.exits import ExitCode
from agentgrid.domain.ids import new_id
from tests.api import factories
from tests.api.conftest import Api, api
from tests.cli.conftest import Cli, FakeServer, Reply, problem
from tests.cli.test_govern import Run, admin

__all__ = ["admin", "api"]

RUN = "01a223e9-0981-7545-aec5-557344920c46"
TWIN = "01a223e9-0981-7545-aec5-aaaa44920c46"


def run_row(run_id: str, **over: Any) -> dict[str, Any]:
    at = "2026-01-31T09:00:00Z"
    values = {"run_id": run_id, "workflow_id": run_id, "workflow": "pay", "status": "running"}
    return values | {"started_at": at, "created_at": at} | over


def page(*items: Any) -> Reply:
    return Reply(body={"items": items, "next_cursor": None})


def sent(server: FakeServer) -> list[str]:
    return [urlsplit(seen.path).path.removeprefix("/api/v1") for seen in server.seen if seen.method != "GET"]


@pytest.mark.parametrize("given", [RUN, RUN[-8:], RUN[:30], "01a223e9…44920c46"])
def test_a_run_is_found_by_its_id_or_a_unique_part(cli: Cli, server: FakeServer, given: str) -> None:
    server.on("GET /runs", *([page()] if "…" not in given else []), page(run_row(RUN), run_row(new_id())))
    server.on(f"POST /runs/{RUN}/cancel", problem(409, "conflict"))
    cli("run", "cancel", given)
    assert sent(server) == [f"/runs/{RUN}/cancel"]
    assert len(server.seen) == 1 or given != RUN, "a full id is not looked up"


def test_a_run_is_found_by_its_workflow_id_before_anything_else(cli: Cli, server: FakeServer) -> None:
    server.on("GET /runs", page(run_row(RUN, workflow_id="order-1")))
    server.on(f"POST /runs/{RUN}/signal", problem(409, "conflict"))
    cli("run", "signal", "order-1", "hold")
    assert sent(server) == [f"/runs/{RUN}/signal"]
    (query,) = [parse_qs(urlsplit(seen.path).query) for seen in server.seen if seen.method == "GET"]
    assert query["workflow_id"] == ["order-1"]


def test_an_ambiguous_id_lists_the_candidates_and_sends_nothing(cli: Cli, server: FakeServer) -> None:
    server.on("GET /runs", page(), page(run_row(RUN), run_row(TWIN, workflow_id="order-2\x1b[31m")))
    refused = cli("run", "terminate", "44920c46", "--yes")
    assert refused.code == ExitCode.USAGE
    assert "is ambiguous: it matches 2 runs" in refused.err
    for words in (RUN, TWIN, "workflow id order-2\\x1b[31m", "pay  running"):
        assert words in refused.err
    assert sent(server) == []


def test_search_matches_in_other_fields_are_not_ids(cli: Cli, server: FakeServer) -> None:
    server.on("GET /runs", page(), page(run_row(RUN)))
    assert cli("run", "cancel", "pay").code == ExitCode.NOT_FOUND
    assert sent(server) == ["/runs/pay/cancel"]


def test_an_approval_is_found_by_its_end(cli: Cli, server: FakeServer) -> None:
    at = "2026-01-31T09:00:00Z"
    approval = {"approval_id": RUN, "title": "Pay", "status": "pending", "opened_at": at}
    server.on("GET /approvals", page(approval, approval | {"approval_id": new_id()}))
    cli("approval", "show", RUN[-8:])
    assert server.seen[-1].path == f"/api/v1/approvals/{RUN}"


async def test_a_real_run_is_found_by_each_of_its_ids(api: Api, admin: Run) -> None:
    first = factories.run(workflow_id="order-4711")
    second = factories.run(workflow_id="order-4711-again")
    await factories.insert(api.plane.engine, first, second)
    for given in (first.run_id, "order-4711", first.run_id[-12:], first.run_id[-8:]):
        shown = await admin("run", "get", given)
        assert first.run_id in shown.out
        assert "order-4711" in shown.out
    for given in ("order-4711-again", "again", "order…again"):
        assert second.run_id in (await admin("run", "get", given)).out
    several = await admin("run", "get", "order-", code=ExitCode.USAGE)
    assert first.run_id in several.err
    assert second.run_id in several.err
    await admin("run", "get", "order-0000", code=ExitCode.NOT_FOUND)
    listed = await admin("run", "list", "-q", "order-4711")
    assert "order-4711-again" in listed.out
