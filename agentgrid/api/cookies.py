"""The cookie of a browser session.

Cookies ignore ports, so the cookie's name contains the port of the configured URL: two installations on one machine keep separate sessions. The
port of the `Host` header is not used, so that a proxy in between makes no difference.
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
    """The cookie's name. With https, the prefix makes browsers refuse the cookie from other hosts of the domain and without `Secure`."""
    url = urlsplit(api_url)
    prefix = "__Host-" if _is_secure(api_url) else ""
    return f"{prefix}agentgrid_session_{url.port or PORTS.get(url.scheme, 80)}"


def presented(request: Request, api_url: str) -> str | None:
    """The cookie's value. Raises WireError if there are several, since a page on another port of this host may have set one of them."""
    name = name_of(api_url)
    pairs = [pair.partition("=") for header in request.headers.getlist("cookie") for pair in header.split(";")]
    values = [value.strip() for cookie_name, _, value in pairs if cookie_name.strip() == name]
    if len(values) > 1:
        raise WireError(
            400,
            "bad_request",
            f"there is more than one cookie named {name}: delete this host's cookies and sign in again",
        )
    return values[0] if values else None


def set_cookie(response: Response, api_url: str, token: str, *, until: datetime) -> None:
    """Set the cookie. Scripts can't read it, and it isn't sent with requests caused by other sites."""
    response.set_cookie(
        name_of(api_url),
        token,
        max_age=max(0, int((until - datetime.now(UTC)).total_seconds())),
        path="/",
        secure=_is_secure(api_url),
        httponly=True,
        samesite="strict",
    )


def delete_cookie(response: Response, api_url: str) -> None:
    response.delete_cookie(name_of(api_url), path="/", secure=_is_secure(api_url), httponly=True, samesite="strict")
