"""Sign-in links to the console, for the operator and for somebody who decides.

`127.0.0.1` and `localhost` are two sites to a browser, with a cookie each: two people can act side by side in one window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from agentgrid.cli.profiles import DEFAULT_PROFILE
from agentgrid.control.private import read_private
from agentgrid.domain.principals import Permission, Principal, PrincipalKind
from agentgrid.errors import SettingsError

HOSTS = ("127.0.0.1", "localhost")
SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class SignInLink:
    """A link that signs one browser in, once."""

    url: str
    name: str


def guests(principals: Sequence[Principal]) -> list[str]:
    """Whom the links are for: the command line's usual principal, and the first who decides. People only."""
    people = [each for each in principals if each.kind is PrincipalKind.HUMAN]
    usual = [each.name for each in people if each.name == DEFAULT_PROFILE]
    deciding = [each.name for each in people if each.name != DEFAULT_PROFILE and each.may(Permission.DECIDE)]
    return [*usual, *deciding[:1]]


async def sign_in_links(api_url: str, home: Path, names: Sequence[str]) -> list[SignInLink]:
    """A link for each of these principals, on a host of its own. None if the console is not installed, or the API can't make them now."""
    made: list[SignInLink] = []
    try:
        async with httpx.AsyncClient(base_url=api_url, timeout=SECONDS, trust_env=False) as http:
            page = await http.get("/sign-in", headers={"Accept": "text/html"})
            if page.status_code != 200:
                return []
            for name, host in zip(names, HOSTS, strict=False):
                key = read_private(home / "keys" / f"{name}.key").strip()
                answer = await http.post("/api/v1/session/codes", headers={"Authorization": f"Bearer {key}"})
                if answer.status_code == 201:
                    made.append(SignInLink(url=_on(host, answer.json()), name=name))
    except (httpx.HTTPError, OSError, SettingsError):
        # The stack runs all the same, and `agentgrid console` makes links at any time.
        return made
    return made


def _on(host: str, made: Mapping[str, str]) -> str:
    url = urlsplit(made["url"])
    return url._replace(netloc=f"{host}:{url.port}").geturl()
