"""Makes the principals of `agentgrid dev`, with a key and a profile each.

What the project's file says about a principal is carried out once, at the first start with it: it is an act of the machine's owner, recorded in
the audit log as one. Until the file changes, what administrators changed meanwhile is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from agentgrid.cli.operator import database_caller
from agentgrid.cli.profiles import Profile, load_profiles, profiles_file, save_profiles
from agentgrid.control import api_keys, principals
from agentgrid.control.private import read_private, write_private
from agentgrid.db.pool import Pool
from agentgrid.domain.principals import Principal
from agentgrid.errors import SettingsError, Unauthenticated

KEY_LIFETIME = timedelta(days=90)
RENEW_BEFORE = timedelta(days=7)
REASON = "[tool.agentgrid.dev] in pyproject.toml"

Say = Callable[[str], None]


async def make_principals(
    engine: AsyncEngine, pool: Pool, home: Path, api_url: str, wanted: Sequence[Principal], say: Say
) -> None:
    """Create what is missing, change what the project's file changed, disable what it no longer has."""
    caller, record = database_caller(), home / "principals.json"
    known = {principal.name: principal for principal in await principals.listed(engine)}
    applied = _applied(record)
    wishes = {principal.name: _wish(principal) for principal in wanted}
    for principal in wanted:
        name = principal.name
        before = applied.get(name, {})
        changed = before.get("wish") != wishes[name] and known.get(name) != principal
        if name not in known or changed:
            await principals.put(engine, caller, principal, reason=REASON)
            if name in known:
                say(f"{name} now has {_rights(principal)}, as pyproject.toml says")
        if before.get("removed"):
            await principals.set_disabled(engine, caller, name, False, reason=REASON)
            say(f"{name} is enabled again, because pyproject.toml has it again")
    gone = {name: entry for name, entry in applied.items() if name not in wishes}
    for name, entry in gone.items():
        if name in known and not entry.get("removed"):
            await principals.set_disabled(engine, caller, name, True, reason=REASON)
            say(f"{name} is disabled, because pyproject.toml no longer has it")
    kept = {name: entry | {"removed": True} for name, entry in gone.items() if name in known}
    write_private(record, json.dumps(kept | {name: {"wish": wish} for name, wish in wishes.items()}))
    await _make_profiles(engine, pool, home, api_url, list(wishes), say, without=gone)


async def _make_profiles(
    engine: AsyncEngine,
    pool: Pool,
    home: Path,
    api_url: str,
    names: Sequence[str],
    say: Say,
    *,
    without: Mapping[str, Any],
) -> None:
    file = profiles_file(home)
    before = load_profiles(file)
    profiles = {name: profile for name, profile in before.items() if name not in without}
    for name in names:
        key_file = home / "keys" / f"{name}.key"
        if not await _key_holds(pool, key_file, name):
            made = await api_keys.create(
                engine, database_caller(), principal=name, lifetime=KEY_LIFETIME, note="made by agentgrid dev"
            )
            write_private(key_file, made.secret + "\n")
            say(f"a new key for {name} is in {key_file}")
        profiles[name] = Profile(name=name, url=api_url, key_file=key_file)
    if profiles != before:
        save_profiles(file, profiles)


async def _key_holds(pool: Pool, file: Path, principal: str) -> bool:
    key = _read_if_there(file)
    if key is None:
        return False
    try:
        found = await api_keys.authenticate(pool, key)
    except Unauthenticated:
        return False
    return found.principal.name == principal and found.expires_at > datetime.now(UTC) + RENEW_BEFORE


def _read_if_there(file: Path) -> str | None:
    return read_private(file).strip() if file.exists() else None


def _applied(record: Path) -> dict[str, dict[str, Any]]:
    """What the starts before carried out, by name."""
    if not record.exists():
        return {}
    try:
        return {name: dict(entry) for name, entry in json.loads(read_private(record)).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise SettingsError(f"{record} is invalid ({error}); delete it to apply pyproject.toml again") from None


def _wish(principal: Principal) -> dict[str, Any]:
    return {
        "kind": principal.kind.value,
        "roles": sorted(principal.roles),
        "groups": sorted(principal.groups),
        "workflows": sorted(principal.workflows),
    }


def _rights(principal: Principal) -> str:
    roles = f"the roles {', '.join(sorted(principal.roles)) or '(none)'}"
    return f"{roles} and the groups {', '.join(sorted(principal.groups)) or '(none)'}"
