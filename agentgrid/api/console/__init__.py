"""The built web console, served beside the API: static files, and one page for every console path.

The build hook (`hatch_build.py`) builds the files from `console/` into `_dist`. An installation without them has no console; browsers are shown
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
"""The placeholder for the nonce in the built page."""
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
OF_THE_API = ("/api/", "/mcp/", "/healthz", "/readyz", "/metrics")
YEAR = "public, max-age=31536000, immutable"
INDEX = "index.html"
ABSENT = (
    "this installation has no web console: reinstall it without AGENTGRID_SKIP_CONSOLE (in a checkout, `make dev` builds it). "
    "The API is at /api/v1"
)


class Console(StaticFiles):
    """The files of one build. A path that names no file returns the console page if a browser requests a page."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory, check_dir=False)
        self.config_checked = True  # the folder may be missing
        self._file = directory / INDEX

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            # The page is never sent as a plain file, because it needs a nonce. Dotfiles belong to the build.
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
        # Read each time: a console rebuilt while the API runs has different file names.
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
    """Serve the console's files for paths that match no API route."""
    console, not_found = Console(directory), router.default

    async def default(scope: Scope, receive: Receive, send: Send) -> None:
        is_console = scope["type"] == "http" and not (scope["path"] + "/").startswith(OF_THE_API)
        serve: ASGIApp = console if is_console else not_found
        await serve(scope, receive, send)

    router.default = default
