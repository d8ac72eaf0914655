"""Saved views: each principal has private ones, and principals with the permission `edit` can share views with everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentgrid.control import commands
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import views as db_views
from agentgrid.db.session import WriteSession, writing
from agentgrid.db.tables import Command, View
from agentgrid.domain import views
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.principals import Permission
from agentgrid.domain.views import MAX_PRIVATE, MAX_SHARED, SHARED
from agentgrid.errors import Conflict, Forbidden, InvalidInput, NotFound


def owner_of(caller: Caller, *, shared: bool) -> str:
    """The owner of the caller's view. Raises Forbidden if it is shared and the caller may not share."""
    if not shared:
        return caller.principal.name
    if not caller.principal.may(Permission.EDIT):
        raise Forbidden(
            "sharing a view, or changing a shared one, requires the permission `edit` (operator, developer, admin)"
        )
    return SHARED


async def put(
    plane: ControlPlane,
    caller: Caller,
    name: str,
    *,
    title: str,
    filters: Mapping[str, Sequence[str]],
    shared: bool,
    expected_version: int | None,
) -> Command:
    """Save a view, or replace it. Raises InvalidInput, Forbidden, Conflict if there are too many or its version has changed."""
    if faults := views.faults_of(name, filters):
        raise InvalidInput("invalid view", faults)
    owner = owner_of(caller, shared=shared)
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        last = await db_views.get(session, owner, name, lock=True)
        _check_version(last, name, expected_version)
        if last is None:
            await _check_room(session, owner)
        recorded = await commands.apply(session, caller, CommandKind.VIEW_PUT, {"shared": shared}, target=name)
        if not recorded.replayed:
            command = recorded.command
            await db_views.put(
                session,
                View(
                    owner=owner,
                    name=name,
                    version=1,
                    title=title,
                    filter={key: list(values) for key, values in filters.items()},
                    changed_by=command.principal,
                    changed_at=command.created_at,
                ),
            )
        return recorded.command


async def remove(
    plane: ControlPlane, caller: Caller, name: str, *, shared: bool, expected_version: int | None
) -> Command:
    """Delete a view. Raises NotFound, Forbidden, Conflict if its version has changed."""
    owner = owner_of(caller, shared=shared)
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        last = await db_views.get(session, owner, name, lock=True)
        if last is None:
            raise NotFound("view", name)
        _check_version(last, name, expected_version)
        recorded = await commands.apply(session, caller, CommandKind.VIEW_DELETE, {"shared": shared}, target=name)
        if not recorded.replayed:
            await db_views.remove(session, owner, name)
        return recorded.command


def _check_version(last: View | None, name: str, expected: int | None) -> None:
    version = 0 if last is None else last.version
    if expected is not None and expected != version:
        raise Conflict(
            f"the view {name!r} is now at version {version}, not {expected}: read it again", status=str(version)
        )


async def _check_room(session: WriteSession, owner: str) -> None:
    limit = MAX_SHARED if owner == SHARED else MAX_PRIVATE
    if await db_views.count(session, owner) >= limit:
        raise Conflict(
            f"there are already {limit} {'shared ' if owner == SHARED else ''}views, the maximum: delete one first"
        )
