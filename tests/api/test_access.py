"""Who may call what: every route, every kind of principal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agentgrid.api.access import ACCESS, NEW, Access
from agentgrid.api.app import create_app
from agentgrid.api.routing import UNSAFE_METHODS, CheckedRoute, make_router
from agentgrid.db import commands
from agentgrid.db.session import reading
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.principals import Permission, Principal, PrincipalKind, Role
from agentgrid.errors import NotFound
from tests.api.conftest import PRINCIPALS, Api
from tests.api.paths import filled

BODIES = {"POST": {}, "PUT": {}}
SIGNING_IN = ("/api/v1/session", "/api/v1/session/codes")
"""Routes for people only, with one kind of credential: `test_sessions.py` tells whom they let in."""


def routes(api: Api) -> list[CheckedRoute]:
    return [route for route in api.app.router.routes if isinstance(route, CheckedRoute)]


async def call(client, route: CheckedRoute):
    (method,) = route.methods
    # An invalid cursor ends the endless stream before it begins, but after the access checks.
    headers = {"Last-Event-ID": "x"} if route.path.endswith("/events") else {}
    body = {"json": BODIES[method]} if method in BODIES else {}
    return await client.request(method, filled(route.path), headers=headers, **body)


def test_every_route_is_checked_and_declares_its_access(api: Api):
    outside = [route.path for route in api.app.router.routes if not isinstance(route, CheckedRoute)]
    assert outside == ["/api/openapi.json"]
    assert {f"{next(iter(route.methods))} {route.path}" for route in routes(api)} == set(ACCESS)


def test_a_route_without_a_declared_permission_cannot_be_created():
    stray = make_router(tags=["stray"])
    with pytest.raises(RuntimeError, match="not in ACCESS"):
        stray.get("/api/v1/stray")(lambda: None)


def test_every_change_is_a_command_and_declares_its_target(api: Api):
    for route in routes(api):
        (method,) = route.methods
        command, target = route.access.command, route.access.target
        assert (command is not None) == (method in UNSAFE_METHODS and not route.access.asks), route.path
        if command is not None:
            assert target in route.param_convertors or (target == NEW and not route.param_convertors), route.path
    asking = {path for path, access in ACCESS.items() if access.asks}
    policies = {f"POST /api/v1/policies/{what}" for what in ("test", "preview")}
    assert asking == {"POST /api/v1/runs/{run_id}/queries/{name}", "POST /mcp"} | policies


@pytest.mark.parametrize("target", [None, "name", "gadget_"])
def test_a_change_without_a_declared_target_cannot_be_created(monkeypatch: pytest.MonkeyPatch, target: str | None):
    access = Access(command=CommandKind.TOOL_DISABLE, target=target)
    monkeypatch.setitem(ACCESS, "POST /api/v1/gadgets/{gadget}/stop", access)
    with pytest.raises(RuntimeError, match="must set `target` to a path parameter"):
        make_router(tags=["gadgets"]).post("/api/v1/gadgets/{gadget}/stop")(lambda: None)


@pytest.fixture
def gadgets(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Routes of a made-up noun: a change of a gadget itself, and one of the run it represents."""
    router = make_router(tags=["gadgets"], prefix="/api/v1/gadgets")
    for verb, kind in (("stop", CommandKind.TOOL_DISABLE), ("cancel", CommandKind.RUN_CANCEL)):
        access = Access(permission=Permission.GOVERN, command=kind, target="gadget")
        monkeypatch.setitem(ACCESS, f"POST /api/v1/gadgets/{{gadget}}/parts/{{name}}/{verb}", access)
        router.post(f"/{{gadget}}/parts/{{name}}/{verb}", name=f"{verb}_gadget")(_absent)
    before = list(api.app.router.routes)
    api.app.router.routes.extend(router.routes)
    yield
    api.app.router.routes[:] = before


async def _absent(gadget: str, name: str) -> None:
    raise NotFound("gadget", gadget)


@pytest.mark.usefixtures("gadgets")
@pytest.mark.parametrize(("who", "status"), [("viewer", 403), ("admin", 404)])
@pytest.mark.parametrize(("verb", "column"), [("stop", "target"), ("cancel", "run_id")])
async def test_a_refused_change_of_a_new_noun_is_audited_with_its_target(
    api: Api, as_, who: str, status: int, verb: str, column: str
):
    response = await as_(who).post(f"/api/v1/gadgets/g-1/parts/p-1/{verb}", json={})
    assert response.status_code == status
    async with reading(api.plane.engine) as session:
        command = await commands.get(session, response.json()["command_id"])
    named = {name: getattr(command, name) for name in ("target", "run_id", "approval_id")}
    assert named == dict.fromkeys(named) | {column: "g-1"}
    assert (command.status, command.principal) == ("refused", who)


async def test_without_a_key_only_public_routes_respond(api: Api, as_):
    for route in routes(api):
        response = await call(as_(None), route)
        if route.access.public and route.access.command is not None:
            assert (response.status_code, response.json()["code"]) == (403, "foreign_origin"), route.path
        elif route.access.public:
            assert response.status_code in (200, 503), route.path
        else:
            assert response.status_code == 401, route.path
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert response.json()["code"] == "unauthenticated"


