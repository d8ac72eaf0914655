"""Every kind of invalid body, on every kind of route that takes one, over a socket: refused and recorded, without effect."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentgrid.control import principals
from agentgrid.control.signing import Signer
from agentgrid.db.tables import PolicyRow, SigningKey
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.api import factories
from tests.api.conftest import SETUP, Api, listening
from tests.api.test_bad_input import BODIES
from tests.api.wire import command_counts, exchange, state, wire

JSON = "Content-Type: application/json"
OF_A_START = {
    name for name in BODIES if name.startswith(("priority", "time", "naive", "year", "offset", "many", "tag of"))
}
"""Unacceptable as parts of a start; anywhere else they are unknown fields, and one of these shows it for all."""
MAY_BE_LEFT_OUT = {"empty", "null"}

ROUTES = {
    "start": ("operator", "POST", "/workflows/known/runs"),
    "verb": ("operator", "POST", "/runs/{run}/cancel"),
    "signal": ("operator", "POST", "/runs/{run}/signal"),
    "decision": ("reviewer", "POST", "/approvals/{approval}/decisions"),
    "rule": ("admin", "PUT", "/policies/known"),
    "rule of a tool": ("admin", "PUT", "/tools/known/policy"),
    "kill switch": ("admin", "POST", "/workflows/known/disable"),
    "withdrawal": ("admin", "DELETE", "/policies/known"),
    "principal": ("admin", "PUT", "/principals/spare"),
    "disabling": ("admin", "POST", "/principals/spare/disable"),
    "key": ("admin", "POST", "/keys"),
    "revocation": ("admin", "POST", "/keys/{key}/revoke"),
    "signing key": ("admin", "POST", "/signing-keys/{signer}/retire"),
}
OPTIONAL = {"verb", "kill switch", "withdrawal", "disabling", "revocation", "signing key"}
"""Their body is a reason, which may be left out."""


@pytest.fixture(scope="module")
async def things(api: Api) -> dict[str, str]:
    """One of each resource that routes refer to."""
    run, signer = factories.run(), Signer.of(Ed25519PrivateKey.generate())
    approval = factories.approval(run)
    rule = {"approvers": [], "expires_seconds": 60.0, "reason": "", "created_by": "admin"}
    await factories.insert(
        api.plane.engine,
        *factories.workflow("known", {}),
        factories.tool("known"),
        run,
        factories.execution(run),
        approval,
        SigningKey(key_id=signer.key_id, public_key=signer.public_key),
        PolicyRow(rule_id="known", version=1, tool="known", effect="allow", **rule),
    )
    spare = Principal(name="spare", kind=PrincipalKind.SERVICE, roles=frozenset({Role.VIEWER}))
    await principals.put(api.plane.engine, SETUP, spare)
    return {
        "run": run.run_id,
        "approval": approval.approval_id,
        "key": api.tokens["second"].split("_")[1],
        "signer": signer.key_id,
    }


@pytest.fixture(scope="module")
async def url(api: Api) -> AsyncIterator[str]:
    async with listening(api.app) as url:
        yield url


WHOLE = {"start", "decision"}
"""Routes that get every body. Parsing is the same for all: the others get every fourth."""


def names_for(kind: str) -> list[str]:
    left_out = OF_A_START if kind != "start" else set()
    names = [name for name in BODIES if name not in left_out and not (kind in OPTIONAL and name in MAY_BE_LEFT_OUT)]
    return names if kind in WHOLE else names[list(ROUTES).index(kind) % 4 :: 4]


@pytest.mark.parametrize("kind", ROUTES)
async def test_an_invalid_body_has_no_effect_on_any_route(
    api: Api, url: str, things: dict[str, str], kind: str
) -> None:
    who, method, path = ROUTES[kind]
    engine, place = api.plane.engine, "/api/v1" + path.format(**things)
    before, commands = await state(engine), await command_counts(engine)
    async with wire(url) as line:  # all over one connection: none of them breaks it for the next one
        for name in names_for(kind):
            body = BODIES[name]
            head = line.request(method, place, JSON, f"Content-Length: {len(body)}", token=api.tokens[who])
            await line.send(head + body)
            reply = await line.reply()
            reply.is_problem(422, "invalid_input")
            assert reply.json()["faults"] or name == "empty", name
    assert await state(engine) == before
    refused = commands.get("refused", 0) + len(names_for(kind))
    assert await command_counts(engine) == commands | {"refused": refused}


@pytest.mark.parametrize("kind", ROUTES)
async def test_a_body_of_another_type_has_no_effect_on_any_route(
    api: Api, url: str, things: dict[str, str], kind: str
) -> None:
    who, method, path = ROUTES[kind]
    engine, place = api.plane.engine, "/api/v1" + path.format(**things)
    before = await state(engine)
    for headers in (
        (),
        ("Content-Type: text/plain",),
        ("Content-Type: ",),
        ("Content-Type: application/json; charset=utf-16",),
        ("Content-Type: multipart/form-data; boundary=x",),
        (JSON, "Content-Encoding: gzip"),
        (JSON, "Content-Encoding: br, gzip"),
    ):
        reply = await exchange(url, api.tokens[who], method, place, *headers, body=b"{}")
        reply.is_problem(415, "unsupported_media_type")
    (await exchange(url, api.tokens[who], method, place, JSON, body=b" " * (2 * 1024 * 1024 + 1))).is_problem(
        413, "payload_too_large"
    )
    assert await state(engine) == before


ODD = {
    "minus zero": (b"-0", 0),
    "minus zero with a fraction": (b"-0.0", 0.0),
    "a number that rounds to zero": (b"1e-400", 0.0),
    "the largest integer": (b"9223372036854775807", 2**63 - 1),
    "the smallest integer": (b"-9223372036854775807", 1 - 2**63),
    "a number as a string": (b'"NaN"', "NaN"),
    "names that JavaScript knows": (
        b'{"__proto__": {"a": 1}, "constructor": 2}',
        {"__proto__": {"a": 1}, "constructor": 2},
    ),
    "letters that look alike": ('{"é": 1, "e\u0301": 2}'.encode(), {"é": 1, "e\u0301": 2}),
    "beyond the first plane": ('"💩\u202eabc\u200b"'.encode(), "💩\u202eabc\u200b"),
    "a pair of surrogates": (b'"\\ud83d\\ude00"', "😀"),
    "sixty levels": (b"[" * 60 + b"]" * 60, None),
    "ten thousand keys": (b"{" + b",".join(b'"k%d":1' % n for n in range(10_000)) + b"}", None),
}


@pytest.mark.parametrize("name", ODD)
async def test_unusual_but_unambiguous_json_is_accepted(api: Api, url: str, things: object, name: str) -> None:
    raw, value = ODD[name]
    path = "/api/v1/workflows/known/runs"
    reply = await exchange(url, api.tokens["operator"], "POST", path, JSON, body=b'{"input": ' + raw + b"}")
    assert reply.status == 201, reply
    run_reply = await exchange(url, api.tokens["operator"], "GET", f"/api/v1/runs/{reply.json()['run_id']}")
    assert "input" in run_reply.json()
    if value is not None:
        command = await exchange(
            url, api.tokens["auditor"], "GET", f"/api/v1/commands/{reply.json()['command']['command_id']}"
        )
        assert command.json()["body"]["input"] == value
