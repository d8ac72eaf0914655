"""The Temporal plugin that makes a worker governed and visible. It wraps the user's configuration and replaces none of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from temporalio.plugin import SimplePlugin
from temporalio.worker import (
    ReplayerConfig,
    Worker,
    WorkerConfig,
)

from agentgrid.domain.agents import OFFLINE
from agentgrid.logging import get_logger
from agentgrid.sdk.gate import GateInterceptor
from agentgrid.sdk.grid import Grid
from agentgrid.sdk.sandbox import PASSED_THROUGH
from agentgrid.sdk.secrets import SecretProvider, SecretStore, current_store, standard_providers
from agentgrid.sdk.toolsets import Toolset
from agentgrid.settings import Settings
from agentgrid.worker import builds, catalog, mcp_servers
from agentgrid.worker.activities import GovernedActivities
from agentgrid.worker.agents import Models, agent_activities, load, model_named
from agentgrid.worker.approvals import approval_activities
from agentgrid.worker.background import in_background
from agentgrid.worker.deltas import DeltaSender
from agentgrid.worker.governor import Governor
from agentgrid.worker.policy import FixedPolicy, PolicySource
from agentgrid.worker.runner import replay_runner, touching_runner, with_passthrough
from agentgrid.worker.secrets import check_secrets, guard_logs, unguard_logs
from agentgrid.worker.starts import ScheduledStarts
from agentgrid.worker.telemetry import Telemetry
from agentgrid.worker.watchdog import Watchdog

log = get_logger()

OwnInterceptor = TypeVar("OwnInterceptor", GateInterceptor, GovernedActivities)

FIRST_POLICY_SECONDS = 3.0
"""How long a worker that has never seen a policy waits for one before it starts polling anyway."""


class AgentGridPlugin(SimplePlugin):
    """Governance and visibility for a Temporal worker. Goes on a client, a worker or a replayer.

    grid: its workflows and tools are registered on the worker. Without a grid, the worker's own workflows are governed.
    settings: read from the environment by default. A worker needs `AGENTGRID_DATABASE_URL`; a replayer needs none.
    models: looks up models by name in place of the providers, for tests.
    policy: a fixed policy to use instead of the database's, for tests. Nothing is reported then, unless the settings name a database.
    secret_providers: searched for secrets before the grid's own providers, environment variables and files.

    Raises RegistrationErrors, with all faults at once, and SettingsError, when a worker is created.
    """

    def __init__(
        self,
        grid: Grid | None = None,
        *,
        settings: Settings | None = None,
        policy: FixedPolicy | None = None,
        models: Models | None = None,
        secret_providers: Iterable[SecretProvider] = (),
    ) -> None:
        super().__init__("agentgrid.AgentGridPlugin")
        self._grid = grid
        self._models = models
        self._default_model = OFFLINE
        self._secret_providers = tuple(secret_providers)
        self._settings = settings
        self._policy = policy

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """Add the interceptors, the hook, the grid and the local activities of approvals."""
        settings = self._settings or Settings.load()
        client = config["client"]
        identity = config.get("identity") or client.identity
        policy, telemetry = self._sources(settings, client.namespace, identity)
        agents = self._grid.agents if self._grid is not None else ()
        governor = Governor(
            policy=policy,
            max_age_seconds=settings.policy_max_age_seconds,
            valid_for_seconds=settings.decision_valid_for_seconds,
            policy_required=settings.policy_required,
            allowed_to={agent.name: frozenset(agent.tool_names) for agent in agents},
        )
        wait_seconds = 2 * settings.policy_refresh_seconds
        tools = self._grid.tools if self._grid is not None else ()
        activities = [*(config.get("activities") or ()), *(tool.as_activity() for tool in tools)]
        workflows = list(config.get("workflows") or ())
        modules: tuple[str, ...] = PASSED_THROUGH
        if self._grid is not None:
            self._grid.check()
            workflows += _missing(self._grid, workflows)
            modules = (*modules, *self._grid.shared_modules)
        if workflows and not activities:
            # A workflow-only worker that polled for activities would take other workers' tasks, and fail them.
            config["no_remote_activities"] = True
        if workflows:
            activities += approval_activities(governor, policy_wait_seconds=wait_seconds)
        if agents:
            self._default_model = settings.model or OFFLINE
            activities += agent_activities(
                agents,
                tools,
                governor,
                default_model=self._default_model,
                policy_wait_seconds=wait_seconds,
                models=self._models or model_named,
                # If payloads are encrypted, no part of them leaves the worker in clear.
                deltas=None
                if client.data_converter.payload_codec is not None
                else DeltaSender(policy.watched, telemetry.delta),
            )
        config["activities"] = activities
        config["workflows"] = workflows
        builds.name_build(config, self._grid)
        governed = GovernedActivities(
            governor=governor,
            telemetry=telemetry,
            tools={tool.activity_type: tool for tool in tools},
            worker=identity,
            policy_wait_seconds=wait_seconds,
            secrets=self._secrets(settings),
            encoded=client.data_converter.payload_codec is not None,
        )
        # An eagerly dispatched activity bypasses its task queue and that queue's limits.
        config["disable_eager_activity_execution"] = not settings.eager_activities
        config["interceptors"] = [GateInterceptor(), governed, *(config.get("interceptors") or ())]
        attribute = ScheduledStarts(policy, client.data_converter.payload_converter).attribute
        runner = with_passthrough(config["workflow_runner"], modules)
        config["workflow_runner"] = touching_runner(runner, telemetry.touch, attribute)
        config["unsandboxed_workflow_runner"] = touching_runner(
            config["unsandboxed_workflow_runner"], telemetry.touch, attribute
        )
        return config

    def _secrets(self, settings: Settings) -> SecretStore:
        of_grid = self._grid.secret_providers if self._grid is not None else ()
        return SecretStore([*self._secret_providers, *of_grid, *standard_providers(settings.secrets_dir)])

    def _sources(
        self, settings: Settings, namespace: str, identity: str
    ) -> tuple[PolicySource | FixedPolicy, Telemetry]:
        if self._policy is not None:
            dsn = settings.database_url.get_secret_value() if settings.database_url is not None else None
            return self._policy, Telemetry(dsn, namespace=namespace, worker=identity)
        dsn = settings.require_database()
        cache = settings.home / f"policy-{hashlib.sha256(dsn.encode()).hexdigest()[:12]}.json"
        source = PolicySource(dsn, cache, refresh_seconds=settings.policy_refresh_seconds)
        return source, Telemetry(dsn, namespace=namespace, worker=identity)

    async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:
        """Follow policy, report, and register the grid while the worker runs."""
        governed = governed_of(worker)
        policy, telemetry = governed.governor.policy, governed.telemetry
        if not isinstance(policy, (PolicySource, FixedPolicy)):
            raise TypeError("the governor's policy was replaced; pass `policy` to AgentGridPlugin instead")
        _of(worker, GateInterceptor).builds_are_kept = await builds.are_recorded(worker.client)
        if self._grid is not None and (names := self._grid.secrets):
            required = (self._settings or Settings.load()).secrets_required
            await check_secrets(current_store.get() or governed.secrets, names, required=required)
        watchdog = Watchdog(governed.tools.values(), worker.config(active_config=True).get("activities") or ())
        reporting: list[asyncio.Task[None]] = []
        started: list[Toolset] = []
        guard_logs()
        try:
            await policy.start()
            await telemetry.start(worker.task_queue)
            watchdog.start()
            for agent in self._grid.agents if self._grid is not None and self._models is None else ():
                for model in agent.models or [self._default_model]:
                    await load(model)
            if self._grid is not None and telemetry.dsn is not None:
                syncing = catalog.sync(telemetry.dsn, self._grid, worker.task_queue)
                reporting.append(in_background(syncing, "agentgrid-catalog"))
            if self._grid is not None and self._grid.toolsets:
                reporting += await self._start(self._grid, started, governed.secrets, telemetry.dsn, worker.task_queue)
            if policy.snapshot is None:
                await policy.confirmed(FIRST_POLICY_SECONDS)
            await next(worker)
        finally:
            watchdog.stop()
            for task in reporting:
                task.cancel()
            await asyncio.gather(*reporting, return_exceptions=True)
            await telemetry.stop()
            await policy.stop()
            stopped = await asyncio.gather(*(toolset.stop() for toolset in started), return_exceptions=True)
            for toolset, error in zip(started, stopped, strict=True):
                if isinstance(error, Exception):
                    log.error("toolset_not_stopped", toolset=toolset.name, exc_info=error)
            unguard_logs()

    async def _start(
        self, grid: Grid, started: list[Toolset], secrets: SecretStore, dsn: str | None, task_queue: str
    ) -> list[asyncio.Task[None]]:
        """Start the grid's toolsets, each added to `started`, and, if there is a database, the tasks that report on them."""
        allowed = (self._settings or Settings.load()).allowed_hosts
        # Tasks that they start now read the worker's secrets, as their calls do.
        token = current_store.set(current_store.get() or secrets)
        try:
            for toolset in grid.toolsets:
                await toolset.start(allowed)
                # Only these are stopped: toolsets count their workers, and another worker may be using the others.
                started.append(toolset)
            if dsn is None:
                return []
            looking = mcp_servers.report(dsn, grid, task_queue)
            return [in_background(looking, "agentgrid-mcp-servers")]
        finally:
            current_store.reset(token)

    def configure_replayer(self, config: ReplayerConfig) -> ReplayerConfig:
        """Add only the workflow half: a replay checks no policy and reports nothing."""
        modules: tuple[str, ...] = PASSED_THROUGH
        workflows = list(config.get("workflows") or ())
        if self._grid is not None:
            modules = (*modules, *self._grid.shared_modules)
            workflows += _missing(self._grid, workflows)
        config["workflows"] = workflows
        config["interceptors"] = [GateInterceptor(), *(config.get("interceptors") or ())]
        if (runner := config.get("workflow_runner")) is not None:
            config["workflow_runner"] = replay_runner(with_passthrough(runner, modules))
        if (runner := config.get("unsandboxed_workflow_runner")) is not None:
            config["unsandboxed_workflow_runner"] = replay_runner(runner)
        return config


def _missing(grid: Grid, workflows: list[type]) -> list[type]:
    """The grid's workflows, and the workflows that run its tools, except the given ones."""
    classes = (registered.cls for registered in (*grid.workflows, *grid.tool_runs))
    return [cls for cls in classes if cls not in workflows]


def governed_of(worker: Worker) -> GovernedActivities:
    """The activity interceptor that this plugin added to the worker."""
    return _of(worker, GovernedActivities)


def _of(worker: Worker, kind: type[OwnInterceptor]) -> OwnInterceptor:
    interceptors: Any = worker.config(active_config=True).get("interceptors") or ()
    return next(interceptor for interceptor in interceptors if isinstance(interceptor, kind))
