"""The entry to every route: authenticates the caller, checks access and the request's form, and records refusals.

Routes are created by `router()`, so they can't bypass the gate; their access is declared in `access.py`, so it can't be forgotten.
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

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
LOOKS = frozenset({"GET", "HEAD"})
MAX_IDEMPOTENCY_KEY = 255
MAX_PARAMETER = 2_000
MAX_NAME = 300


class CheckedRoute(APIRoute):
    """A route behind the gate."""

    access: Access

    def get_route_handler(self) -> Handler:
        """The route's handler, wrapped in the gate."""
        (method,) = self.methods or ("",)
        route = f"{method} {self.path}"
        declared = ACCESS.get(route)
        if declared is None:
            raise RuntimeError(f"{route} is not in ACCESS: add it, with the permission it requires")
        if declared.command is not None and (
            declared.target is None or declared.target not in (NEW, *self.param_convertors)
        ):
            raise RuntimeError(
                f"{route} is a change: its entry in ACCESS must name the path parameter of its target, or NEW"
            )
        self.access = declared
        handle = super().get_route_handler()
        parameters = frozenset(
            field.alias for field in get_flat_params(self.dependant) if isinstance(field.field_info, params.Query)
        )

        async def through_the_gate(request: Request) -> Response:
            if declared.public:
                return await (
                    handle(request) if declared.command is None else _sign_in(request, route, parameters, handle)
                )
            try:
                request.state.caller = await _caller(request)
            except Unauthenticated:
                _note(request, ReadOutcome.UNAUTHENTICATED, route)
                raise
            try:
                _check_page(request)
                _check_credential(request.state.identity, declared)
                authorise(request.state.caller.principal, declared)
                _check_parameters(request, parameters)
                if method in WRITES:
                    await _take_change(request)
                answer = await handle(request)
                _note_disclosure(request, declared, route)
                return _tagged(request, answer) if declared.tagged else answer
            except RequestValidationError as error:
                invalid = faults_of(error)
                await _write_down(request, declared, invalid)
                raise invalid from None
            except AgentGridError as error:
                _note_disclosure(request, declared, route)
                if declared.command is None and isinstance(error, Forbidden):
                    subject = next(iter(request.path_params.values()), None)
                    _note(request, ReadOutcome.REFUSED, route, subject=subject)
                await _write_down(request, declared, error)
                raise

        return through_the_gate


def make_router(*, tags: list[str], prefix: str = "") -> APIRouter:
    """A router whose routes all pass the gate."""
    return APIRouter(
        prefix=prefix,
        tags=list(tags),
        route_class=CheckedRoute,
        generate_unique_id_function=lambda route: route.name,
    )


def authorise(principal: Principal, access: Access) -> None:
    """Raise Forbidden unless the principal may do what the route needs."""
    if access.everywhere and not principal.sees_everything:
        raise Forbidden(f"this requires a principal whose scope is every workflow; {principal.name} sees only some")
    needed = access.permission
    if needed is None or principal.may(needed):
        return
    if needed is Permission.DECIDE and (why := no_decider(principal)) is not None:
        raise Forbidden(why)
    if needed is Permission.EDIT and principal.kind is PrincipalKind.AGENT:
        raise Forbidden(f"{principal.name} is an agent, and agents can't edit agents")
    roles = " or ".join(role.value for role, granted in GRANTS.items() if needed in granted)
    raise Forbidden(f"this requires the role {roles}")


async def _sign_in(request: Request, route: str, parameters: frozenset[str], handle: Handler) -> Response:
    """A change whose caller the route itself authenticates, by the body. A page of another origin can't sign its visitor in."""
    _check_origin(request)
    _check_parameters(request, parameters)
    await _take_body(request)
    try:
        return await handle(request)
    except Unauthenticated:
        _note(request, ReadOutcome.UNAUTHENTICATED, route)
        raise


def _check_page(request: Request) -> None:
    """Raise PrincipalChanged if a change names another principal than the one it is made by: a page that shows who acts says so."""
    shown = request.headers.getlist("agentgrid-principal")
    name = request.state.caller.principal.name
    if request.method not in LOOKS and any(each != name for each in shown):
        raise PrincipalChanged(
            f"this browser is signed in as {name} by now, and not as the page shows: reload it", status=name
        )


def _check_credential(identity: Identity, access: Access) -> None:
    if access.only == "key" and identity.from_browser:
        raise Forbidden("this requires an API key in the Authorization header; a browser session is not enough")
    if access.only == "session" and identity.session is None:
        raise Forbidden("this is about the browser session of the request, and a request with an API key has none")


