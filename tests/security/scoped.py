"""Principals with a scope, and runs inside and outside of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agentgrid.control import api_keys, principals
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.api import factories
from tests.api.conftest import SETUP, Api

NARROW = {
    "scoped": (Role.OPERATOR, Role.AUDITOR),
    "scoped-approver": (Role.APPROVER,),
    "blind": (Role.OPERATOR,),
}


@pytest.fixture(scope="module")
async def narrow(api: Api) -> Api:
    """Principals whose scope is workflows that begin with `in_`, or nothing."""
    engine = api.plane.engine
    for name, roles in NARROW.items():
        globs = frozenset() if name == "blind" else frozenset({"in_*"})
        await principals.put(
            engine,
            SETUP,
            Principal(name=name, kind=PrincipalKind.HUMAN, roles=frozenset(roles), workflows=globs),
        )
        made = await api_keys.create(engine, SETUP, principal=name, lifetime=timedelta(days=1))
        api.tokens[name] = made.secret
    return api


@pytest.fixture(scope="module")
async def sides(narrow: Api) -> dict[str, Any]:
    """A run in scope and one out of scope, each with all related rows."""
    rows: dict[str, Any] = {}
    for side in ("in", "out"):
        run = factories.run(
            workflow=f"{side}_flow",
            task_queue=f"{side}-queue",
            reference=f"{side}-reference",
            input={"size": 9, "value": f"{side}-secret"},
        )
        parent = factories.run(workflow="in_parent", status="completed", closed_at=run.created_at)
        child = factories.run(workflow=f"{side}_child", parent_run_id=parent.run_id)
        approval = factories.under(narrow.plane.signer, factories.approval(run))
        await factories.insert(
            narrow.plane.engine,
            *factories.workflow(f"{side}_flow", {}, task_queue=f"{side}-queue"),
            run,
            parent,
            child,
            factories.execution(run),
            factories.step(run, 5),
            approval,
        )
        rows |= {f"{side}_run": run, f"{side}_approval": approval, f"{side}_parent": parent, f"{side}_child": child}
    return rows
