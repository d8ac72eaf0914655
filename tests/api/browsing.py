"""A browser as seen by the API: a cookie jar, and the headers sent by pages of one origin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from agentgrid.api.cookies import name_of
from tests.api.conftest import Api

OWN = "http://127.0.0.1:8700"
SAME = {"Sec-Fetch-Site": "same-origin"}
PAGE = {"Origin": OWN, **SAME}
"""What a page of the console sends with a change."""


class Browser:
    """One browser with the console open."""

    def __init__(self, http: httpx.AsyncClient, cookie: str) -> None:
        self.http = http
        self.cookie = cookie

    @property
    def token(self) -> str:
        return self.http.cookies[self.cookie]

    async def sign_in(self, **credential: Any) -> httpx.Response:
        return await self.http.post("/api/v1/session", json=credential, headers=PAGE)

    async def get(self, path: str, **over: Any) -> httpx.Response:
        return await self.http.get(f"/api/v1{path}", headers=SAME, **over)

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.http.post(f"/api/v1{path}", json=body or {}, headers=PAGE | headers)

    async def sign_out(self) -> httpx.Response:
        return await self.http.delete("/api/v1/session", headers=PAGE)


@asynccontextmanager
async def browser_of(api: Api, url: str | None = None) -> AsyncIterator[Browser]:
    """A browser without cookies. url: a listening server to use instead of the application in this process."""
    http = api.client(None) if url is None else httpx.AsyncClient(base_url=url, timeout=30)
    async with http:
        yield Browser(http, name_of(api.settings.api_url))


async def code_of(api: Api, key: str) -> str:
    """A sign-in code created with this key."""
    async with api.client(None) as client:
        response = await client.post("/api/v1/session/codes", headers={"Authorization": f"Bearer {key}"})
        assert response.status_code == 201, response.text
        return str(response.json()["code"])
