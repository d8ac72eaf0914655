"""Creates Temporal clients, with the same data converter, heartbeats and timeouts in every process."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from datetime import timedelta
from functools import cache

from temporalio.client import Client, Plugin
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError

from agentgrid.errors import SettingsError, Unavailable
from agentgrid.settings import Settings

CONNECT_TIMEOUT = timedelta(seconds=5)
WORKER_HEARTBEAT = timedelta(seconds=10)
"""Interval of the heartbeats that a worker with such a client sends to Temporal."""


@cache
def runtime() -> Runtime:
    """The process-wide runtime, created on first use: each runtime owns a thread pool."""
    return Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=WORKER_HEARTBEAT)


def data_converter(settings: Settings) -> DataConverter:
    """The data converter that all processes use: AgentGrid's, or the one that the setting names as `module:attribute`.

    Raises SettingsError if the setting doesn't name a DataConverter.
    """
    if settings.data_converter is None:
        return pydantic_data_converter
    module, _, attribute = settings.data_converter.partition(":")
    try:
        converter = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(
            f"AGENTGRID_DATA_CONVERTER={settings.data_converter!r} can't be loaded ({error}); set it to module:attribute"
        ) from error
    if not isinstance(converter, DataConverter):
        raise SettingsError(f"AGENTGRID_DATA_CONVERTER={settings.data_converter!r} is not a temporalio DataConverter")
    return converter


async def connect(
    settings: Settings, *, identity: str | None = None, plugins: Sequence[Plugin] = (), lazy: bool = False
) -> Client:
    """A client for the configured namespace. A lazy one connects on its first call.

    Raises Unavailable if Temporal can't be reached within `CONNECT_TIMEOUT`.
    """
    key = settings.temporal_api_key
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT.total_seconds() + 1):
            return await Client.connect(
                settings.temporal_address,
                namespace=settings.temporal_namespace,
                api_key=key.get_secret_value() if key else None,
                tls=settings.temporal_tls,
                data_converter=data_converter(settings),
                plugins=plugins,
                identity=identity,
                lazy=lazy,
                runtime=runtime(),
                connect_timeout=CONNECT_TIMEOUT,
            )
    except (RuntimeError, RPCError, TimeoutError) as error:
        raise Unavailable(f"Temporal at {settings.temporal_address} can't be reached: {error}") from error