@pytest.mark.parametrize("name", sorted(set(PRINCIPALS) - {"second", "both"}))
async def test_r33_each_principal_reaches_exactly_the_routes_it_has_permission_for(api: Api, as_, name: str):
    principal = PRINCIPALS[name]
    for route in routes(api):
        needed = route.access.permission
        if route.path in SIGNING_IN:
            continue
        allowed = route.access.public or needed is None or principal.may(needed)
        response = await call(as_(name), route)
        assert (response.status_code != 403) == allowed, (name, route.path, response.status_code)
        if not allowed:
            assert response.json()["code"] == "forbidden"
            # A refused change is a command; a refused read is not.
            assert ("command_id" in response.json()) == (route.access.command is not None)


def test_only_a_persons_credential_grants_the_permission_to_decide():
    for principal in PRINCIPALS.values():
        if principal.kind != "human":
            assert not principal.may(Permission.DECIDE)


def test_an_administrator_never_decides_whatever_its_other_roles():
    both = Principal(name="both", kind=PrincipalKind.HUMAN, roles=frozenset({Role.ADMIN, Role.APPROVER}))
    assert (both.may(Permission.DECIDE), both.approver_entries) == (False, frozenset())


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic abc",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Bearer ag_0000000000000000_" + "A" * 43,
        "ag_0000000000000000_" + "A" * 43,
        "Bearer ag_" + "\x7f" * 60,
    ],
)
async def test_an_invalid_key_is_refused(api: Api, as_, authorization: str):
    response = await as_(None).get("/api/v1/me", headers={"Authorization": authorization})
    assert response.status_code == 401


async def test_a_key_with_one_changed_character_is_refused(api: Api, as_):
    token = api.tokens["operator"]
    wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
    response = await as_(None).get("/api/v1/me", headers={"Authorization": f"Bearer {wrong}"})
    assert response.status_code == 401


async def test_two_authorization_headers_are_refused(api: Api):
    async with api.client(None) as client:
        token = f"Bearer {api.tokens['operator']}"
        response = await client.get("/api/v1/me", headers=[("Authorization", token), ("Authorization", token)])
    assert response.status_code == 400


async def test_the_bearer_scheme_is_case_insensitive(api: Api, as_):
    response = await as_(None).get("/api/v1/me", headers={"Authorization": f"bearer {api.tokens['operator']}"})
    assert response.status_code == 200
    assert response.json()["name"] == "operator"


@pytest.mark.parametrize("parameter", ["api_key", "token", "q"])
async def test_a_key_in_the_url_is_refused(api: Api, as_, parameter: str):
    response = await as_("operator").get("/api/v1/runs", params={parameter: api.tokens["operator"]})
    assert (response.status_code, response.json()["code"]) == (400, "key_in_url")


async def test_foreign_origins_and_unknown_host_names_are_refused(api: Api, as_):
    foreign = await as_("operator").get("/api/v1/me", headers={"Origin": "https://evil.example"})
    rebound = await as_("operator").get("/api/v1/me", headers={"Host": "evil.example"})
    own = await as_("operator").get("/api/v1/me", headers={"Origin": "http://127.0.0.1:8700"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "foreign_origin")
    assert (rebound.status_code, rebound.json()["code"]) == (400, "unknown_host")
    assert own.status_code == 200


async def test_every_response_has_the_security_headers(api: Api, as_):
    for path in ("/healthz", "/api/v1/me", "/nowhere", "/api/openapi.json"):
        headers = (await as_(None).get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"


async def test_a_viewer_sees_statuses_but_no_payloads(api: Api, as_):
    from tests.api import factories

    failed = factories.run(
        status="failed",
        input={"size": 9, "value": "secret-in"},
        result={"size": 9, "value": "secret-out"},
        status_reason="post_reply: ToolError: secret words",
        error_type="ToolError",
        error={
            "type": "ToolError",
            "message": "secret words",
            "stack": "secret-stack",
            "details": {"value": "secret-d"},
        },
    )
    step = factories.step(
        failed, 5, input={"size": 1, "value": "secret-in"}, output={"size": 1, "value": "secret-out"}, status="failed"
    )
    approval = factories.approval(failed, status="approved", payload={"size": 1, "value": "secret-args"})
    await factories.insert(api.plane.engine, failed, factories.execution(failed), step, approval)
    place = f"/api/v1/runs/{failed.run_id}"

    seen = [
        (await as_("viewer").get(path)).text
        for path in (
            place,
            f"{place}/result",
            f"{place}/steps",
            f"{place}/jobs",
            f"{place}/timeline",
            f"{place}/steps/{failed.execution_id}/5",
            f"/api/v1/approvals/{approval.approval_id}",
            "/api/v1/runs",
        )
    ]
    assert not any("secret" in text for text in seen)
    assert "ToolError" in seen[0]
    assert "ToolError" in seen[1]
    for hidden in ("logs/download", "history", "input/download"):
        assert (await as_("viewer").get(f"{place}/{hidden}")).status_code == 403
    texts = [(await as_("auditor").get(path)).text for path in (place, f"{place}/steps", f"{place}/result")]
    assert all("secret" in text for text in texts)


def test_the_application_requires_its_signing_key(tmp_path):
    from agentgrid.errors import SettingsError
    from agentgrid.settings import Settings

    with pytest.raises(SettingsError, match="AGENTGRID_SIGNING_KEY_FILE"):
        create_app(Settings(database_url="postgresql://nowhere/none", home=tmp_path))
