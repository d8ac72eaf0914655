"""Architecture tests: import costs, public names, the schema, the sandbox and the lock file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlmodel import SQLModel
from temporalio import workflow as temporal
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

import agentgrid
import agentgrid.db.tables
from agentgrid.db import migrate
from agentgrid.db.session import make_engine
from agentgrid.sdk.sandbox import PASSED_THROUGH
from worker import grid

ROOT = Path(__file__).parents[2]
HEAVY = ("sqlalchemy", "sqlmodel", "fastapi", "asyncpg", "httpx", "alembic", "uvicorn")

PUBLIC = [
    "Agent",
    "AgentGridError",
    "AgentGridPlugin",
    "AgentSession",
    "ApprovalExpired",
    "ApprovalRejected",
    "Approved",
    "Budget",
    "Effect",
    "Grid",
    "RegistrationError",
    "RegistrationErrors",
    "Rule",
    "Tool",
    "ToolError",
    "Toolset",
    "agent",
    "approval",
    "idempotency_key",
    "log",
    "mcp",
    "openapi",
    "run_worker",
    "secret",
    "tool",
    "unit",
    "workflow",
]


def in_fresh_process(code: str) -> Any:
    """Run the code in a new process, and parse its output as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


def test_the_public_names_are_complete_and_importable() -> None:
    assert agentgrid.__all__ == PUBLIC == sorted(PUBLIC)
    assert set(agentgrid._HOMES) == set(PUBLIC)
    for name in PUBLIC:
        assert getattr(agentgrid, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = agentgrid.nothing


def test_importing_agentgrid_is_fast_and_loads_no_server_libraries() -> None:
    code = (
        "import json, sys, time; t = time.process_time(); import agentgrid; took = time.process_time() - t; "
        f"print(json.dumps([took, [m for m in {HEAVY!r} if m in sys.modules]]))"
    )
    took, loaded = in_fresh_process(code)
    assert loaded == []
    assert took < 0.6, "seconds of CPU"


def test_the_api_loads_the_mcp_library_only_on_the_first_mcp_request() -> None:
    code = "import json, sys; import agentgrid.api.app; print(json.dumps([m for m in sys.modules if m.split('.')[0] in ('mcp', 'mcp_types')]))"
    assert in_fresh_process(code) == []


@pytest.mark.parametrize(
    "modules",
    [
        "agentgrid.api.app",
        "agentgrid.projector.main",
        "agentgrid.cli.main",
        "agentgrid.worker.main, agentgrid.worker.plugin; from agentgrid.sdk.grid import Grid; Grid('gated', 'tests.worker.gated').check()",
    ],
    ids=["api", "projector", "cli", "a worker without agents"],
)
def test_processes_that_call_no_model_load_no_providers_library(modules: str) -> None:
    code = (
        f"import json, sys; import {modules}; "
        "print(json.dumps([m for m in ('pydantic_ai', 'openai', 'anthropic', 'genai_prices') if m in sys.modules]))"
    )
    assert in_fresh_process(code) == []


def test_workflow_code_loads_no_server_libraries() -> None:
    code = (
        "import json, sys; import agentgrid as ag; ag.tool, ag.workflow, ag.approval, ag.Grid, ag.log; import workflows.support_triage; "
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    assert in_fresh_process(code) == []


@pytest.mark.parametrize("registered", grid.workflows, ids=lambda registered: registered.spec.name)
async def test_each_workflow_builds_in_the_sandbox(registered: Any) -> None:
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH, *grid.shared_modules)
    runner = SandboxedWorkflowRunner(restrictions=restrictions)
    definition = temporal._Definition.must_from_class(registered.cls)
    runner.prepare_workflow(definition)


async def test_the_migrations_create_exactly_the_declared_tables(empty_database: str) -> None:
    before, after = await migrate.upgrade(empty_database)
    assert (before, after) == (None, migrate.head())
    assert await migrate.upgrade(empty_database) == (after, after)
    engine = make_engine(empty_database, pool_size=1)
    try:
        async with engine.connect() as connection:
            differences = await connection.run_sync(
                lambda sync: compare_metadata(MigrationContext.configure(sync), SQLModel.metadata)
            )
    finally:
        await engine.dispose()
    assert [
        difference for difference in differences if "_default" not in str(difference) and "_20" not in str(difference)
    ] == []


def test_every_installed_package_has_its_hash_in_the_lock() -> None:
    entries = (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()
    assert len(entries) > 50
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    installs = [
        line for line in (ROOT / "Makefile").read_text().splitlines() if "pip install" in line and line[0] != "#"
    ]
    assert len(installs) == 2
    assert all(line.endswith("--no-deps") for line in installs), "packages outside the lock must not be installed"


def test_no_file_names_a_package_index_or_a_machine() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    hosts = ["pypi" + ".org", "python" + "hosted", "npm" + "js.org", "/work" + "/main"]
    mentions = [
        (name, host)
        for name in files
        if (ROOT / name).is_file()
        for host in hosts
        if host in (ROOT / name).read_text("utf-8", errors="ignore")
    ]
    assert mentions == []
