"""Browser sessions: sign in, sign out, see where one is signed in."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import cookies
from agentgrid.api.access import V1
from agentgrid.api.deps import DEFAULT_LIMIT, Asking, Cursor, Id, Limit, Plane, Session
from agentgrid.api.identity import SessionIdentity
from agentgrid.api.limits import RateLimits
from agentgrid.api.me import me_of
from agentgrid.api.paging import cut, decode_key, encode_key
from agentgrid.api.routing import address_of, make_router, user_agent_of
from agentgrid.api.schemas.common import Page, Reason
from agentgrid.api.schemas.service import Me
from agentgrid.api.schemas.sessions import CodeOut, SessionOut, SignIn, SignInMethod, SignInMethods
from agentgrid.control import sessions as control_sessions
from agentgrid.control.api_keys import secret_hash
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.control.sessions import Browser, NewSession
from agentgrid.db import sessions as db_sessions
from agentgrid.db.session import reading
from agentgrid.db.sessions import Listed
from agentgrid.errors import Unauthenticated

router = make_router(tags=["sessions"], prefix=V1)

METHODS = SignInMethods(
    items=[
        SignInMethod(kind="code", title="Open a sign-in link", command="agentgrid console --open"),
        SignInMethod(kind="key", title="Paste an API key"),
    ]
)


@router.get("/session/methods", summary="The ways to sign in")
async def get_sign_in_methods() -> SignInMethods:
    """For the sign-in page; needs no credentials."""
    return METHODS


@router.post("/session", summary="Sign in")
async def open_session(request: Request, plane: Plane, response: Response, body: SignIn) -> Me:
    """Signs this browser in: sets a cookie that has the key's rights. Only for people, and only from the console's own pages: `Origin` is required.

    The session lasts 12 hours from its last use and 7 days in all, and ends with its key. `401` with the code `sign_in_code_spent`: the code
    was used or has expired. `403`: the key is a program's. `429`: too many failures from this address.
    """
    former = SessionIdentity.presented(request)
    made = await _opened(request, plane, body)
    if former is not None:
        await _close_former(request, plane, former)
    cookies.give(response, plane.settings.api_url, made.token, until=made.lasts_until)
    return me_of(SessionIdentity.of(made), request.app.state.facts)


async def _opened(request: Request, plane: ControlPlane, body: SignIn) -> NewSession:
    limits: RateLimits = request.app.state.limits
    address = address_of(request)
    # A key as the gate counts it: one that has authenticated before is not limited by other clients' failures.
    hashed = secret_hash(body.code or f"Bearer {body.key}")
    browser = Browser(address=address, user_agent=user_agent_of(request), route=f"{request.method} {request.url.path}")
    limits.before_sign_in(address or "", hashed)
    try:
        if body.code:
            made = await control_sessions.open_with_code(plane, body.code, browser)
        else:
            made = await control_sessions.open_with_key(plane, body.key, browser)
    except Unauthenticated:
        limits.sign_in_failed(address or "", hashed)
        raise
    limits.charge(made.principal.name, 1)
    return made


async def _close_former(request: Request, plane: ControlPlane, token: str) -> None:
    """End the session whose cookie the new one replaces: no browser could sign out of it any more."""
    with suppress(Unauthenticated):
        former = await SessionIdentity.authenticate(plane, token)
        await control_sessions.close(plane, _caller_of(former, request))


def _caller_of(login: SessionIdentity, request: Request) -> Caller:
    return Caller(
        principal=login.principal,
        key_id=login.key_id,
        session_id=login.session.session_id if login.session else None,
        issuers=login.issuers,
        address=address_of(request),
        route=f"{request.method} {request.url.path}",
    )


@router.delete("/session", status_code=204, summary="Sign out", response_class=Response)
async def close_session(plane: Plane, caller: Asking) -> Response:
    """Ends the browser session that this request is made with, and its event streams. A key has none: `403`."""
    await control_sessions.close(plane, caller)
    response = Response(status_code=204)
    cookies.take_away(response, plane.settings.api_url)
    return response


@router.post("/session/codes", status_code=201, summary="Make a sign-in code")
async def create_sign_in_code(request: Request, plane: Plane, caller: Asking) -> CodeOut:
    """A code that opens one browser session as the caller, within 10 minutes. Requires an API key of a person: a session can't make one."""
    made = await control_sessions.make_code(plane, caller)
    limits: RateLimits = request.app.state.limits
    limits.expect(secret_hash(made.code))
    return CodeOut(code=made.code, url=f"{plane.settings.api_url}/sign-in#{made.code}", expires_at=made.expires_at)


@router.get("/sessions", summary="List open browser sessions, newest first", responses={403: {}})
async def list_sessions(
    request: Request,
    session: Session,
    caller: Asking,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    principal: Annotated[str | None, Query(min_length=1, max_length=300)] = None,
) -> Page[SessionOut]:
    """The caller's own sessions; all principals' with the permission `administer`."""
    whose = control_sessions.whose(caller.principal, principal)
    after = decode_key(request, cursor)
    found = await db_sessions.opened(session, principal=whose, limit=limit + 1, after=after)
    page, onward = cut(found, limit, lambda each: encode_key(request, each.row.opened_at, each.row.session_id))
    return Page[SessionOut](items=[_out(each, caller) for each in page], next_cursor=onward)


@router.post("/sessions/{session_id}/end", summary="End a browser session")
async def end_session(plane: Plane, caller: Asking, session_id: Id, body: Reason | None = None) -> SessionOut:
    """One of the caller's own; with the permission `administer`, any. Its event streams end. Its key stays: to end both, revoke the key."""
    await control_sessions.end(plane, caller, session_id, reason=body.reason if body else None)
    async with reading(plane.engine) as session:
        return _out(await control_sessions.get(session, caller.principal, session_id), caller)


def _out(found: Listed, caller: Caller) -> SessionOut:
    current = found.row.session_id == caller.session_id
    return SessionOut.model_validate({**found.row.model_dump(), "principal": found.principal, "current": current})
