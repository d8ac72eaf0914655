"""An API to attack over raw sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api import factories
from tests.api.conftest import Api, listening, running, settings_for, until_key_is_registered
from tests.conftest import Peopled, Temporal


@pytest.fixture(scope="module")
async def api(
    peopled: Peopled, module_postgres_dsn: str, temporal_server: Temporal, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    settings = settings_for(module_postgres_dsn, temporal_server.address, tmp_path_factory.mktemp("door"))
    async with running(settings, dict(peopled.tokens)) as api:
        await until_key_is_registered(api)
        await factories.insert(api.plane.engine, *factories.workflow("known", {}))
        yield api


@pytest.fixture(scope="module")
async def url(api: Api) -> AsyncIterator[str]:
    async with listening(api.app) as url:
        yield url
