"""Browser sessions: sign in, sign out, list and end."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import cookies
from agentgrid.api.access import V1
from agentgrid.api.deps import DEFAULT_LIMIT, CurrentCaller, Cursor, Id, Limit, Plane, Session
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


@router.get("/session/methods", summary="List the sign-in methods")
async def get_sign_in_methods() -> SignInMethods:
    """For the sign-in page. Requires no credentials."""
    return METHODS


@router.post("/session", summary="Sign in")
async def open_session(request: Request, plane: Plane, response: Response, body: SignIn) -> Me:
    """Signs this browser in by setting a cookie with the key's rights. Only for people, and only from the console's own pages: `Origin` is required.

    The session lasts for 12 hours after its last use, at most 7 days, and ends with its key. `401` `sign_in_code_spent`: the code
    was used already or has expired. `403`: the key does not belong to a person. `429`: too many failed attempts from this address.
    """
    previous = SessionIdentity.presented(request)
    session = await _open(request, plane, body)
    if previous is not None:
        await _close_previous(request, plane, previous)
    cookies.set_cookie(response, plane.settings.api_url, session.token, until=session.lasts_until)
    return me_of(SessionIdentity.of(session), request.app.state.facts)


async def _open(request: Request, plane: ControlPlane, body: SignIn) -> NewSession:
    limits: RateLimits = request.app.state.limits
    address = address_of(request)
    # Hashed as for API requests: a key that has authenticated before is not limited by other clients' failures.
    hashed_secret = secret_hash(body.code or f"Bearer {body.key}")
    browser = Browser(address=address, user_agent=user_agent_of(request), route=f"{request.method} {request.url.path}")
    limits.before_sign_in(address or "", hashed_secret)
    try:
        if body.code:
            session = await control_sessions.open_with_code(plane, body.code, browser)
        else:
            session = await control_sessions.open_with_key(plane, body.key, browser)
    except Unauthenticated:
        limits.sign_in_failed(address or "", hashed_secret)
        raise
    limits.charge(session.principal.name, 1)
    return session


async def _close_previous(request: Request, plane: ControlPlane, token: str) -> None:
    """End the session whose cookie was replaced: no browser could sign out of it any more."""
    with suppress(Unauthenticated):
        previous = await SessionIdentity.authenticate(plane, token)
        await control_sessions.close(plane, _caller_of(previous, request))


def _caller_of(identity: SessionIdentity, request: Request) -> Caller:
    return Caller(
        principal=identity.principal,
        key_id=identity.key_id,
        session_id=identity.session.session_id if identity.session else None,
        issuers=identity.issuers,
        address=address_of(request),
        route=f"{request.method} {request.url.path}",
    )


@router.delete("/session", status_code=204, summary="Sign out", response_class=Response)
async def close_session(plane: Plane, caller: CurrentCaller) -> Response:
    """Ends the browser session of this request and its event streams. `403` for a request with an API key."""
    await control_sessions.close(plane, caller)
    response = Response(status_code=204)
    cookies.delete_cookie(response, plane.settings.api_url)
    return response


@router.post("/session/codes", status_code=201, summary="Create a sign-in code")
async def create_sign_in_code(request: Request, plane: Plane, caller: CurrentCaller) -> CodeOut:
    """A code that opens one browser session as the caller, within 10 minutes. Requires a person's API key; a session can't create one."""
    sign_in_code = await control_sessions.make_code(plane, caller)
    limits: RateLimits = request.app.state.limits
    limits.expect(secret_hash(sign_in_code.code))
    return CodeOut(
        code=sign_in_code.code,
        url=f"{plane.settings.api_url}/sign-in#{sign_in_code.code}",
        expires_at=sign_in_code.expires_at,
    )


@router.get("/sessions", summary="List open browser sessions, newest first", responses={403: {}})
async def list_sessions(
    request: Request,
    session: Session,
    caller: CurrentCaller,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    principal: Annotated[str | None, Query(min_length=1, max_length=300)] = None,
) -> Page[SessionOut]:
    """Lists the caller's own sessions, or everyone's with the permission `administer`."""
    owner = control_sessions.whose(caller.principal, principal)
    after = decode_key(request, cursor)
    sessions = await db_sessions.opened(session, principal=owner, limit=limit + 1, after=after)
    page, next_cursor = cut(
        sessions, limit, lambda listed: encode_key(request, listed.row.opened_at, listed.row.session_id)
    )
    return Page[SessionOut](items=[_out(listed, caller) for listed in page], next_cursor=next_cursor)


@router.post("/sessions/{session_id}/end", summary="End a browser session")
async def end_session(plane: Plane, caller: CurrentCaller, session_id: Id, body: Reason | None = None) -> SessionOut:
    """Ends one of the caller's own sessions (any session with the permission `administer`) and its event streams.

    The key stays valid; to end both, revoke the key.
    """
    await control_sessions.end(plane, caller, session_id, reason=body.reason if body else None)
    async with reading(plane.engine) as session:
        return _out(await control_sessions.get(session, caller.principal, session_id), caller)


def _out(listed: Listed, caller: Caller) -> SessionOut:
    current = listed.row.session_id == caller.session_id
    return SessionOut.model_validate({**listed.row.model_dump(), "principal": listed.principal, "current": current})
