"""The entry to every route: authenticates the caller, checks access and the form of the request, and records refusals.

Routes are created by `make_router()`, so they can't bypass these checks; access is declared in `access.py`, so it can't be forgotten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import body
from agentgrid.api.access import ACCESS, NEW, Access
from agentgrid.api.errors import WireError, faults_of
from agentgrid.api.identity import IDENTITIES, Identity
from agentgrid.api.limits import RateLimits
from agentgrid.api.shown import Shown
from agentgrid.control import api_keys, commands
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.control.reads import ReadIdentity, Recorder
from agentgrid.domain.commands import HANDLING
from agentgrid.domain.principals import GRANTS, Permission, Principal, PrincipalKind, no_decider
from agentgrid.domain.reads import ReadOutcome
from agentgrid.errors import (
    AgentGridError,
    Forbidden,
    InvalidInput,
    InvalidPlace,
    PrincipalChanged,
    RateLimited,
    Unauthenticated,
    Unavailable,
)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
SAFE_METHODS = frozenset({"GET", "HEAD"})
MAX_IDEMPOTENCY_KEY = 255
MAX_PARAMETER = 2_000
MAX_NAME = 300


class CheckedRoute(APIRoute):
    """A route whose requests are authenticated and checked."""

    access: Access

    def get_route_handler(self) -> Handler:
        """The route's handler, wrapped in the checks."""
        (method,) = self.methods or ("",)
        route = f"{method} {self.path}"
        declared = ACCESS.get(route)
        if declared is None:
            raise RuntimeError(f"{route} is not in ACCESS: add it with the permission it requires")
        if declared.command is not None and (
            declared.target is None or declared.target not in (NEW, *self.param_convertors)
        ):
            raise RuntimeError(
                f"{route} is a change: its entry in ACCESS must set `target` to a path parameter, or to NEW"
            )
        self.access = declared
        handle = super().get_route_handler()
        parameters = frozenset(
            field.alias for field in get_flat_params(self.dependant) if isinstance(field.field_info, params.Query)
        )

        async def checked(request: Request) -> Response:
            if declared.public:
                return await (
                    handle(request) if declared.command is None else _sign_in(request, route, parameters, handle)
                )
            try:
                request.state.caller = await _caller(request)
            except Unauthenticated:
                _record_read(request, ReadOutcome.UNAUTHENTICATED, route)
                raise
            try:
                _check_shown_principal(request)
                _check_credential(request.state.identity, declared)
                authorise(request.state.caller.principal, declared)
                _check_parameters(request, parameters)
                if method in UNSAFE_METHODS:
                    await _read_change(request)
                answer = await handle(request)
                _record_disclosure(request, declared, route)
                return _tagged(request, answer) if declared.tagged else answer
            except RequestValidationError as error:
                invalid = faults_of(error)
                await _record_refusal(request, declared, invalid)
                raise invalid from None
            except AgentGridError as error:
                _record_disclosure(request, declared, route)
                if declared.command is None and isinstance(error, Forbidden):
                    subject = next(iter(request.path_params.values()), None)
                    _record_read(request, ReadOutcome.REFUSED, route, subject=subject)
                await _record_refusal(request, declared, error)
                raise

        return checked


def make_router(*, tags: list[str], prefix: str = "") -> APIRouter:
    """A router whose routes are all `CheckedRoute`s."""
    return APIRouter(
        prefix=prefix,
        tags=list(tags),
        route_class=CheckedRoute,
        generate_unique_id_function=lambda route: route.name,
    )


def authorise(principal: Principal, access: Access) -> None:
    """Raise Forbidden unless the principal has the required permission and scope."""
    if access.everywhere and not principal.sees_everything:
        raise Forbidden(f"this requires a principal with access to every workflow; {principal.name} may see only some")
    permission = access.permission
    if permission is None or principal.may(permission):
        return
    if permission is Permission.DECIDE and (why := no_decider(principal)) is not None:
        raise Forbidden(why)
    if permission is Permission.EDIT and principal.kind is PrincipalKind.AGENT:
        raise Forbidden(f"{principal.name} is an agent, and agents can't edit agents")
    roles = " or ".join(role.value for role, granted in GRANTS.items() if permission in granted)
    raise Forbidden(f"this requires the role {roles}")


async def _sign_in(request: Request, route: str, parameters: frozenset[str], handle: Handler) -> Response:
    """Handle a change whose caller the route itself authenticates by the body. A page of another origin can't sign its visitor in."""
    _check_origin(request)
    _check_parameters(request, parameters)
    await _read_body(request)
    try:
        return await handle(request)
    except Unauthenticated:
        _record_read(request, ReadOutcome.UNAUTHENTICATED, route)
        raise


def _check_shown_principal(request: Request) -> None:
    """Raise PrincipalChanged if a page that shows the signed-in principal makes a change as a different one."""
    expected = request.headers.getlist("agentgrid-principal")
    name = request.state.caller.principal.name
    if request.method not in SAFE_METHODS and any(other != name for other in expected):
        raise PrincipalChanged(
            f"this browser is now signed in as {name}, not as the page shows: reload the page", status=name
        )


def _check_credential(identity: Identity, access: Access) -> None:
    if access.only == "key" and identity.from_browser:
        raise Forbidden("this requires an API key in the Authorization header; a browser session is not accepted")
    if access.only == "session" and identity.session is None:
        raise Forbidden("this requires a browser session; a request with an API key has none")


