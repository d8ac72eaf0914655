"""Who makes a request. Each kind of credential is one kind of identity; the gate and the streams know no other difference between them.

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
    """Whether browsers send the credential by themselves. Then a page of another origin could use it, and the gate refuses such requests."""

    principal: Principal
    """With its roles, as of the request."""
    key_id: str
    """The API key that the audit log names for it: the credential itself, or the key that it was issued for."""
    issuers: tuple[str, ...]
    """Who else has seen the credential, and so could have made the request."""
    key_expires_at: datetime
    session: OpenSession | None = None
    """The browser session that was opened with the key."""

    @classmethod
    @abstractmethod
    def presented(cls, request: Request) -> str | None:
        """The request's credential of this kind, unchecked, or None if it has none. Raises WireError if that is ambiguous."""

    @classmethod
    @abstractmethod
    async def authenticate(cls, plane: ControlPlane, presented: str) -> Self:
        """The identity behind the credential. Raises Unauthenticated, which must not tell whether the credential ever existed."""

    @abstractmethod
    async def current(self, pool: Pool) -> Principal | None:
        """The principal as it is now, or None once the credential was revoked, has expired, or its principal was disabled.

        Event streams ask again when `agentgrid_access` notifies, and every `CHECK_SECONDS`.
        """


@dataclass(frozen=True, kw_only=True)
class KeyIdentity(Identity):
    """By an API key in the `Authorization` header."""

    from_browser: ClassVar[bool] = False

    @classmethod
    def presented(cls, request: Request) -> str | None:
        """The header, with the scheme in its one spelling."""
        given = request.headers.getlist("authorization")
        if len(given) > 1:
            raise WireError(400, "bad_request", "there is more than one Authorization header")
        if not given:
            return None
        scheme, _, words = given[0].partition(" ")
        return f"{'Bearer' if scheme.lower() == 'bearer' else scheme} {words.strip()}"

    @classmethod
    async def authenticate(cls, plane: ControlPlane, presented: str) -> Self:
        """The owner of the key."""
        scheme, _, key = presented.partition(" ")
        if scheme != "Bearer":
            raise Unauthenticated("the Authorization scheme must be Bearer: send `Authorization: Bearer ag_...`")
        known = await api_keys.authenticate(plane.pool, key)
        return cls(
            principal=known.principal, key_id=known.key_id, issuers=known.issuers, key_expires_at=known.expires_at
        )

    async def current(self, pool: Pool) -> Principal | None:
        """The key's current owner."""
        return await api_keys.holder(pool, self.key_id)


@dataclass(frozen=True, kw_only=True)
class SessionIdentity(Identity):
    """By the cookie of a browser session."""

    from_browser: ClassVar[bool] = True

    @classmethod
    def presented(cls, request: Request) -> str | None:
        """The cookie's value."""
        plane: ControlPlane = request.app.state.plane
        return cookies.presented(request, plane.settings.api_url)

    @classmethod
    async def authenticate(cls, plane: ControlPlane, presented: str) -> Self:
        """The owner of the session's key."""
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
"""In the order in which the gate looks for them: the first kind whose credential a request has decides, and no other is tried."""
