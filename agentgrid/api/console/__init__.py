"""The built web console, served beside the API: static files, and one page for every path of the console.

The files are built from `console/` by the build hook (`hatch_build.py`) into `_dist`. An installation without them has no console.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.routing import Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

DIST = Path(__file__).parent / "_dist"
NONCE = "__CSP_NONCE__"
"""In the built page, in place of a nonce."""
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
OF_THE_API = ("/api/", "/mcp/", "/healthz", "/readyz", "/metrics")
YEAR = "public, max-age=31536000, immutable"


def is_built() -> bool:
    return (DIST / "index.html").is_file()


class Console(StaticFiles):
    """The files of one build. A path that names no file is a page of the console if a browser asks for a page."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)
        self._file = directory / "index.html"

    async def get_response(self, path: str, scope: Scope) -> Response:
        if path in (".", "index.html"):
            return self._index()
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code == 404 and _asks_for_a_page(path, scope):
                return self._index()
            raise
        # The names under assets/ contain a hash of the content.
        response.headers["Cache-Control"] = YEAR if path.startswith("assets/") else "no-cache"
        return response

    def _index(self) -> Response:
        # Read for each page: a console that is built again while the API runs has files of other names.
        page, nonce = self._file.read_text("utf-8"), secrets.token_urlsafe(16)
        headers = {"Content-Security-Policy": PAGE_POLICY.format(nonce=nonce)}
        return HTMLResponse(page.replace(NONCE, nonce), headers=headers)


def _asks_for_a_page(path: str, scope: Scope) -> bool:
    return not path.startswith("assets/") and "text/html" in Headers(scope=scope).get("accept", "")


def install(router: Router, directory: Path = DIST) -> None:
    """Serve the console's files for paths that no route of the API matches."""
    console, missing = Console(directory), router.default

    async def default(scope: Scope, receive: Receive, send: Send) -> None:
        own = scope["type"] == "http" and not (scope["path"] + "/").startswith(OF_THE_API)
        serve: ASGIApp = console if own else missing
        await serve(scope, receive, send)

    router.default = default
