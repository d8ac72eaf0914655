"""The API as an ASGI application."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from agentgrid import logging
from agentgrid.api import console, errors, openapi, payloads
from agentgrid.api.door import Door
from agentgrid.api.feed import Feed
from agentgrid.api.limits import RateLimits
from agentgrid.api.mcp.lazy import Lazy
from agentgrid.api.me import Facts
from agentgrid.api.metrics import Measured, Metrics
from agentgrid.api.routes import ROUTERS
from agentgrid.api.run_waits import Waiting
from agentgrid.api.timeline import Usuals
from agentgrid.control import delivery, signing, signing_keys, snapshots
from agentgrid.control.plane import ControlPlane
from agentgrid.control.reads import Recorder
from agentgrid.db.pool import open_pool
from agentgrid.db.session import SESSION_FAULTS, make_engine, writing
from agentgrid.domain.policies import KeyStatus
from agentgrid.settings import Settings
from agentgrid.temporal.client import connect

log = structlog.get_logger()

RECOVERY_SECONDS = 1.0
MAX_WAITING = 450
"""The maximum number of requests that may wait for results in one process; capped at half of its connections."""


def from_environment() -> FastAPI:
    """The application, configured from the environment. The factory for uvicorn."""
    settings = Settings.load()
    logging.configure(settings)
    app = create_app(settings)
    # Everything loaded so far lives as long as the process. Without freezing, the collector would keep scanning 100,000 such objects during requests.
    gc.collect()
    gc.freeze()
    return app


def create_app(settings: Settings) -> FastAPI:
    """The application. Raises SettingsError if the database or the signing key is not configured.

    The database and Temporal need not be reachable at startup: requests get 503 until they are.
    """
    dsn = settings.require_database()
    signer = signing.load(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        engine = make_engine(dsn)
        temporal = await connect(settings, identity="agentgrid-api", lazy=True)
        async with open_pool(dsn) as pool:
            plane = ControlPlane(settings=settings, engine=engine, pool=pool, temporal=temporal, signer=signer)
            app.state.plane = plane
            app.state.feed = Feed(engine, dsn)
            room = max(1, min(MAX_WAITING, settings.max_connections // 2))
            app.state.waiting = Waiting(plane, app.state.feed, room=room)
            app.state.reads = Recorder(engine)
            app.state.facts = Facts(plane)
            app.state.mcp = Lazy()
            app.state.usuals = Usuals()
            app.state.history_reads = payloads.ReadLimiter()
            tasks = [
                asyncio.create_task(_supervise("prepare", lambda: _prepare(plane))),
                asyncio.create_task(_supervise("delivery", lambda: delivery.run(plane))),
                asyncio.create_task(_supervise("feed", app.state.feed.run)),
                asyncio.create_task(_supervise("reads", app.state.reads.run)),
                asyncio.create_task(_supervise("facts", app.state.facts.run)),
            ]
            try:
                # `cli/serving.py` calls this as soon as a shutdown is requested, long before this block ends.
                yield {"stop_waiting": app.state.waiting.stop}
            finally:
                await app.state.mcp.close()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await engine.dispose()

    app = FastAPI(
        title="AgentGrid",
        version=version("agentgrid"),
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.metrics = Metrics()
    app.state.limits = RateLimits(settings)
    errors.install(app)
    for router in ROUTERS:
        app.router.routes.extend(router.routes)
    openapi.install(app)
    console.install(app.router)
    app.add_middleware(Door, public_url=settings.api_url)
    app.add_middleware(Measured, metrics=app.state.metrics)
    # Doesn't compress event streams.
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)
    return app


async def _prepare(plane: ControlPlane) -> None:
    """Register the signing key as soon as the database is reachable."""
    while True:
        try:
            async with writing(plane.engine) as session:
                for signer in plane.signer.all:
                    if await snapshots.ensure_published(session, signer):
                        log.info("signing_key_registered", key_id=signer.key_id)
            status = await signing_keys.status(plane.engine, plane.signer.key_id)
            if status is not KeyStatus.IN_FORCE:
                # Approvals that open from now on can't be decided through this process: each decision is refused with the reason.
                log.error("signing_key_not_in_force", key_id=plane.signer.key_id, status=status)
            return
        except SESSION_FAULTS as error:
            log.warning("api_waits_for_the_database", error=str(error)[:200])
            await asyncio.sleep(RECOVERY_SECONDS)


async def _supervise(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run the task and restart it if it fails: without delivery or events the process would only appear to work."""
    while True:
        try:
            await work()
            return
        except Exception:
            log.exception("background_task_died", task=name)
            await asyncio.sleep(RECOVERY_SECONDS)
