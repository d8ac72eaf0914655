"""Creates the principals of `agentgrid dev`, with a key and a profile each.

The project file's settings for a principal are applied once, at the first start with them, and recorded in the audit log as an action of the
machine's owner. Until the file changes again, changes made by administrators are kept.
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
    engine: AsyncEngine, pool: Pool, home: Path, api_url: str, declared: Sequence[Principal], say: Say
) -> None:
    """Create missing principals, apply changes of the project's file, and disable principals removed from it."""
    caller, record = database_caller(), home / "principals.json"
    existing = {principal.name: principal for principal in await principals.listed(engine)}
    applied = _applied(record)
    settings = {principal.name: _settings_of(principal) for principal in declared}
    for principal in declared:
        name = principal.name
        before = applied.get(name, {})
        changed = before.get("wish") != settings[name] and existing.get(name) != principal
        if name not in existing or changed:
            await principals.put(engine, caller, principal, reason=REASON)
            if name in existing:
                say(f"{name} now has {_roles_and_groups(principal)}, as set in pyproject.toml")
        if before.get("removed"):
            await principals.set_disabled(engine, caller, name, False, reason=REASON)
            say(f"{name} is enabled again, because it is back in pyproject.toml")
    removed = {name: entry for name, entry in applied.items() if name not in settings}
    for name, entry in removed.items():
        if name in existing and not entry.get("removed"):
            await principals.set_disabled(engine, caller, name, True, reason=REASON)
            say(f"{name} is disabled, because it is no longer in pyproject.toml")
    kept = {name: entry | {"removed": True} for name, entry in removed.items() if name in existing}
    write_private(record, json.dumps(kept | {name: {"wish": settings_} for name, settings_ in settings.items()}))
    await _make_profiles(engine, pool, home, api_url, list(settings), say, without=removed)


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
        if not await _key_is_usable(pool, key_file, name):
            created = await api_keys.create(
                engine, database_caller(), principal=name, lifetime=KEY_LIFETIME, note="created by agentgrid dev"
            )
            write_private(key_file, created.secret + "\n")
            say(f"a new key for {name} is in {key_file}")
        profiles[name] = Profile(name=name, url=api_url, key_file=key_file)
    if profiles != before:
        save_profiles(file, profiles)


async def _key_is_usable(pool: Pool, file: Path, principal: str) -> bool:
    key = _read_if_exists(file)
    if key is None:
        return False
    try:
        authenticated = await api_keys.authenticate(pool, key)
    except Unauthenticated:
        return False
    return authenticated.principal.name == principal and authenticated.expires_at > datetime.now(UTC) + RENEW_BEFORE


def _read_if_exists(file: Path) -> str | None:
    return read_private(file).strip() if file.exists() else None


def _applied(record: Path) -> dict[str, dict[str, Any]]:
    """The settings applied by earlier starts, by name."""
    if not record.exists():
        return {}
    try:
        return {name: dict(entry) for name, entry in json.loads(read_private(record)).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise SettingsError(f"{record} is invalid ({error}); delete it to apply pyproject.toml again") from None


def _settings_of(principal: Principal) -> dict[str, Any]:
    return {
        "kind": principal.kind.value,
        "roles": sorted(principal.roles),
        "groups": sorted(principal.groups),
        "workflows": sorted(principal.workflows),
    }


def _roles_and_groups(principal: Principal) -> str:
    roles = f"the roles {', '.join(sorted(principal.roles)) or '(none)'}"
    return f"{roles} and the groups {', '.join(sorted(principal.groups)) or '(none)'}"