async def _caller(request: Request) -> Caller:
    request.state.identity = identity = await _identity(request)
    return Caller(
        principal=identity.principal,
        key_id=identity.key_id,
        session_id=identity.session.session_id if identity.session else None,
        issuers=identity.issuers,
        address=address_of(request),
        route=f"{request.method} {request.url.path}",
    )


async def _identity(request: Request) -> Identity:
    limits: RateLimits = request.app.state.limits
    address = address_of(request) or ""
    candidates = ((kind, kind.presented(request)) for kind in IDENTITIES)
    kind, presented = next(((kind, value) for kind, value in candidates if value is not None), (None, ""))
    if kind is None:
        limits.before_key(address, None)
        limits.failed(address, None)
        raise Unauthenticated(
            "authentication required: send an API key as `Authorization: Bearer ag_...`, or sign in to the console"
        )
    if kind.from_browser:
        # Before the lookup, so that a page of another origin can't use up its visitor's rate limit.
        _check_origin(request)
    presented_hash = api_keys.secret_hash(presented)
    limits.before_key(address, presented_hash)
    try:
        identity = await kind.authenticate(request.app.state.plane, presented)
    except Unauthenticated:
        limits.failed(address, presented_hash)
        raise
    limits.passed(identity.principal.name, presented_hash)
    return identity


def _check_origin(request: Request) -> None:
    """Raise unless the request comes from the API's own pages. `door.py` has already refused every foreign `Origin`."""
    is_safe = request.method in SAFE_METHODS
    fetch_sites = request.headers.getlist("sec-fetch-site")
    # `none`: the user opened the URL directly, which can only read.
    allowed = {"same-origin", "none"} if is_safe else {"same-origin"}
    if not set(fetch_sites) <= allowed or (not is_safe and "origin" not in request.headers):
        raise WireError(403, "foreign_origin", "requests from pages of other origins are refused")


def _record_disclosure(request: Request, access: Access, route: str) -> None:
    shown: Shown | None = getattr(request.state, "shown", None)
    if shown is not None and shown.disclosure.happened:
        subject = shown.disclosure.subject or request.path_params.get(access.reads or "")
        _record_read(request, ReadOutcome.READ, route, subject=subject)


def _record_read(request: Request, outcome: ReadOutcome, route: str, *, subject: str | None = None) -> None:
    """Record the caller and the outcome of this request."""
    caller: Caller | None = getattr(request.state, "caller", None)
    recorder: Recorder = request.app.state.reads
    recorder.note(
        ReadIdentity(
            route=route,
            outcome=outcome,
            principal=None if caller is None else caller.principal.name,
            key_id=None if caller is None else caller.key_id,
            address=address_of(request),
            subject=None if subject is None else _storable(subject),
        )
    )


def address_of(request: Request) -> str | None:
    """The peer's address."""
    return request.client.host if request.client else None


def user_agent_of(request: Request) -> str | None:
    """The client's `User-Agent`, made safe to store."""
    user_agent = request.headers.get("user-agent")
    return None if user_agent is None else _storable(user_agent)


def _storable(name: str) -> str:
    """Text from the request, made safe to store."""
    return name.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()[:MAX_NAME]


def _check_parameters(request: Request, known: frozenset[str]) -> None:
    faults = [
        InvalidPlace(pointer=name[:100], message="unknown parameter")
        for name in request.query_params
        if name not in known
    ]
    for name, value in (*request.path_params.items(), *request.query_params.multi_items()):
        if body.unstorable(name + value) or len(value) > MAX_PARAMETER:
            faults.append(InvalidPlace(pointer=name[:100], message="is too long or contains invalid characters"))
    if faults:
        raise InvalidInput("invalid parameters", faults)


def _tagged(request: Request, response: Response) -> Response:
    """The response with its ETag, or 304 if the client already has it."""
    tag = f'W/"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    client_tags = request.headers.get("if-none-match", "")
    if tag in (entry.strip() for entry in client_tags.split(",")):
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return response


async def _read_change(request: Request) -> None:
    value = await _read_body(request)
    caller: Caller = request.state.caller
    request.state.caller = replace(caller, idempotency_key=_idempotency_key(request), body=value)


async def _read_body(request: Request) -> Any:
    raw = await body.read(request)
    value = None
    if raw:
        body.check_type(request)
        value = body.parse(raw)
    # Starlette's cache of the body, so that the handler gets exactly the value checked here.
    request._body = raw
    request._json = value
    return value


def _idempotency_key(request: Request) -> str | None:
    headers = request.headers.getlist("idempotency-key")
    if not headers:
        return None
    key = headers[0]
    if len(headers) > 1 or not 0 < len(key) <= MAX_IDEMPOTENCY_KEY or not key.isascii() or not key.isprintable():
        raise InvalidInput(
            "invalid Idempotency-Key",
            [
                InvalidPlace(
                    pointer="Idempotency-Key",
                    message=f"send one header with 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters",
                )
            ],
        )
    return key


def needs_record(error: AgentGridError) -> bool:
    """Whether the refusal must still be recorded as a command: no command records it yet, and it is not a temporary condition."""
    return error.command_id is None and not isinstance(error, Unavailable | RateLimited)


async def _record_refusal(request: Request, access: Access, error: AgentGridError) -> None:
    """Record the refusal of a change, unless a command already records it."""
    if access.command is None or not needs_record(error):
        return
    columns = {}
    if access.target:
        columns[HANDLING[access.command].target.column] = _storable(request.path_params[access.target])
    message = _storable(request.path_params[access.message]) if access.message else None
    plane: ControlPlane = request.app.state.plane
    caller: Caller = request.state.caller
    error.command_id = await commands.refuse(plane, caller, access.command, error, message=message, **columns)
