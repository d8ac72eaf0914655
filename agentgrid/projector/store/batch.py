"""State shared by the steps of one store transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import asyncpg

from agentgrid.db.feed import NewEvent
from agentgrid.projector import rows
from agentgrid.projector.identity import SignedMemo
from agentgrid.projector.store.values import CommitResult, FoldResult

if TYPE_CHECKING:
    from agentgrid.projector.store.values import Connection


@dataclass(kw_only=True)
class Batch:
    """The passes to write, the connection, and the results so far."""

    db: Connection
    namespace: str
    items: Sequence[FoldResult]
    """In order of execution id; reduced to the accepted ones by `_accept`."""
    run_of: dict[str, str] = field(default_factory=dict)
    """The run of each execution."""
    outdated: dict[str, str] = field(default_factory=dict)
    """Open executions of the batch's runs with states of older fold versions, and their workflow ids."""
    committed: CommitResult = field(default_factory=CommitResult)
    events: list[NewEvent] = field(default_factory=list)
    keys: list[tuple[str, str, datetime | None]] | None = None
    memos: dict[str, SignedMemo | None] = field(default_factory=dict)
    unattributed: dict[tuple[str, int], str | None] = field(default_factory=dict)
    """Why a signal is unattributed, by execution and event; None if the claimed principal sent it."""

    async def registered_keys(self) -> dict[str, str]:
        """All public signing keys ever registered, by key id; read once per batch."""
        if self.keys is None:
            records = await self.db.fetch("SELECT key_id, public_key, revoked_at FROM signing_keys")
            self.keys = [(record["key_id"], record["public_key"], record["revoked_at"]) for record in records]
        return {key_id: public_key for key_id, public_key, _ in self.keys}

    async def revoked_keys(self) -> dict[str, datetime]:
        """The revocation times of revoked signing keys, by key id."""
        await self.registered_keys()
        return {key_id: revoked_at for key_id, _, revoked_at in self.keys or () if revoked_at is not None}

    async def write(self, statement: str, table: str, values: list[dict[str, Any]]) -> list[asyncpg.Record]:
        """Run an insert or a patch and count the changed rows per execution."""
        if not values:
            return []
        records = await self.db.fetch(statement, rows.wire(table, values))
        for record in records:
            self.committed.written[record["execution_id"]] += 1
        return list(records)
