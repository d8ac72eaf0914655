"""Agents as data: an operator's version of an agent, and the choice of the version that new calls use.

An edit needs no second administrator, unlike the relaxation of a rule: no version admits more than the code does. To keep an agent from
a tool for good, make a rule.
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
    """A new version of an agent. None: as the code has it, also of each limit."""

    models: list[str] | None = None
    instructions: str | None = None
    tools: list[str] | None = None
    output_schema: dict[str, Any] | None = None
    limits: Limits | None = None


@dataclass(frozen=True, kw_only=True)
class VersionRequest:
    """Why a version is made or chosen, and the one in use that the caller has seen."""

    note: str = ""
    expected_version: str | None = None


@dataclass(frozen=True, kw_only=True)
class _State:
    agent: AgentRow
    code: AgentVersion
    choice: AgentChoice | None
    active: AgentVersion


def allowed_models(settings: Settings) -> list[str]:
    """Globs of the models that an edit may name, beside the offline model and those of the agent's own code."""
    return [*settings.models, *([settings.model] if settings.model else [])]


async def put(plane: ControlPlane, caller: Caller, name: str, edit: Edit, asked: VersionRequest) -> Command:
    """Make a version of an agent, and use it for new calls. Raises NotFound, Conflict, InvalidInput if the code doesn't allow it."""
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        state = await _state(session, name, asked)
        version = _edited(state.code, edit, await db_agents.next_edit(session, name))
        wrong = list(faults(state.code, version, allowed_models(plane.settings)))
        if wrong:
            raise InvalidInput(f"the code of the agent {name} does not allow this version", wrong)
        differs = changes(state.active, version)
        if differs:
            session.add(_row(name, version, caller, asked.note))
            await session.flush()
        return await _choose(
            session, caller, CommandKind.AGENT_PUT, state, version.version if differs else None, differs, asked
        )


async def use(plane: ControlPlane, caller: Caller, name: str, version: str, asked: VersionRequest) -> Command:
    """Use another version for new calls: `code` for the version in the code. Raises NotFound, Conflict, InvalidInput."""
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        state = await _state(session, name, asked)
        target = await _wanted(session, state, version)
        wrong = list(faults(state.code, target, allowed_models(plane.settings)))
        if wrong:
            reasons = "; ".join(f"{fault.pointer.lstrip('/')}: {fault.message}" for fault in wrong[:5])
            raise Conflict(
                f"the version {version} of the agent {name} was made for other code, and this code doesn't allow it: {reasons}",
                status=state.active.version,
            )
        now = state.choice.version if state.choice is not None else None
        wished = None if version == CODE else version
        changed = CODE if wished is None else wished
        return await _choose(
            session,
            caller,
            CommandKind.AGENT_USE,
            state,
            changed if now != wished else None,
            changes(state.active, target),
            asked,
        )


async def _state(session: WriteSession, name: str, asked: VersionRequest) -> _State:
    """The agent as it is, under the lock of policy changes. Raises NotFound, Conflict."""
    agent = await db_agents.get(session, name)
    if agent is None:
        raise NotFound("agent", name)
    await policies.lock(session)
    await session.refresh(agent)
    choice = (await db_agents.choices(session, [name])).get(name)
    used = agent.version if choice is None or choice.version is None else choice.version
    if asked.expected_version not in (None, used):
        raise Conflict(
            f"the agent {name} is now at version {used}, not {asked.expected_version}: review that version, and edit it",
            status=used,
        )
    code = await _read(session, name, agent.version)
    return _State(
        agent=agent,
        code=code,
        choice=choice,
        active=code if used == agent.version else await _read(session, name, used),
    )


async def _read(session: WriteSession, name: str, version: str) -> AgentVersion:
    row = await db_agents.version(session, name, version)
    if row is None:
        raise NotFound("version of an agent", f"{name} {version}")
    try:
        return db_agents.document(row)
    except ValueError:
        raise Conflict(
            f"the version {version} of the agent {name} was not registered as one: deploy its worker again"
        ) from None


async def _wanted(session: WriteSession, state: _State, version: str) -> AgentVersion:
    if version in (CODE, state.agent.version):
        return state.code
    return await _read(session, state.agent.name, version)


def _edited(code: AgentVersion, edit: Edit, name: str) -> AgentVersion:
    given = {field: value for field, value in vars(edit).items() if value is not None}
    if edit.tools is not None:
        given["tools"] = list(dict.fromkeys(edit.tools))
    if edit.limits is not None:
        limits = {name: value for name, value in asdict(edit.limits).items() if value is not None}
        given["limits"] = replace(code.limits, **limits)
    if not given.get("instructions", code.instructions).strip():
        raise InvalidInput(
            "an agent needs instructions", [InvalidPlace(pointer="/instructions", message="must not be empty")]
        )
    return code.model_copy(update={**given, "version": name, "made_for": code.version})


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
    asked: VersionRequest,
) -> Command:
    """Record the command and, if a version is given, choose it and publish. The outcome has the fields that differ, not their values."""
    name = state.agent.name
    outcome = {
        "version": state.active.version if version is None else version,
        "before": state.active.version,
        "changed": version is not None,
        "fields": sorted(differs),
    }
    recorded = await commands.apply(session, caller, kind, outcome, target=name, reason=asked.note or None)
    if version is not None and not recorded.replayed:
        session.add(
            AgentChoice(
                agent=name,
                number=1 if state.choice is None else state.choice.number + 1,
                version=None if version == CODE else version,
                note=asked.note,
                created_by=recorded.command.principal,
                created_at=recorded.command.created_at,
            )
        )
        await session.flush()
        snapshot = await snapshots.publish(session)
        _check_size(snapshot.agents)
    return recorded.command


def _check_size(published: dict[str, dict[str, Any]]) -> None:
    """Raise Conflict if all chosen versions together are too large for the document that every worker reads."""
    if len(json.dumps(published)) > MAX_PUBLISHED_BYTES:
        raise Conflict(
            f"the chosen versions of all agents together may take {MAX_PUBLISHED_BYTES // 1024:,} KiB: shorten instructions, or put the longest "
            "ones in the code"
        )
