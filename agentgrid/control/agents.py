"""Agents as data: an operator's version of an agent, and the choice of the version that new calls use.

Unlike relaxing a rule, an edit needs no second administrator: no version can allow more than the code does. To deny an agent a tool
permanently, create a rule.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from agentgrid.control import commands, snapshots
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import agents as db_agents
from agentgrid.db import policies
from agentgrid.db.session import WriteSession, writing
from agentgrid.db.tables import AgentChoice, AgentRow, AgentVersionRow, Command
from agentgrid.domain.agent_versions import CODE, MAX_PUBLISHED_BYTES, AgentVersion, changes, faults
from agentgrid.domain.agents import Limits
from agentgrid.domain.commands import CommandKind
from agentgrid.errors import Conflict, InvalidInput, InvalidPlace, NotFound
from agentgrid.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A new version of an agent. None, here and in each limit, keeps the code's value."""

    models: list[str] | None = None
    instructions: str | None = None
    tools: list[str] | None = None
    output_schema: dict[str, Any] | None = None
    limits: Limits | None = None


@dataclass(frozen=True, kw_only=True)
class VersionRequest:
    """Why a version is created or chosen, and the active version that the caller last saw."""

    note: str = ""
    expected_version: str | None = None


@dataclass(frozen=True, kw_only=True)
class _State:
    agent: AgentRow
    code: AgentVersion
    choice: AgentChoice | None
    active: AgentVersion


def allowed_models(settings: Settings) -> list[str]:
    """Globs of the models that an edit may name, besides the offline model and those in the agent's own code."""
    return [*settings.models, *([settings.model] if settings.model else [])]


async def put(plane: ControlPlane, caller: Caller, name: str, edit: Edit, request: VersionRequest) -> Command:
    """Create a version of an agent, and use it for new calls. Raises NotFound, Conflict, InvalidInput if the code doesn't allow it."""
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        state = await _state(session, name, request)
        version = _edited(state.code, edit, await db_agents.next_edit(session, name))
        violations = list(faults(state.code, version, allowed_models(plane.settings)))
        if violations:
            raise InvalidInput(f"the code of the agent {name} does not allow this version", violations)
        differs = changes(state.active, version)
        if differs:
            session.add(_row(name, version, caller, request.note))
            await session.flush()
        return await _choose(
            session, caller, CommandKind.AGENT_PUT, state, version.version if differs else None, differs, request
        )


async def use(plane: ControlPlane, caller: Caller, name: str, version: str, request: VersionRequest) -> Command:
    """Use another version for new calls: `code` for the version in the code. Raises NotFound, Conflict, InvalidInput."""
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        state = await _state(session, name, request)
        target = await _target(session, state, version)
        violations = list(faults(state.code, target, allowed_models(plane.settings)))
        if violations:
            reasons = "; ".join(f"{fault.pointer.lstrip('/')}: {fault.message}" for fault in violations[:5])
            raise Conflict(
                f"version {version} of the agent {name} was made for a different version of its code, and the current code doesn't allow it: "
                f"{reasons}",
                status=state.active.version,
            )
        current = state.choice.version if state.choice is not None else None
        chosen = None if version == CODE else version
        return await _choose(
            session,
            caller,
            CommandKind.AGENT_USE,
            state,
            (CODE if chosen is None else chosen) if current != chosen else None,
            changes(state.active, target),
            request,
        )


async def _state(session: WriteSession, name: str, request: VersionRequest) -> _State:
    """The agent's current state, read under the lock for policy changes. Raises NotFound, Conflict."""
    agent = await db_agents.get(session, name)
    if agent is None:
        raise NotFound("agent", name)
    await policies.lock(session)
    await session.refresh(agent)
    choice = (await db_agents.choices(session, [name])).get(name)
    active = agent.version if choice is None or choice.version is None else choice.version
    if request.expected_version not in (None, active):
        raise Conflict(
            f"the agent {name} is now at version {active}, not {request.expected_version}; review version {active} and try again",
            status=active,
        )
    code = await _read(session, name, agent.version)
    return _State(
        agent=agent,
        code=code,
        choice=choice,
        active=code if active == agent.version else await _read(session, name, active),
    )


async def _read(session: WriteSession, name: str, version: str) -> AgentVersion:
    row = await db_agents.version(session, name, version)
    if row is None:
        raise NotFound("version of an agent", f"{name} {version}")
    try:
        return db_agents.document(row)
    except ValueError:
        raise Conflict(f"version {version} of the agent {name} can't be read: deploy its worker again") from None


async def _target(session: WriteSession, state: _State, version: str) -> AgentVersion:
    if version in (CODE, state.agent.version):
        return state.code
    return await _read(session, state.agent.name, version)


def _edited(code: AgentVersion, edit: Edit, name: str) -> AgentVersion:
    values = {field: value for field, value in vars(edit).items() if value is not None}
    if edit.tools is not None:
        values["tools"] = list(dict.fromkeys(edit.tools))
    if edit.limits is not None:
        limits = {name: value for name, value in asdict(edit.limits).items() if value is not None}
        values["limits"] = replace(code.limits, **limits)
    if not values.get("instructions", code.instructions).strip():
        raise InvalidInput(
            "an agent needs instructions", [InvalidPlace(pointer="/instructions", message="must not be empty")]
        )
    return code.model_copy(update={**values, "version": name, "made_for": code.version})


def _row(agent: str, version: AgentVersion, caller: Caller, note: str) -> AgentVersionRow:
    values = version.model_dump(mode="json")
    return AgentVersionRow(agent=agent, source="operator", note=note, created_by=caller.principal.name, **values)


async def _choose(
    session: WriteSession,
    caller: Caller,
    kind: CommandKind,
    state: _State,
    version: str | None,
    differs: dict[str, Any],
    request: VersionRequest,
) -> Command:
    """Record the command and, if a version is given, choose it and publish. The outcome names the changed fields, not their values."""
    name = state.agent.name
    outcome = {
        "version": state.active.version if version is None else version,
        "before": state.active.version,
        "changed": version is not None,
        "fields": sorted(differs),
    }
    recorded = await commands.apply(session, caller, kind, outcome, target=name, reason=request.note or None)
    if version is not None and not recorded.replayed:
        session.add(
            AgentChoice(
                agent=name,
                number=1 if state.choice is None else state.choice.number + 1,
                version=None if version == CODE else version,
                note=request.note,
                created_by=recorded.command.principal,
                created_at=recorded.command.created_at,
            )
        )
        await session.flush()
        snapshot = await snapshots.publish(session)
        _check_size(snapshot.agents)
    return recorded.command


def _check_size(published: dict[str, dict[str, Any]]) -> None:
    """Raise Conflict if the chosen versions together are too large for the snapshot that every worker reads."""
    if len(json.dumps(published)) > MAX_PUBLISHED_BYTES:
        raise Conflict(
            f"the chosen versions of all agents together exceed {MAX_PUBLISHED_BYTES // 1024:,} KiB: shorten instructions, or move the longest "
            "ones into the code"
        )
