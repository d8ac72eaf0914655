"""The control plane's connections and the caller, shared by all verbs."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from agentgrid.control.inputs import Checker
from agentgrid.control.signing import Signer
from agentgrid.control.waits import Waits
from agentgrid.db.pool import Connection, Pool, Turns
from agentgrid.db.starts import StartConditions
from agentgrid.db.tables import PrincipalRow
from agentgrid.domain.principals import SYSTEM, Principal, PrincipalKind, Role
from agentgrid.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """A process's connections to the database and to Temporal, and its signing key.

    The verbs open their own transactions: a command must be committed before it is delivered, and settled afterwards.
    """

    settings: Settings
    engine: AsyncEngine
    pool: Pool
    """The driver's pool, used directly for the most frequent queries and (limited by `turns`) the most frequent writes."""
    temporal: Client
    signer: Signer
    checker: Checker = field(default_factory=Checker)
    turns: Turns = field(default_factory=Turns)
    start_conditions: dict[str, StartConditions] = field(default_factory=dict)
    """The last known start conditions, by workflow."""
    waits: Waits = field(default_factory=Waits)

    def changing(self) -> AbstractAsyncContextManager[Connection]:
        """A driver connection for one writing statement, which may wait for a lock."""
        return self.turns.changing(self.pool)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The caller and the request: the part of a command that is the same for every verb."""

    principal: Principal
    key_id: str | None = None
    """The API key's id, not its secret."""
    session_id: str | None = None
    """The browser session used, if any; it was opened with the key."""
    issuers: tuple[str, ...] = ()
    """Who issued the key, and so could also use it: principals, or `system` for the command line on the database's machine."""
    address: str | None = None
    route: str = ""
    """The route with its identifiers filled in. Principal and route are the scope of an idempotency key."""
    idempotency_key: str | None = None
    body: Any = field(default=None, repr=False)
    """The request body as sent, compared when an idempotency key is reused."""

    @property
    def persons(self) -> frozenset[str]:
        """Everybody who could have made this request: the principal, and everybody else who has seen the key."""
        return frozenset({self.principal.name, *self.issuers}) - {SYSTEM}


def principal_of(row: PrincipalRow) -> Principal:
    """The principal stored in a row. Roles unknown to this version are ignored."""
    known = {role.value for role in Role}
    return Principal(
        name=row.name,
        kind=PrincipalKind(row.kind),
        roles=frozenset(Role(role) for role in row.roles if role in known),
        groups=frozenset(row.groups),
        workflows=frozenset(row.workflows),
    )
