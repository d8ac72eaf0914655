"""The built web console, served beside the API: static files, and one page for every path of the console.

The files are built from `console/` by the build hook (`hatch_build.py`) into `_dist`. An installation without them has no console: a browser reads
how to get one.
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
INDEX = "index.html"
ABSENT = (
    "this installation has no web console: reinstall it without AGENTGRID_SKIP_CONSOLE (in a checkout: `make dev` builds it). "
    "The API is at /api/v1"
)


class Console(StaticFiles):
    """The files of one build. A path that names no file is a page of the console if a browser asks for a page."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory, check_dir=False)
        self.config_checked = True  # the folder may be missing
        self._file = directory / INDEX

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            # The page is never sent as the file that it is: it needs a nonce. What begins with a dot belongs to the build.
            name = "" if path == INDEX or _is_hidden(path) else path
            response = await super().get_response(name, scope)
        except HTTPException as error:
            if error.status_code == 404 and (path in (".", INDEX) or _asks_for_a_page(path, scope)):
                return self._index()
            raise
        # The names under assets/ contain a hash of the content.
        response.headers["Cache-Control"] = YEAR if path.startswith("assets/") else "no-cache"
        return response

    def _index(self) -> Response:
        # Read for each page: a console that is built again while the API runs has files of other names.
        try:
            page = self._file.read_text("utf-8")
        except FileNotFoundError:
            raise HTTPException(404, ABSENT) from None
        nonce = secrets.token_urlsafe(16)
        headers = {"Content-Security-Policy": PAGE_POLICY.format(nonce=nonce)}
        return HTMLResponse(page.replace(NONCE, nonce), headers=headers)


def _is_hidden(path: str) -> bool:
    return path != "." and any(part.startswith(".") for part in Path(path).parts)


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
