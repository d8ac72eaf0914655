"""Profiles: the server and the API key to use. A key comes from a private file or the environment, never from argv."""

from __future__ import annotations

import contextlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from agentgrid.cli.project import home
from agentgrid.control.private import read_private, write_private
from agentgrid.errors import SettingsError

DEFAULT_PROFILE = "operator"
DEFAULT_URL = "http://127.0.0.1:8700"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One entry of `profiles.toml`."""

    name: str
    url: str
    key_file: Path


@dataclass(frozen=True, kw_only=True)
class ApiTarget:
    """The server and the API key for a command."""

    url: str
    key: str | None = field(repr=False)
    profile: str | None
    """None if the key came from the environment."""

    @property
    def explicit_profile(self) -> str | None:
        """The profile that a command in another terminal must name to use this target; None for the default profile."""
        return self.profile if self.profile != DEFAULT_PROFILE else None


def profiles_file(folder: Path | None = None) -> Path:
    """The file that stores the profiles."""
    return (folder or home()) / "profiles.toml"


def load_profiles(file: Path) -> dict[str, Profile]:
    """The profiles by name; empty if there is no file."""
    if not file.exists():
        return {}
    try:
        tables = tomllib.loads(read_private(file)).get("profiles", {})
        return {
            name: Profile(name=name, url=checked_url(entry["url"]), key_file=file.parent / entry["key_file"])
            for name, entry in tables.items()
        }
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"{file} is invalid ({error}); each entry must be a table [profiles.NAME] with url and key_file"
        ) from None


def save_profiles(file: Path, profiles: Mapping[str, Profile]) -> None:
    """Write the profiles with mode 0600. Key files below the file's folder are stored as relative paths."""
    tables = []
    for name, profile in sorted(profiles.items()):
        key_file = os.path.relpath(profile.key_file, file.parent)
        if key_file.startswith(".."):
            key_file = str(profile.key_file)
        # JSON's strings are also TOML's basic strings.
        tables.append(
            f"[profiles.{json.dumps(name)}]\nurl = {json.dumps(profile.url)}\nkey_file = {json.dumps(key_file)}\n"
        )
    write_private(file, "\n".join(tables))


def resolve(profile: str | None) -> ApiTarget:
    """The server and key: from `--profile`, else AGENTGRID_API_KEY, else AGENTGRID_PROFILE, else the profile `operator`.

    Raises SettingsError if that is ambiguous: acting as the wrong principal is worse than not acting.
    """
    url = os.environ.get("AGENTGRID_API_URL") or None
    key = os.environ.get("AGENTGRID_API_KEY") or None
    named = os.environ.get("AGENTGRID_PROFILE") or None
    if profile is None and key is not None:
        if named is not None:
            raise SettingsError("both AGENTGRID_API_KEY and AGENTGRID_PROFILE are set; unset one, or pass --profile")
        return ApiTarget(url=checked_url(url or DEFAULT_URL), key=_checked_key(key, "AGENTGRID_API_KEY"), profile=None)
    return _from_profile(profile or named, url)


def _from_profile(name: str | None, url: str | None) -> ApiTarget:
    file = profiles_file()
    profiles = load_profiles(file)
    chosen = profiles.get(name or DEFAULT_PROFILE)
    if chosen is None:
        if name is not None or profiles:
            known = ", ".join(sorted(profiles)) or "none"
            raise SettingsError(f"there is no profile {name or DEFAULT_PROFILE!r} in {file} (profiles there: {known})")
        raise SettingsError(
            f"no server is configured: there is no {file}. `agentgrid dev` starts one and creates profiles; "
            f"for another server set AGENTGRID_API_URL and AGENTGRID_API_KEY"
        )
    if url is not None and checked_url(url) != chosen.url:
        raise SettingsError(
            f"AGENTGRID_API_URL is {url}, but the key of profile {chosen.name!r} belongs to {chosen.url}; "
            f"unset AGENTGRID_API_URL, or set AGENTGRID_API_KEY for that server too"
        )
    key = _checked_key(read_private(chosen.key_file).strip(), str(chosen.key_file))
    return ApiTarget(url=chosen.url, key=key, profile=chosen.name)


def other_targets(target: ApiTarget) -> list[ApiTarget]:
    """The other profiles for the same server whose keys can be read; none if the key came from the environment."""
    if target.profile is None:
        return []
    targets = []
    with contextlib.suppress(SettingsError):
        for name, profile in sorted(load_profiles(profiles_file()).items()):
            if name != target.profile and profile.url == target.url:
                with contextlib.suppress(SettingsError):
                    targets.append(_from_profile(name, None))
    return targets


def checked_url(url: str) -> str:
    """The URL without a trailing slash. Raises SettingsError unless it is an http or https URL with a host."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or not url.isprintable() or " " in url:
        raise SettingsError(f"{url!r} is not a valid server URL; it must look like {DEFAULT_URL}")
    if parts.username is not None:
        raise SettingsError(
            "a server URL must not contain a user or password; set the key in AGENTGRID_API_KEY or a profile"
        )
    return url.rstrip("/")


def _checked_key(key: str, source: str) -> str:
    # The key itself is never shown. Only visible ASCII can be sent in a header.
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(f"{source} doesn't contain an API key, which looks like ag_<id>_<secret>")
    return key
