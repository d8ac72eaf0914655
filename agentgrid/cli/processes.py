"""`agentgrid api`, `agentgrid projector` and the bare `agentgrid worker`: one process in the foreground, configured by its environment."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgrid.cli.exits import CommandFailed, ExitCode

if TYPE_CHECKING:
    from agentgrid.settings import Settings

API_FACTORY = "agentgrid.api.app:from_environment"
API_STOP_SECONDS = 3
"""How long open requests, including event streams, may continue after a stop was requested."""


def api(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The port to listen on.")] = 8700,
) -> None:
    """Serve the HTTP API and deliver commands."""
    settings = _configured()
    settings.require_database()
    if not is_loopback(host):
        import asyncio

        asyncio.run(_require_keys(settings, host))
    import uvicorn

    from agentgrid.cli.serving import options

    uvicorn.run(
        API_FACTORY,
        factory=True,
        host=host,
        port=port,
        timeout_graceful_shutdown=API_STOP_SECONDS,
        **options(max_connections=settings.max_connections),
    )


def projector() -> None:
    """Project Temporal's history into the database."""
    settings = _configured()
    settings.require_database()
    from agentgrid.projector.main import run

    run_until_signalled(run(settings))


def worker(task_queue: str | None) -> None:
    """Execute this project's workflows and tools."""
    from agentgrid.cli.project import load_project

    project = load_project()
    project.import_from()
    settings = _configured()
    settings.require_database()
    from agentgrid.sdk.grid import load_grid
    from agentgrid.worker.main import run

    run_until_signalled(run(load_grid(project.grid), settings, task_queue=task_queue))


def run_until_signalled(work: Coroutine[Any, Any, None]) -> None:
    """Run until it ends; on the first SIGINT or SIGTERM, cancel it and let it finish."""
    import asyncio

    async def supervise() -> None:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(supervise())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _configured() -> Settings:
    from agentgrid import logging
    from agentgrid.settings import Settings

    settings = Settings.load()
    logging.configure(settings)
    return settings


async def _require_keys(settings: Settings, host: str) -> None:
    """Refuse to listen for other machines unless callers can be authenticated."""
    from sqlalchemy import text

    from agentgrid.db.session import SESSION_FAULTS, make_engine, reading

    missing = []
    if settings.signing_key_file is None:
        missing.append("AGENTGRID_SIGNING_KEY_FILE is not set")
    engine = make_engine(settings.require_database(), pool_size=1)
    try:
        async with reading(engine) as session:
            usable = await session.scalar(
                text("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL AND expires_at > now()")
            )
    except SESSION_FAULTS as error:
        raise CommandFailed(
            f"can't check whether API keys are configured, so not listening on {host}: {_first_line(error)}",
            ExitCode.UNAVAILABLE,
        ) from None
    finally:
        await engine.dispose()
    if not usable:
        missing.append("the database has no valid API key (create one with `agentgrid key create`)")
    if missing:
        raise CommandFailed(
            f"other machines could reach {host}, and {' and '.join(missing)}; fix that, or listen on 127.0.0.1",
            ExitCode.USAGE,
        )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
