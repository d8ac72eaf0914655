"""The cookie of a browser session.

Cookies don't know ports, so its name has the port of the configured URL: two installations on one machine keep each other's sessions. Not the port of
the `Host` header, so that a proxy in between changes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api.errors import WireError

PORTS = {"http": 80, "https": 443}


def _is_secure(api_url: str) -> bool:
    return urlsplit(api_url).scheme == "https"


def name_of(api_url: str) -> str:
    """The cookie's name. With https the prefix has browsers refuse it from other hosts of the domain, and without `Secure`."""
    url = urlsplit(api_url)
    prefix = "__Host-" if _is_secure(api_url) else ""
    return f"{prefix}agentgrid_session_{url.port or PORTS.get(url.scheme, 80)}"


def presented(request: Request, api_url: str) -> str | None:
    """The cookie's value. Raises WireError if there are several: a page on another port of this host can have set one of them."""
    name = name_of(api_url)
    pairs = [pair.partition("=") for header in request.headers.getlist("cookie") for pair in header.split(";")]
    found = [value.strip() for given, _, value in pairs if given.strip() == name]
    if len(found) > 1:
        raise WireError(
            400,
            "bad_request",
            f"there is more than one cookie {name}: delete the cookies of this host, and sign in again",
        )
    return found[0] if found else None


def give(response: Response, api_url: str, token: str, *, until: datetime) -> None:
    """Set the cookie. Scripts can't read it, and no request that another site causes carries it."""
    response.set_cookie(
        name_of(api_url),
        token,
        max_age=max(0, int((until - datetime.now(UTC)).total_seconds())),
        path="/",
        secure=_is_secure(api_url),
        httponly=True,
        samesite="strict",
    )


def take_away(response: Response, api_url: str) -> None:
    """Delete the cookie."""
    response.delete_cookie(name_of(api_url), path="/", secure=_is_secure(api_url), httponly=True, samesite="strict")
