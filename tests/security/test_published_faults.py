"""Published vulnerabilities of similar products, each shown to be absent. `docs/security.md` lists them all with their tests."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
from starlette.routing import WebSocketRoute

from agentgrid.api.access import ACCESS
from tests.api.conftest import Api, api, as_  # noqa: F401 (fixtures)

ROOT = Path(__file__).parents[2]

INJECTIONS = (
    "' OR '1'='1",
    "'; DROP TABLE runs; --",
    "x' UNION SELECT secret_hash FROM api_keys --",
    "\\'; SELECT pg_sleep(5); --",
    "1) OR 1=1 --",
    "$$; SELECT 1; $$",
    "%' OR run_id LIKE '%",
    "{1,2}",
    '"; DROP TABLE runs; --',
)


async def test_no_query_parameter_becomes_sql(api: Api, as_: Callable[[str], httpx.AsyncClient]) -> None:  # noqa: F811
    """SQL injection through a GET parameter (CVE-2026-38428): tries every text parameter of every route, including cursors."""
    document = api.app.openapi()
    requests = 0
    seen: set[str] = set()
    in_turn = itertools.cycle(INJECTIONS)
    for path, operations in document["paths"].items():
        parameters = [
            parameter for parameter in operations.get("get", {}).get("parameters", ()) if parameter["in"] == "query"
        ]
        place = re.sub(r"\{[^}]*\}", "some-id", path)
        if place.endswith("/events"):
            continue  # a stream, whose only parameter is a number
        for parameter in parameters:
            # Most names are declared once for several routes: the first route gets every injection, the others one each, in turn.
            injections = INJECTIONS if parameter["name"] not in seen else (next(in_turn),)
            seen.add(parameter["name"])
            for injection in injections:
                answer = await as_("auditor").get(place, params={parameter["name"]: injection})
                requests += 1
                assert answer.status_code in (200, 400, 403, 404, 422), (place, parameter["name"], injection)
                exported = not answer.headers["content-type"].startswith("application/")  # CSV with a header and rows
                if exported or "ndjson" in answer.headers["content-type"]:
                    continue
                if answer.status_code == 200 and "items" in answer.json():
                    assert answer.json()["items"] == [], (place, parameter["name"], injection)
    assert requests > 300
    async with api.plane.pool.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM principals") > 5


async def test_there_is_no_socket_beside_the_http_api(api: Api) -> None:  # noqa: F811
    """An ingest socket without authentication (Prefect CVE-2026-7723). Here there is no socket: workers report with their own database login."""
    assert not [route for route in api.app.routes if isinstance(route, WebSocketRoute)]
    async with api.client(None) as client:
        for place in ("/api/v1/events", "/ws", "/api/v1/runs/x/events"):
            answer = await client.get(place, headers={"Connection": "Upgrade", "Upgrade": "websocket"})
            assert answer.status_code in (401, 404), place


async def test_public_routes_reveal_only_whether_the_service_works(api: Api) -> None:  # noqa: F811
    """Monitoring routes (Langflow CVE-2026-21445), code in a public route (CVE-2026-33017). Few routes are public, and only signing in takes input."""
    public = sorted(route for route, access in ACCESS.items() if access.public)
    assert public == ["GET /api/v1/session/methods", "GET /healthz", "GET /readyz", "POST /api/v1/session"]
    async with api.client(None) as client:
        for place in ("/healthz", "/readyz", "/api/v1/session/methods"):
            text = (await client.get(place)).text
            for secret in ("postgres", "agentgrid_", api.settings.temporal_address):
                assert secret not in text, (place, secret)
        assert (await client.get("/metrics")).status_code == 401


def test_the_api_loads_no_project_code() -> None:
    """Sandbox escapes (CVE-2026-1470, -27577, -49444): the API needs no sandbox, because it loads no project code."""
    script = (
        "import sys, agentgrid.api.app, agentgrid.projector.main\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('workflows', 'activities', 'worker')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
    source = "".join(
        path.read_text()
        for layer in ("api", "control", "projector", "db")
        for path in (ROOT / "agentgrid" / layer).rglob("*.py")
    )
    for call in (r"\beval\(", r"\bexec\(", r"\bpickle\b", r"yaml\.load", r"shell=True"):
        assert re.search(call, source) is None, call


def test_every_test_that_the_security_page_names_exists() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 30
    for file, function in named:
        assert (ROOT / file).exists(), file
        assert not function or re.search(rf"def {function}\b", (ROOT / file).read_text()), f"{file}::{function}"
