"""Secrets in a worker: missing ones are named at startup and on the call, providers are searched in order, and unused secrets cost nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import structlog
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from agentgrid.domain.secrets import known
from agentgrid.errors import SettingsError
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from agentgrid.testing import Governance, secrets
from agentgrid.worker.secrets import guard_logs, safe_error, unguard_logs
from tests.worker import keyed_by_secrets

GRID = Grid("keyed", keyed_by_secrets)


class Vault:
    def __init__(self, value: str | None) -> None:
        self.value = value

    def where(self, name: str) -> str:
        return f"vault entry {name}"

    async def get(self, name: str) -> str | None:
        return self.value


async def result(client: Client, queue: str, grid: Grid = GRID, **settings: Any) -> str:
    """What the workflow returns on its own worker."""
    plugin = Governance().plugin(grid, settings=Settings(**settings))
    async with Worker(client, task_queue=queue, plugins=[plugin]):
        return str(await client.execute_workflow("wants_a_key", id=f"wants-{queue}", task_queue=queue))


async def test_a_missing_secret_is_logged_at_the_start_and_fails_the_call_once(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANTED_KEY", raising=False)
    with structlog.testing.capture_logs() as entries, pytest.raises(WorkflowFailureError) as caught:
        await result(client, queue)
    (entry,) = [entry for entry in entries if entry["event"] == "secrets_missing"]
    assert entry["names"] == ["WANTED_KEY"]
    failure = caught.value.cause.__cause__
    assert isinstance(failure, ApplicationError)
    assert (failure.type, failure.non_retryable) == ("SecretMissing", True)
    assert failure.message == "the secret WANTED_KEY is missing; looked for the environment variable WANTED_KEY"


async def test_a_worker_that_requires_its_secrets_refuses_to_start(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANTED_KEY", raising=False)
    plugin = Governance().plugin(GRID, settings=Settings(secrets_required=True))
    with pytest.raises(SettingsError, match="WANTED_KEY is missing"):
        await Worker(client, task_queue=queue, plugins=[plugin]).run()


async def test_a_grids_providers_are_asked_before_the_environment(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANTED_KEY", "environment")
    first = Grid("keyed", keyed_by_secrets, secret_providers=[Vault(None), Vault("from-the-vault")])
    assert await result(client, queue, first, secrets_required=True) == "used a key of 14 characters"
    known.forget("WANTED_KEY", "from-the-vault")


async def test_a_worker_started_in_a_test_has_the_secrets_given_to_it(client: Client, queue: str) -> None:
    with secrets({"WANTED_KEY": "given-to-a-worker"}):
        assert await result(client, queue, secrets_required=True) == "used a key of 17 characters"


def test_without_a_known_secret_errors_and_records_are_unchanged_and_logging_is_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known, "_forms", ())
    factory = logging.getLogRecordFactory()
    guard_logs()
    guard_logs()
    try:
        error = ValueError("some-value-of-a-key")
        assert safe_error(error) is error
        record = logging.getLogger("mine").makeRecord("mine", 20, "", 1, "%s", ("some-value-of-a-key",), None)
        assert record.args == ("some-value-of-a-key",)
        unguard_logs()
        assert logging.getLogRecordFactory() is not factory
    finally:
        unguard_logs()
    assert logging.getLogRecordFactory() is factory
