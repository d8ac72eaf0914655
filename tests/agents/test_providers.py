"""Agents over the providers' real protocols: usage and cost equal the provider's own record."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from agentgrid.domain.secrets import known
from agentgrid.projector.decode import decode
from agentgrid.settings import Settings
from agentgrid.testing import Call, Fault, Governance, Turn
from agentgrid.testing.provider import Provider
from agentgrid.testing.turns import TokenCounts
from tests.agents.conftest import GRID, final, look
from tests.projector.folding import folded

DONE = {"order_id": "A1", "refunded": False, "summary": "nothing to do"}


async def work(
    client: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch, model: str, workflow: str = "help_desk"
) -> tuple[Any, Any]:
    """The result of a run with this model, and the run's history."""
    for name, value in provider.environment.items():
        monkeypatch.setenv(name, value)
    queue = f"providers-{uuid.uuid4().hex[:8]}"
    plugin = Governance().plugin(GRID, settings=Settings(model=model))
    async with Worker(client, task_queue=queue, plugins=[plugin]):
        handle = await client.start_workflow(
            workflow, "order A1", id=queue, task_queue=queue, run_timeout=timedelta(seconds=60)
        )
        return await handle.result(), await handle.fetch_history()


def used(history: Any) -> dict[str, Any]:
    """The run's sums, as the projector folds them."""
    events = decode(history.events, pydantic_data_converter.payload_converter)
    state, _ = folded(history.run_id, [events])
    return dict(state.usage)


PROTOCOLS = pytest.mark.parametrize(
    "model", ["openai:gpt-4.1-mini", "openai-chat:gpt-4.1-mini", "anthropic:claude-sonnet-4-5"]
)


@PROTOCOLS
async def test_an_agent_works_over_each_protocol_and_its_usage_is_the_providers(
    desk_client: Client, monkeypatch: pytest.MonkeyPatch, model: str
):
    script = [
        Turn(
            text="Looking.", calls=[look("A1"), look("missing")], usage=TokenCounts(input_tokens=900, output_tokens=40)
        ),
        Turn(fault=Fault.rate_limited(retry_after=1)),
        Turn(fault=Fault.server_error()),
        Turn(
            calls=[Call("get_order", {"oops": 1})],
            usage=TokenCounts(input_tokens=1000, output_tokens=20, cached_tokens=800),
        ),
        Turn(calls=final(**DONE).calls, usage=TokenCounts(input_tokens=1200, output_tokens=60)),
    ]
    async with Provider(script) as provider:
        result, history = await work(desk_client, provider, monkeypatch, model)

    assert result["summary"] == "nothing to do"
    assert [request.state for request in provider.requests] == [
        "answered",
        "refused",
        "refused",
        "answered",
        "answered",
    ]
    sums = used(history)
    assert (sums["requests"], sums["unpriced"]) == (3, 0)
    billed = provider.billed
    assert (sums["input_tokens"], sums["output_tokens"], sums["cached_tokens"]) == (
        billed.input_tokens,
        billed.output_tokens,
        billed.cached_tokens,
    )
    assert 0.0005 < sums["usd"] < 0.05


@PROTOCOLS
async def test_a_session_continues_over_each_protocol(desk_client: Client, monkeypatch: pytest.MonkeyPatch, model: str):
    """The provider rejects a conversation in which a call, such as the one of `final_answer`, has no result."""
    script = [final(order_id="A1", refunded=False, summary=f"answer {number}") for number in (1, 2, 3, 4)]
    async with Provider(script) as provider:
        result, _ = await work(desk_client, provider, monkeypatch, model, "conversation")
    assert result == ["answer 1", "answer 2", "answer 3", "answer 4"]
    assert [request.state for request in provider.requests] == ["answered"] * 4


async def test_a_model_without_a_known_price_counts_as_unpriced_not_free(
    desk_client: Client, monkeypatch: pytest.MonkeyPatch
):
    async with Provider([Turn(text="hello")]) as provider:
        _, history = await work(desk_client, provider, monkeypatch, "openai-chat:house-model-7", "chat")
    assert (used(history).get("usd"), used(history)["unpriced"]) == (None, 1)


def test_a_key_repeated_in_a_providers_error_is_redacted_before_truncation() -> None:
    # Imported here, so that other tests of this file don't wait for the provider's library.
    from pydantic_ai.exceptions import ModelHTTPError

    from agentgrid.worker import models

    key = f"sk-{uuid.uuid4().hex}"
    body = {"message": "x" * (models.MAX_MESSAGE - 70) + f" wrong key {key}"}
    known.learn("A_KEY", key)
    try:
        error = models._provider_error(ModelHTTPError(status_code=401, model_name="m", body=body))
    finally:
        known.forget("A_KEY", key)
    assert len(error.message) == models.MAX_MESSAGE
    assert " wrong key <" in error.message
    assert error.non_retryable
