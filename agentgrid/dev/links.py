"""Sign-in links to the console, for the operator and for one approver.

To a browser `127.0.0.1` and `localhost` are two sites with separate cookies, so two people can be signed in side by side in one window.
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


def link_recipients(principals: Sequence[Principal]) -> list[str]:
    """The people who get links: the command line's default principal and the first other one who may decide."""
    people = [person for person in principals if person.kind is PrincipalKind.HUMAN]
    default = [person.name for person in people if person.name == DEFAULT_PROFILE]
    deciders = [person.name for person in people if person.name != DEFAULT_PROFILE and person.may(Permission.DECIDE)]
    return [*default, *deciders[:1]]


async def sign_in_links(api_url: str, home: Path, names: Sequence[str]) -> list[SignInLink]:
    """A link for each of these principals, each on its own host. Empty if the console is not installed or the API can't create links now."""
    links: list[SignInLink] = []
    try:
        async with httpx.AsyncClient(base_url=api_url, timeout=SECONDS, trust_env=False) as http:
            page = await http.get("/sign-in", headers={"Accept": "text/html"})
            if page.status_code != 200:
                return []
            for name, host in zip(names, HOSTS, strict=False):
                key = read_private(home / "keys" / f"{name}.key").strip()
                answer = await http.post("/api/v1/session/codes", headers={"Authorization": f"Bearer {key}"})
                if answer.status_code == 201:
                    links.append(SignInLink(url=_on(host, answer.json()), name=name))
    except (httpx.HTTPError, OSError, SettingsError):
        # Not fatal: the stack runs without links, and `agentgrid console` creates them at any time.
        return links
    return links


def _on(host: str, code: Mapping[str, str]) -> str:
    url = urlsplit(code["url"])
    return url._replace(netloc=f"{host}:{url.port}").geturl()
