"""Headers by mount: a made-up static site with its own content policy and caching, beside the API, whose headers are unaffected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from agentgrid.api.mounts import CONSOLE, MOUNTS, STRICT, HeaderPolicy
from tests.api.conftest import Api

CSP = "default-src 'none'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'"
SITE = HeaderPolicy(
    changes={"Content-Security-Policy": CSP, "Referrer-Policy": "same-origin", "Permissions-Policy": "camera=()"},
    cache="public, max-age=60",
)
API_HEADERS = STRICT | {"Cache-Control": "no-store"}
SITE_HEADERS = STRICT | dict(SITE.changes)


async def crash(_: Request) -> Response:
    raise RuntimeError("a bug")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    (folder / "folder").mkdir()
    for page in ("index.html", "app.js", "folder/index.html"):
        (folder / page).write_text("hello")
    return folder


@pytest.fixture
async def client(api: Api, pages: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API with the site at /site, and a crashing route in each."""
    routes = api.app.router.routes
    before = list(routes)
    routes += [
        Route("/site/crash", crash),
        Route("/api/crash", crash),
        Mount("/site", StaticFiles(directory=pages, html=True)),
    ]
    monkeypatch.setitem(MOUNTS, "/site", SITE)
    async with api.client(None) as client:
        yield client
    routes[:] = before


def shown(answer: httpx.Response, names: dict[str, str]) -> dict[str, str | None]:
    return {name: answer.headers.get(name) for name in names}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/site/", {}, 200),
        ("HEAD", "/site/app.js", {}, 200),
        ("GET", "/site/app.js", {"Range": "bytes=0-1"}, 206),
        ("GET", "/site/folder", {}, 307),
        ("GET", "/site/missing.js", {}, 404),
        ("GET", "/site/%2e%2e/api/v1/me", {}, 404),
        ("POST", "/site/app.js", {}, 405),
        ("GET", "/site/", {"Host": "evil.example"}, 400),
        ("GET", "/site/", {"Origin": "https://evil.example"}, 403),
        ("GET", "/site/?token=x", {}, 400),
        ("GET", "/site/crash", {}, 500),
    ],
)
async def test_every_response_under_a_mount_has_its_headers_and_only_successful_ones_are_cached(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str], status: int
):
    response = await client.request(method, path, headers=headers)
    assert response.status_code == status
    assert shown(response, SITE_HEADERS) == SITE_HEADERS
    assert response.headers["cache-control"] == ("public, max-age=60" if status < 300 else "no-store")


async def test_an_unchanged_page_stays_cached(client: httpx.AsyncClient):
    etag = (await client.get("/site/app.js")).headers["etag"]
    response = await client.get("/site/app.js", headers={"If-None-Match": etag})
    assert (response.status_code, response.headers["cache-control"]) == (304, "public, max-age=60")


OF_THE_API = [
    ("/healthz", {}, 200),
    ("/metrics", {}, 401),
    ("/api/v1/me", {}, 401),
    ("/api/openapi.json", {}, 200),
    ("/api/site/", {}, 404),
    ("/api/v1/me", {"Host": "evil.example"}, 400),
    ("/api/v1/me", {"Origin": "https://evil.example"}, 403),
    ("/api/v1/me?token=x", {}, 400),
    ("/api/crash", {}, 500),
]


@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize(("path", "headers", "status"), [*OF_THE_API, ("/sitemap", {}, 404), ("/SITE/", {}, 404)])
async def test_a_mount_at_the_root_does_not_change_the_apis_headers(
    client: httpx.AsyncClient, monkeypatch, root: bool, path: str, headers: dict[str, str], status: int
):
    if root:
        monkeypatch.setitem(MOUNTS, "/", SITE)
    response = await client.get(path, headers=headers)
    assert response.status_code == status
    loosened = not any(path.startswith(item) for item in ("/api", "/healthz", "/metrics"))
    mount = SITE if root else CONSOLE
    expected = STRICT | dict(mount.changes) | {"Cache-Control": "no-store"} if loosened else API_HEADERS
    assert shown(response, expected) == expected
    assert ("permissions-policy" in response.headers) == loosened
