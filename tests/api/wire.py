"""Raw HTTP: for requests that no client library would send, and the state that they must not change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel

from agentgrid.db.session import reading

LEFT_OUT = {"api_keys": "last_used_at", "sessions": "last_used_at,expires_at"}
"""Columns that authentication writes, whatever is asked."""
LOGS = frozenset({"commands", "events", "reads"})
"""What grows by being asked, also where nothing is done."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def is_problem(self, status: int, code: str) -> None:
        """Check that it is this refusal and reveals no internals."""
        assert self.status == status, self
        assert self.headers["content-type"] == "application/problem+json"
        assert (self.json()["status"], self.json()["code"]) == (status, code)
        assert b"Traceback" not in self.body


class Wire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self.host = host

    async def send(self, raw: bytes) -> None:
        self._writer.write(raw)
        await self._writer.drain()

    async def reply(self, *, seconds: float = 20, bodiless: bool = False) -> Reply:
        """The next response. Interim responses and those to HEAD (bodiless) have no body. Raises IncompleteReadError if the server closes without one."""
        async with asyncio.timeout(seconds):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split()[1])
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = b""
            if bodiless:
                pass
            elif "content-length" in headers:
                body = await self._reader.readexactly(int(headers["content-length"]))
            elif status >= 200 and headers.get("connection") == "close":
                body = await self._reader.read()
            return Reply(status=status, headers=headers, body=body)

    async def hang_up(self) -> None:
        self._writer.transport.abort()

    def request(
        self, method: str, target: str, *headers: str, token: str | None = None, host: str | None = None
    ) -> bytes:
        """A request's head, ready to be sent or followed by a body. Headers are raw lines."""
        lines = [f"{method} {target} HTTP/1.1"]
        if host != "":
            lines.append(f"Host: {host or self.host}")
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        return "\r\n".join([*lines, *headers, "", ""]).encode("utf-8", "surrogateescape")


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    """A connection to the server at this URL."""
    host = urlsplit(url).netloc
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port, limit=16 * 1024 * 1024)
    try:
        yield Wire(reader, writer, host)
    finally:
        writer.transport.abort()


async def exchange(url: str, token: str | None, method: str, target: str, *headers: str, body: bytes = b"") -> Reply:
    """Send one request with a body of known length over its own connection."""
    async with wire(url) as line:
        length = (f"Content-Length: {len(body)}",) if body or method not in ("GET", "HEAD") else ()
        await line.send(line.request(method, target, *headers, *length, token=token) + body)
        return await line.reply()


async def state(engine: AsyncEngine) -> dict[str, tuple[int, str | None]]:
    """The number of rows of each table and a digest of their contents, excluding the request records."""
    rows = {}
    async with reading(engine) as session:
        for table in sorted(set(SQLModel.metadata.tables) - LOGS):
            row = f"to_jsonb(t) - '{{{LEFT_OUT.get(table, '')}}}'::text[]"
            count, digest = (
                await session.execute(
                    text(f"SELECT count(*), md5(string_agg(({row})::text, '|' ORDER BY ({row})::text)) FROM {table} t")
                )
            ).one()
            rows[table] = (count, digest)
    return rows


async def command_counts(engine: AsyncEngine) -> dict[str, int]:
    """The number of commands in each status."""
    async with reading(engine) as session:
        rows = await session.execute(text("SELECT status, count(*) FROM commands GROUP BY status"))
        return {status: count for status, count in rows}
