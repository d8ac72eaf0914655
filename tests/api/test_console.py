"""The console's files and pages, served beside the API from a made-up build, over the wire."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from agentgrid.api import console
from agentgrid.api.mounts import CONSOLE, STRICT
from tests.api.conftest import Api, listening
from tests.api.wire import exchange

INDEX = f'<!doctype html><meta name="nonce" content="{console.NONCE}"><script src="/assets/app-1a2b.js"></script>'
SCRIPT = "console.log('a line of the script');\n" * 200
FILES = {
    "index.html": INDEX,
    "favicon.svg": "<svg/>",
    "assets/app-1a2b.js": SCRIPT,
    ".source-hash": "of the build",
    ".vite/manifest.json": "{}",
}
OUTSIDE = "a file beside the build"
HTML = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("console") / "_dist"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder.parent / "outside.txt").write_text(OUTSIDE)
    (folder / "assets" / "link.txt").symlink_to(folder.parent / "outside.txt")
    return folder


@pytest.fixture(scope="module")
async def url(api: Api, dist: Path) -> AsyncIterator[str]:
    """The URL of an API with this console."""
    before = api.app.router.default
    console.install(api.app.router, dist)
    async with listening(api.app) as url:
        yield url
    api.app.router.default = before


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, headers={"Accept": "text/html,*/*"}, timeout=20) as http:
        yield http


@pytest.mark.parametrize(
    "path", ["/", "/index.html", "/runs/some-run", "/agents/a%2fb", "/apiary", "/assets/../", "//"]
)
async def test_each_page_has_its_own_nonce_and_is_never_stored(url: str, path: str) -> None:
    first, second = [await exchange(url, None, "GET", path, HTML) for _ in range(2)]
    nonces = set()
    for page in (first, second):
        assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        (nonce,) = re.findall(r"'nonce-([\w-]{20,})'", page.headers["content-security-policy"], re.IGNORECASE)
        assert "unsafe" not in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
        assert console.NONCE.encode() not in page.body
        # `exchange` lowercases header names.
        assert nonce in page.body.decode().lower()
        nonces.add(nonce)
    assert len(nonces) == 2


async def test_a_page_echoes_nothing_of_the_request(http: httpx.AsyncClient) -> None:
    """If it were compressed together with attacker-chosen text, a secret could be inferred from the length."""
    page = await http.get("/runs/GUESS?GUESS=GUESS", headers={"X-Guess": "GUESS", "Cookie": "guess=GUESS"})
    assert page.status_code == 200
    assert "GUESS" not in page.text + str(page.headers)


async def test_assets_are_cached_for_a_year_and_other_files_are_revalidated(http: httpx.AsyncClient) -> None:
    script, icon = await http.get("/assets/app-1a2b.js"), await http.get("/favicon.svg")
    assert (script.text, icon.text) == (SCRIPT, "<svg/>")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert icon.headers["cache-control"] == "no-cache"
    unchanged = await http.get("/favicon.svg", headers={"If-None-Match": icon.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    for name, value in (STRICT | dict(CONSOLE.changes)).items():
        assert script.headers[name] == icon.headers[name] == value


async def test_a_missing_asset_is_not_a_page_and_its_404_is_not_cached(http: httpx.AsyncClient) -> None:
    missing = await http.get("/assets/app-0000.js")
    assert (missing.status_code, missing.headers["content-type"]) == (404, PROBLEM)
    assert missing.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/v1/nothing", "/api/v2/runs", "/mcp/nothing", "/healthz/x", "/readyz/", "/metrics/x"]
)
async def test_an_unknown_api_path_is_a_problem_even_for_a_browser(http: httpx.AsyncClient, path: str) -> None:
    response = await http.get(path)
    assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)
    assert response.headers["content-security-policy"] == STRICT["Content-Security-Policy"]


async def test_a_client_that_does_not_accept_html_gets_no_page(http: httpx.AsyncClient) -> None:
    for accept in ("*/*", "application/json", "text/event-stream", ""):
        response = await http.get("/runs/some-run", headers={"Accept": accept})
        assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)


@pytest.mark.parametrize("path", ["/", "/index.html", "/runs/some-run", "/assets/app-1a2b.js", "/favicon.svg"])
async def test_pages_and_files_can_only_be_read(http: httpx.AsyncClient, path: str) -> None:
    head, whole = await http.head(path), await http.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        response = await http.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD"), method
        assert response.headers["content-type"] == PROBLEM


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/assets/../../outside.txt",
        "/assets/..%2f..%2foutside.txt",
        "/assets/%252e%252e/%252e%252e/outside.txt",
        "/..\\outside.txt",
        "//{outside}",
        "/%2f{outside}",
        "/assets/link.txt",
        "/.source-hash",
        "/.vite/manifest.json",
        "/assets/../.vite/manifest.json",
        "/assets",
        "/.vite",
        "/favicon.svg%00",
        "/favicon.svg%00.js",
        "/" + "a" * 300,
    ],
)
async def test_only_the_files_of_the_build_are_served(url: str, dist: Path, path: str) -> None:
    target = path.replace("{outside}", str(dist.parent / "outside.txt").lstrip("/"))
    response = await exchange(url, None, "GET", target)
    assert (response.status, response.headers["content-type"]) == (404, PROBLEM)
    page = await exchange(url, None, "GET", target, HTML)
    assert OUTSIDE.encode() not in page.body
    assert FILES[".source-hash"].encode() not in page.body
    assert page.status in (200, 404)


async def test_scripts_and_responses_are_compressed_but_event_streams_are_not(api: Api, url: str) -> None:
    packed = {"Accept-Encoding": "gzip", "Authorization": f"Bearer {api.tokens['viewer']}"}
    async with httpx.AsyncClient(base_url=url, headers=packed, timeout=20) as http:
        async with http.stream("GET", "/assets/app-1a2b.js") as script:
            assert script.headers["content-encoding"] == "gzip"
            assert gzip.decompress(b"".join([part async for part in script.aiter_raw()])).decode() == SCRIPT
        document = await http.get("/api/openapi.json")
        assert (document.headers["content-encoding"], document.headers["vary"]) == ("gzip", "Accept-Encoding")
        async with http.stream("GET", "/api/v1/events") as events:
            assert "content-encoding" not in events.headers
            assert b"event: hello" in await anext(events.aiter_raw())


async def test_without_a_build_browsers_are_told_how_to_get_one_and_the_api_is_unaffected(
    api: Api, tmp_path: Path
) -> None:
    before = api.app.router.default
    console.install(api.app.router, tmp_path)
    try:
        async with api.client(None) as http:
            page = await http.get("/", headers={"Accept": "text/html"})
            assert (page.status_code, page.headers["content-type"]) == (404, PROBLEM)
            assert "AGENTGRID_SKIP_CONSOLE" in page.json()["detail"]
            assert (await http.get("/api/v1/nothing", headers={"Accept": "text/html"})).json()["detail"] == "Not Found"
            assert (await http.get("/healthz")).status_code == 200
    finally:
        api.app.router.default = before


async def test_a_console_built_while_the_api_runs_is_served(api: Api, tmp_path: Path) -> None:
    before = api.app.router.default
    console.install(api.app.router, tmp_path / "_dist")
    try:
        async with api.client(None) as http:
            assert (await http.get("/", headers={"Accept": "text/html"})).status_code == 404
            (tmp_path / "_dist").mkdir()
            (tmp_path / "_dist" / "index.html").write_text("built meanwhile")
            page = await http.get("/", headers={"Accept": "text/html"})
            assert (page.status_code, page.text) == (200, "built meanwhile")
    finally:
        api.app.router.default = before
