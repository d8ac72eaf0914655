"""Pins of MCP servers: a server's listing as reviewed, in the project's file `mcp/<server>.json`.

Names, descriptions, schemas and annotations come from the server and are never trusted: a tool is destructive until its risk is set in the
file. The digest covers the whole listing, so a changed, added, removed or renamed tool holds the server.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from agentgrid.domain.canonical import sorted_json
from agentgrid.domain.policies import Risk
from agentgrid.domain.secrets import known
from agentgrid.sdk.toolsets import Changed

FOLDER = "mcp"
MAX_BYTES = 4 * 1024 * 1024
MAX_TOOLS = 500
MAX_CHANGED = 50
MAX_ENTRY = 8_000

What = Literal["added", "removed", "changed"]
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
REFUSED_VARIABLES = re.compile(r"LD_.*|DYLD_.*|PYTHON.*|NODE_OPTIONS|PATH|HOME|BASH_ENV|ENV", re.IGNORECASE)
"""Variables that could change which code runs."""


class PinUnusable(Exception):
    """Why a pin can't be used."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """How to reach a server: a command for stdio, or the URL for streamable HTTP."""

    name: str
    command: tuple[str, ...] = ()
    url: str = ""
    environment: tuple[str, ...] = ()
    """Names of the secrets that its process receives as environment variables."""
    auth: str | None = None
    """Name of the secret sent as a bearer token."""

    @property
    def shown(self) -> str:
        """The command or URL, on one line."""
        return self.url or " ".join(self.command)

    @property
    def program(self) -> str:
        """The program's name or the URL's origin, without arguments and paths, which may contain secrets."""
        if not self.url:
            return self.command[0].rsplit("/", 1)[-1]
        url = urlsplit(self.url)
        return f"{url.scheme}://{url.netloc}"


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A server, its reviewed listing, and the risks set for its tools."""

    server: Server
    tools: tuple[Mapping[str, Any], ...]
    risks: Mapping[str, Risk] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest of the listing."""
        return digest_of(self.tools)

    def accepting(self, tools: Sequence[Mapping[str, Any]]) -> Pin:
        """This pin with a new listing. Only unchanged tools keep their risk."""
        before = {tool["name"]: tool for tool in self.tools}
        same = {tool["name"] for tool in tools if before.get(tool["name"]) == tool}
        return replace(
            self, tools=tuple(tools), risks={name: risk for name, risk in self.risks.items() if name in same}
        )

    def text(self) -> str:
        """The file's content."""
        server = self.server
        reached = {"url": server.url, "auth": server.auth} if server.url else {"command": list(server.command)}
        value = {
            "server": server.name,
            **reached,
            **({"environment": list(server.environment)} if server.environment else {}),
            "risk": {tool["name"]: self.risks.get(tool["name"], "unreviewed") for tool in self.tools},
            "digest": self.digest,
            "untrusted_listing": list(self.tools),
        }
        text = json.dumps(value, indent=2, ensure_ascii=False)
        # The server's text must not control the terminal that shows the file, nor hide part of itself.
        return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text) + "\n"

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(self.text(), encoding="utf-8")
        partial.replace(path)


def path_of(name: str) -> str:
    """Where a project keeps a server's pin."""
    return f"{FOLDER}/{name}.json"


def digest_of(tools: Sequence[Mapping[str, Any]]) -> str:
    """A listing's digest, whatever its order."""
    return hashlib.sha256(sorted_json(sorted(tools, key=lambda tool: str(tool["name"])))).hexdigest()


def read(path: Path, *, edited: bool = False) -> Pin:
    """Read the pin in a file. edited: whether its listing may have been edited. Raises PinUnusable, FileNotFoundError."""
    if path.stat().st_size > MAX_BYTES:
        raise PinUnusable(f"{path} is over {MAX_BYTES // 1024 // 1024} MiB")
    try:
        value = json.loads(path.read_bytes())
        pin = _pin(value)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PinUnusable(f"{path} can't be read: {type(error).__name__}: {str(error)[:200]}") from None
    if not edited and value.get("digest") != pin.digest:
        raise PinUnusable(
            f"the listing in {path} was edited: its digest does not match; run `agentgrid mcp accept {pin.server.name}`"
        )
    return pin


def _pin(value: Any) -> Pin:
    tools = tuple(value["untrusted_listing"])
    risks = {str(name): Risk(risk) for name, risk in dict(value.get("risk") or {}).items() if risk != "unreviewed"}
    if missing := sorted(set(risks) - {str(tool["name"]) for tool in tools}):
        raise ValueError(f"it sets a risk for {missing[0]!r}, which is not in the listing")
    server = Server(
        name=str(value["server"]),
        command=tuple(map(str, value.get("command") or ())),
        url=str(value.get("url") or ""),
        environment=tuple(map(str, value.get("environment") or ())),
        auth=value.get("auth"),
    )
    if (wrong := fault_of(server)) is not None:
        raise ValueError(wrong)
    return Pin(server=server, tools=tools, risks=risks)


def fault_of(server: Server) -> str | None:
    """What is wrong with how to reach a server, or None."""
    if NAME.fullmatch(server.name) is None:
        return f"a server's name must match {NAME.pattern}"
    if bool(server.command) == bool(server.url):
        return "give either a command or a URL"
    if server.url and not server.url.startswith(("https://", "http://")):
        return "its URL must begin with https:// or http://"
    if server.url and "@" in server.url.split("/")[2]:
        return "its URL must not contain a user name: use auth"
    for name in server.environment:
        if VARIABLE.fullmatch(name) is None or REFUSED_VARIABLES.fullmatch(name):
            return f"{name!r} can't be an environment variable of a server"
    return None


def changes(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> dict[str, What]:
    """What happened to each tool that differs between the listings: `added`, `removed` or `changed`."""
    old, new = ({str(tool["name"]): tool for tool in tools} for tools in (before, after))
    states: dict[str, What] = {name: "added" for name in new.keys() - old.keys()}
    states |= {name: "removed" for name in old.keys() - new.keys()}
    states |= {name: "changed" for name in old.keys() & new.keys() if old[name] != new[name]}
    return dict(sorted(states.items()))


def changed(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> tuple[Changed, ...]:
    """The tools that differ between the listings, with both versions: the first `MAX_CHANGED`, each cut to `MAX_ENTRY` characters.

    A server may list secrets that it was given, so they are redacted.
    """
    old, new = ({str(tool["name"]): tool for tool in tools} for tools in (before, after))
    different = list(changes(before, after).items())[:MAX_CHANGED]
    return tuple(
        Changed(
            tool=plain(known.beginning(name, 100)), what=what, before=_entry(old.get(name)), after=_entry(new.get(name))
        )
        for name, what in different
    )


def _entry(tool: Mapping[str, Any] | None) -> str | None:
    if tool is None:
        return None
    text = plain(known.text(json.dumps(tool, indent=2, ensure_ascii=False, sort_keys=True)))
    return text if len(text) <= MAX_ENTRY else f"{text[:MAX_ENTRY]}…"


def plain(text: str) -> str:
    """The text without NUL and lone surrogates, which the database can't store."""
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
