"""Long inputs and signals: transported whole, or refused with their size; a run never stays queued because of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from agentgrid.protocol import MAX_JSON_BYTES
from tests.api.conftest import Api
from tests.api.test_bad_input import is_problem
from tests.api.test_run_verbs import events, open_run
from tests.api.test_start import catalog

JSON = {"content-type": "application/json"}
GROWING = "[" + ",".join(["1e9"] * 480_000) + "]"
"""Under the limit as it is sent; as Python writes the numbers, and so on their way to Temporal, over six million bytes."""


def start_of(value: str) -> bytes:
    return f'{{"input": {value}}}'.encode()


def signal_of(value: str) -> bytes:
    return f'{{"name": "note", "arguments": [{value}]}}'.encode()


def text(size: int) -> str:
    return json.dumps("x" * (size - 2))


@pytest.mark.parametrize("size", [300_000, MAX_JSON_BYTES])
async def test_a_value_within_the_limits_is_transported_whole(api: Api, as_: Any, size: int) -> None:
    path = await catalog(api, f"long-{size}", {})
    response = await as_("operator").post(path, content=start_of(text(size)), headers=JSON)
    assert response.status_code == 201, response.text[:300]
    handle = api.plane.temporal.get_workflow_handle(response.json()["run_id"])
    (started,) = await events(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
    (payload,) = started.workflow_execution_started_event_attributes.input.payloads
    assert len(payload.data) == size

    run, handle = await open_run(api)
    response = await as_("operator").post(
        f"/api/v1/runs/{run.run_id}/signal", content=signal_of(text(size)), headers=JSON
    )
    assert response.status_code == 202, response.text[:300]
    (signalled,) = await events(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
    (payload,) = signalled.workflow_execution_signaled_event_attributes.input.payloads
    assert len(payload.data) == size


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (text(MAX_JSON_BYTES + 1), ("the input has 2,093,057 bytes", "the signal has 2,093,057 bytes")),
        (GROWING, ("the input has 6,240,001 bytes", "the signal has 6,240,001 bytes")),
        (text(2_200_000), ("the body has 2,2",) * 2),
        (text(5_000_000), ("the body has 5,0",) * 2),
    ],
    ids=["by a byte", "as numbers", "2.2 MB", "5 MB"],
)
async def test_a_value_over_the_limits_is_refused_with_its_size_and_starts_nothing(
    api: Api, as_: Any, value: str, expected: tuple[str, str]
) -> None:
    path = await catalog(api, f"too-long-{len(value)}", {})
    run, handle = await open_run(api)
    bodies = ((path, start_of(value)), (f"/api/v1/runs/{run.run_id}/signal", signal_of(value)))
    for (where, body), words in zip(bodies, expected, strict=True):
        response = await as_("operator").post(where, content=body, headers=JSON)
        is_problem(response, 413, "payload_too_large")
        assert words in response.json()["detail"]
    listed = await as_("operator").get("/api/v1/runs", params={"workflow": path.split("/")[-2]})
    assert listed.json()["items"] == []
    assert await events(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) == []
