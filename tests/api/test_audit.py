"""The audit log: filters and download."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from agentgrid.api import audit_export
from agentgrid.db.tables import Command
from tests.api import factories
from tests.api.conftest import Api
from tests.security.scoped import narrow, sides

__all__ = ["narrow", "sides"]

COMMANDS, EXPORT = "/api/v1/commands", "/api/v1/commands/export"


def command(number: int, **over: object) -> Command:
    values = {
        "command_id": f"audited-{number}",
        "kind": "tool.disable",
        "status": "applied",
        "principal": "operator",
        "created_at": datetime.now(UTC) - timedelta(minutes=number),
    }
    return Command(**{**values, **over})


@pytest.mark.parametrize(
    ("over", "params"),
    [
        ({"target": "issue_refund"}, {"target": "issue_refund"}),
        ({"address": "203.0.113.9"}, {"address": "203.0.113.9"}),
        ({"reason": "Quarter 100%_end"}, {"q": "R 100%_E"}),
        ({"principal": "mira@example.com"}, {"q": "mira@"}),
    ],
    ids=["target", "address", "words in the reason", "words in the principal"],
)
async def test_each_filter_of_commands_returns_exactly_the_matches(api: Api, as_, over, params):
    number = 1000 + abs(hash(str(params))) % 1000
    await factories.insert(api.plane.engine, command(number, **over), command(number + 5000))
    items = (await as_("auditor").get(COMMANDS, params=params)).json()["items"]
    assert [item["command_id"] for item in items] == [f"audited-{number}"]
    lines = (await as_("auditor").get(EXPORT, params=params)).text.splitlines()
    assert [json.loads(line) for line in lines] == items
    assert (await as_("viewer").get(COMMANDS, params=params)).json()["items"] == []


async def test_words_are_searched_in_the_last_month_or_the_given_period(api: Api, as_):
    old = command(1, command_id="audited-old", reason="rarest", created_at=datetime.now(UTC) - timedelta(days=60))
    await factories.insert(api.plane.engine, old)
    assert (await as_("auditor").get(COMMANDS, params={"q": "rarest"})).json()["items"] == []
    since = (datetime.now(UTC) - timedelta(days=61)).isoformat()
    assert len((await as_("auditor").get(COMMANDS, params={"q": "rarest", "since": since})).json()["items"]) == 1


async def test_the_download_spans_pages_and_says_if_it_is_incomplete(api: Api, as_, monkeypatch):
    rows = [command(number, command_id=f"paged-{number}", target="paged") for number in range(7)]
    await factories.insert(api.plane.engine, *rows)
    monkeypatch.setattr(audit_export, "PAGE", 3)
    response = await as_("auditor").get(EXPORT, params={"target": "paged"})
    assert response.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line)["command_id"] for line in response.text.splitlines()] == [f"paged-{n}" for n in range(7)]
    monkeypatch.setattr(audit_export, "MAX_COMMANDS", 6)
    lines = [
        json.loads(line) for line in (await as_("auditor").get(EXPORT, params={"target": "paged"})).text.splitlines()
    ]
    assert (len(lines), lines[-1]) == (7, {"complete": False})
    cut = await as_("auditor").get(EXPORT, params={"target": "paged", "format": "csv"})
    assert cut.text.splitlines()[-1] == "incomplete"


async def test_no_csv_cell_is_a_formula(api: Api, as_):
    hostile = ('=HYPERLINK("http://x")', "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1")
    rows = [command(n, command_id=f"cell-{n}", target="cells", reason=reason) for n, reason in enumerate(hostile)]
    await factories.insert(api.plane.engine, *rows)
    response = await as_("auditor").get(EXPORT, params={"target": "cells", "format": "csv"})
    found = list(csv.DictReader(io.StringIO(response.text, newline="")))
    assert [row["reason"] for row in found] == ["'" + reason for reason in hostile]
    assert "attachment" in response.headers["content-disposition"]


async def test_the_download_is_limited_like_the_list_and_recorded_as_a_read(narrow: Api, as_, sides):
    run = sides["out_run"]
    refused = {"code": "conflict", "message": "quotes a payload"}
    await factories.insert(
        narrow.plane.engine,
        command(1, command_id="own", target="whose", principal="viewer"),
        command(2, command_id="others", target="whose"),
        command(3, command_id="hidden", kind="run.cancel", run_id=run.run_id, outcome=refused, address="198.51.100.7"),
    )
    own = await as_("viewer").get(EXPORT, params={"target": "whose"})
    assert [json.loads(line)["command_id"] for line in own.text.splitlines()] == ["own"]
    assert "hidden" not in (await as_("scoped").get(EXPORT)).text
    everything = await as_("auditor").get(EXPORT, params={"address": "198.51.100.7"})
    assert "quotes a payload" in everything.text
    await narrow.app.state.reads.flush()
    read = (await as_("auditor").get("/api/v1/reads", params={"limit": 200})).json()["items"]
    assert ("auditor", f"GET {EXPORT}") in {(item["principal"], item["route"]) for item in read}
    assert ("viewer", f"GET {EXPORT}") not in {(item["principal"], item["route"]) for item in read}
    assert (await as_(None).get(EXPORT)).status_code == 401


@pytest.mark.parametrize("params", [{"format": "xlsx"}, {"limit": "5"}])
async def test_an_unknown_download_format_is_refused(as_, params):
    assert (await as_("auditor").get(EXPORT, params=params)).status_code == 422
