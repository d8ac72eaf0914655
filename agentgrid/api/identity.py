"""Who makes a request. Each kind of credential is one kind of identity; `routing.py` and the streams treat them all alike.

A new kind is a subclass, added to `IDENTITIES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

from starlette.requests import Request

from agentgrid.api import cookies
from agentgrid.api.errors import WireError
from agentgrid.control import api_keys, sessions
from agentgrid.control.plane import ControlPlane
from agentgrid.control.sessions import OpenSession
from agentgrid.db.pool import Pool
from agentgrid.domain.principals import Principal
from agentgrid.errors import Unauthenticated


@dataclass(frozen=True, kw_only=True)
class Identity(ABC):
    """The principal behind a valid credential."""

    from_browser: ClassVar[bool]
    """Whether browsers send the credential automatically. A page of another origin could then use it, so `routing.py` refuses such requests."""

    principal: Principal
    """With its roles at the time of the request."""
    key_id: str
    """The API key recorded in the audit log: the credential itself, or the key it was issued for."""
    issuers: tuple[str, ...]
    """Who else has seen the credential and could have made the request."""
    key_expires_at: datetime
    session: OpenSession | None = None
    """The browser session opened with the key, if any."""

    @classmethod
    @abstractmethod
    def presented(cls, request: Request) -> str | None:
        """The request's credential of this kind, unchecked, or None. Raises WireError if it is ambiguous."""

    @classmethod
    @abstractmethod
    async def authenticate(cls, plane: ControlPlane, presented: str) -> Self:
        """The identity behind the credential. Raises Unauthenticated, which must not reveal whether the credential ever existed."""

    @abstractmethod
    async def current(self, pool: Pool) -> Principal | None:
        """The principal as it is now, or None if the credential was revoked or has expired, or the principal was disabled.

        Event streams check again when `agentgrid_access` notifies, and every `CHECK_SECONDS`.
        """


@dataclass(frozen=True, kw_only=True)
class KeyIdentity(Identity):
    """Authenticated by an API key in the `Authorization` header."""

    from_browser: ClassVar[bool] = False

    @classmethod
    def presented(cls, request: Request) -> str | None:
        """The header, with the scheme's case normalised."""
        headers = request.headers.getlist("authorization")
        if len(headers) > 1:
            raise WireError(400, "bad_request", "the request has more than one Authorization header: send one")
        if not headers:
            return None
        scheme, _, words = headers[0].partition(" ")
        return f"{'Bearer' if scheme.lower() == 'bearer' else scheme} {words.strip()}"

    @classmethod
    async def authenticate(cls, plane: ControlPlane, presented: str) -> Self:
        scheme, _, key = presented.partition(" ")
        if scheme != "Bearer":
            raise Unauthenticated("the Authorization scheme must be Bearer: send `Authorization: Bearer ag_...`")
        authenticated = await api_keys.authenticate(plane.pool, key)
        return cls(
            principal=authenticated.principal,
            key_id=authenticated.key_id,
            issuers=authenticated.issuers,
            key_expires_at=authenticated.expires_at,
        )

    async def current(self, pool: Pool) -> Principal | None:
        """The current owner of the key."""
        return await api_keys.holder(pool, self.key_id)


@dataclass(frozen=True, kw_only=True)
class SessionIdentity(Identity):
    """Authenticated by the cookie of a browser session."""

    from_browser: ClassVar[bool] = True

    @classmethod
    def presented(cls, request: Request) -> str | None:
        plane: ControlPlane = request.app.state.plane
        return cookies.presented(request, plane.settings.api_url)

    @classmethod
    async def authenticate(cls, plane: ControlPlane, presented: str) -> Self:
        return cls.of(await sessions.authenticate(plane.pool, presented))

    @classmethod
    def of(cls, session: OpenSession) -> Self:
        """The identity of an authenticated session."""
        return cls(
            principal=session.principal,
            key_id=session.key_id,
            issuers=session.issuers,
            key_expires_at=session.key_expires_at,
            session=session,
        )

    async def current(self, pool: Pool) -> Principal | None:
        """The current owner of the session's key."""
        return None if self.session is None else await sessions.holder(pool, self.session.session_id)


IDENTITIES: list[type[Identity]] = [KeyIdentity, SessionIdentity]
"""In the order in which `routing.py` looks for them. The first kind present in a request decides; no other is tried."""
