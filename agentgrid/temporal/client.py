"""The one way to a Temporal client: the same data converter, heartbeats and bounds for every process."""

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
"""How often a worker made on such a client tells Temporal that it lives."""


@cache
def runtime() -> Runtime:
    """The runtime of this process, made at the first use: each one owns a pool of threads."""
    return Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=WORKER_HEARTBEAT)


def data_converter(settings: Settings) -> DataConverter:
    """The converter that the workers use: AgentGrid's, or the one that `data_converter` names as `module:attribute`.

    Raises SettingsError where the name leads to no DataConverter.
    """
    if settings.data_converter is None:
        return pydantic_data_converter
    module, _, attribute = settings.data_converter.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(
            f"AGENTGRID_DATA_CONVERTER={settings.data_converter!r} can't be loaded ({error}); it takes module:attribute"
        ) from error
    if not isinstance(found, DataConverter):
        raise SettingsError(f"AGENTGRID_DATA_CONVERTER={settings.data_converter!r} is no temporalio DataConverter")
    return found


async def connect(
    settings: Settings, *, identity: str | None = None, plugins: Sequence[Plugin] = (), lazy: bool = False
) -> Client:
    """A client of the configured namespace. A lazy one connects at its first call.

    Raises Unavailable when Temporal can't be reached within `CONNECT_TIMEOUT`.
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