async def _caller(request: Request) -> Caller:
    request.state.identity = known = await _identity(request)
    return Caller(
        principal=known.principal,
        key_id=known.key_id,
        session_id=known.session.session_id if known.session else None,
        issuers=known.issuers,
        address=address_of(request),
        route=f"{request.method} {request.url.path}",
    )


async def _identity(request: Request) -> Identity:
    limits: RateLimits = request.app.state.limits
    address = address_of(request) or ""
    given = ((kind, kind.presented(request)) for kind in IDENTITIES)
    kind, presented = next(((kind, found) for kind, found in given if found is not None), (None, ""))
    if kind is None:
        limits.before_key(address, None)
        limits.failed(address, None)
        raise Unauthenticated("send an API key, `Authorization: Bearer ag_...`, or sign in to the console")
    if kind.from_browser:
        # Before the lookup, so that a page of another origin costs its visitor nothing.
        _check_origin(request)
    presented_hash = api_keys.secret_hash(presented)
    limits.before_key(address, presented_hash)
    try:
        known = await kind.authenticate(request.app.state.plane, presented)
    except Unauthenticated:
        limits.failed(address, presented_hash)
        raise
    limits.passed(known.principal.name, presented_hash)
    return known


def _check_origin(request: Request) -> None:
    """Raise unless the API's own pages made the request. The door has refused every `Origin` that is not the API's own."""
    looks = request.method in LOOKS
    site = request.headers.getlist("sec-fetch-site")
    # `none`: the person opened the address, which only reads.
    allowed = {"same-origin", "none"} if looks else {"same-origin"}
    if not set(site) <= allowed or (not looks and "origin" not in request.headers):
        raise WireError(403, "foreign_origin", "requests from pages of another origin are not served")


def _note_disclosure(request: Request, access: Access, route: str) -> None:
    shown: Shown | None = getattr(request.state, "shown", None)
    if shown is not None and shown.disclosure.happened:
        subject = shown.disclosure.subject or request.path_params.get(access.reads or "")
        _note(request, ReadOutcome.READ, route, subject=subject)


def _note(request: Request, outcome: ReadOutcome, route: str, *, subject: str | None = None) -> None:
    """Record who made this request, and its outcome."""
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
    """The address of the peer."""
    return request.client.host if request.client else None


def user_agent_of(request: Request) -> str | None:
    """What the client calls itself, made safe to store."""
    named = request.headers.get("user-agent")
    return None if named is None else _storable(named)


def _storable(name: str) -> str:
    """A name from the path, made safe to store."""
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


def _tagged(request: Request, answer: Response) -> Response:
    """The answer with its ETag; 304 if the client has it already."""
    tag = f'W/"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    known = request.headers.get("if-none-match", "")
    if tag in (each.strip() for each in known.split(",")):
        return Response(status_code=304, headers={"ETag": tag})
    answer.headers["ETag"] = tag
    return answer


async def _take_change(request: Request) -> None:
    value = await _take_body(request)
    caller: Caller = request.state.caller
    request.state.caller = replace(caller, idempotency_key=_idempotency_key(request), body=value)


async def _take_body(request: Request) -> Any:
    raw = await body.read(request)
    value = None
    if raw:
        body.check_type(request)
        value = body.parse(raw)
    # Starlette's cache of a body that was read: the handler behind the gate gets the value that was checked here.
    request._body = raw
    request._json = value
    return value


def _idempotency_key(request: Request) -> str | None:
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    key = given[0]
    if len(given) > 1 or not 0 < len(key) <= MAX_IDEMPOTENCY_KEY or not key.isascii() or not key.isprintable():
        raise InvalidInput(
            "invalid Idempotency-Key",
            [
                InvalidPlace(
                    pointer="Idempotency-Key",
                    message=f"send one, of 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters",
                )
            ],
        )
    return key


def to_record(error: AgentGridError) -> bool:
    """Whether the refusal is still to be recorded as a command: none records it yet, and it is not a refusal of the moment."""
    return error.command_id is None and not isinstance(error, Unavailable | RateLimited)


async def _write_down(request: Request, access: Access, error: AgentGridError) -> None:
    """Record the refusal of a request for a change, unless a command already records it."""
    if access.command is None or not to_record(error):
        return
    about = {}
    if access.target:
        about[HANDLING[access.command].target.column] = _storable(request.path_params[access.target])
    message = _storable(request.path_params[access.message]) if access.message else None
    plane: ControlPlane = request.app.state.plane
    caller: Caller = request.state.caller
    error.command_id = await commands.refuse(plane, caller, access.command, error, message=message, **about)
