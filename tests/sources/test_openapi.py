"""An OpenAPI document becomes typed, governed tools. What can't be converted is reported with its operation and path."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import agentgrid as ag
from agentgrid.domain.secrets import known
from agentgrid.errors import RegistrationError, RegistrationErrors, ToolError
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from agentgrid.testing import Governance, keyed, secrets
from tests.sources import calling, crm
from tests.sources.hostile import Request, Server, serving, text
from tests.worker.conftest import client, queue  # noqa: F401


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_TOKEN", "canary")


def tools_of(folder: Path, document: Any = None, **options: Any) -> ag.Toolset:
    value = crm.document() if document is None else document
    return ag.openapi("crm", crm.written(folder, value), **({"auth": "CRM_TOKEN"} | options))


def messages(toolset: ag.Toolset) -> list[str]:
    return [fault.message for fault in toolset.faults]


@pytest.mark.parametrize("version", ["3.1.0", "3.0.3"])
def test_each_operation_is_a_tool_with_its_schemas_and_a_risk(tmp_path: Path, version: str) -> None:
    toolset = tools_of(tmp_path, crm.document(version), risk={"createCustomer": "destructive"})
    assert messages(toolset) == []
    assert {tool.name: str(tool.risk) for tool in toolset} == {
        "crm_get_customer": "read",
        "crm_delete_customer": "destructive",
        "crm_create_customer": "destructive",
    }
    get, create = toolset["getCustomer"], toolset["createCustomer"]
    assert (get.title, get.description) == ("Find a customer", "By its number.")
    assert get.signature.input_schema["required"] == ["id"]
    assert get.signature.input_schema["properties"]["id"] == {"type": "string", "description": "No."}
    sent = create.signature.input_schema["$defs"]["Customer"]
    assert (set(sent["properties"]), sent["required"]) == ({"name", "secret", "parent"}, ["name", "secret"])
    received = create.signature.output_schema
    assert received["anyOf"] == [{"$ref": "#/$defs/Customer"}, {"type": "null"}]
    assert set(received["$defs"]["Customer"]["properties"]) == {"id", "name", "parent"}
    only = tools_of(tmp_path, include=["getCustomer"], risk="write")
    assert [(tool.name, tool.risk) for tool in only] == [("crm_get_customer", "write")]
    with pytest.raises(RegistrationError, match=r"test_openapi\.py.*has no tool 'deleteCustomer'; it has: getCustomer"):
        _ = only["deleteCustomer"]


def test_a_tools_version_depends_only_on_its_operation(tmp_path: Path) -> None:
    before = {tool.name: tool.version for tool in tools_of(tmp_path)}
    changed = crm.document()
    changed["paths"]["/customers/{id}"]["get"]["parameters"][0]["explode"] = False
    after = {tool.name: tool.version for tool in tools_of(tmp_path, changed)}
    assert {name for name in before if before[name] != after[name]} == {"crm_get_customer"}
    moved = {tool.name: tool.version for tool in tools_of(tmp_path, server="https://elsewhere.test")}
    assert all(before[name] != moved[name] for name in before)


async def test_arguments_become_a_request_and_the_response_is_the_result(tmp_path: Path) -> None:
    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        answer = {"id": 7, "name": "Ann"} if request.method != "DELETE" else None
        body = b"" if answer is None else json.dumps(answer).encode()
        await text(204 if answer is None else 200, body, {"content-type": "application/json"})(request, writer)

    async with serving(reply) as server:
        toolset = tools_of(tmp_path, server=f"{server.url}/v1/", allow=["127.0.0.1"])
        arguments = {
            "id": "a/b ?#é",
            "fields": ["x", "y"],
            "filter": {"a": 1, "b": True},
            "X-Trace": "t",
            "flat": [1, 2],
        }
        assert await toolset["getCustomer"](arguments) == {"id": 7, "name": "Ann"}
        with keyed("key-1"):
            assert await toolset["deleteCustomer"]({"id": "7"}) is None
            made = await toolset["createCustomer"]({"body": {"name": "Ann", "secret": "s"}})
        assert made == {"id": 7, "name": "Ann"}
        with pytest.raises(ApplicationError, match="does not fit its schema"):
            await toolset["createCustomer"]({"body": {"secret": "s"}})
        for outside in ("..", ".", ""):
            with pytest.raises(ToolError, match="id can't be"):
                await toolset["getCustomer"]({"id": outside})
        await toolset.stop()
    first, second, third = server.requests
    assert first.target == (
        "/v1/customers/a%2Fb%20%3F%23%C3%A9?fields=x&fields=y&filter%5Ba%5D=1&filter%5Bb%5D=true&flat=1%2C2"
    )
    assert (first.headers["x-trace"], first.headers["x-api-key"]) == ("t", "canary")
    assert "idempotency-key" not in first.headers
    assert (second.method, second.headers["idempotency-key"]) == ("DELETE", "key-1")
    assert (third.body, third.headers["content-type"]) == (b'{"name": "Ann", "secret": "s"}', "application/json")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (text(404, b"no\n such customer " + b"x" * 2000), (False, None, "GET /customers/{id} answers 404: no such")),
        (text(429, headers={"retry-after": "7"}), (True, 7.0, "answers 429")),
        (text(503, headers={"retry-after": "999999"}), (True, 3600.0, "answers 503")),
        (text(500, headers={"retry-after": "soon"}), (True, None, "answers 500")),
        (text(304), (False, None, "answers 304")),
        (text(200, b"<html>", {"content-type": "application/json"}), (False, None, "invalid JSON")),
        (text(200, b"NaN", {"content-type": "application/json"}), (False, None, "invalid JSON")),
        (text(200, b"x", {"content-type": "image/png"}), (False, None, "answers with image/png")),
        (text(200, b" " * 5000), (False, None, "more than 4,000 bytes")),
    ],
)
async def test_a_failure_is_final_or_retried_after_the_delay_the_service_requests(
    tmp_path: Path, reply: Any, expected: Any
) -> None:
    retryable, after, words = expected
    async with serving(reply) as server:
        toolset = tools_of(tmp_path, server=server.url, allow=["127.0.0.1"], max_bytes=4_000)
        with pytest.raises(ToolError, match=r".") as caught:
            await toolset["getCustomer"]({"id": "7"})
        await toolset.stop()
    error = caught.value
    assert (error.retryable, error.retry_after_seconds) == (retryable, after)
    assert words in error.message
    assert len(error.message) < 1_200


@pytest.mark.parametrize("value", ["sk/live-7f3b51c6e29a", "first line of a key\nsecond line of a key\n"])
async def test_a_credential_repeated_in_an_error_is_redacted_even_where_the_text_is_truncated(
    tmp_path: Path, value: str
) -> None:
    body = json.dumps({"a": "x" * 980, "key": value}, indent=2).replace("/", "\\/").encode()
    with secrets({"CRM_TOKEN": value.strip()}):
        async with serving(text(401, body)) as server:
            toolset = tools_of(tmp_path, server=server.url, allow=["127.0.0.1"], include=["getCustomer"], auth=key_of)
            with pytest.raises(ToolError) as caught:
                await toolset["getCustomer"]({"id": "7"})
            await toolset.stop()
    assert "x" * 980 + '", "key": "<' in caught.value.message
    assert value[:4] not in caught.value.message


async def test_a_credential_invalid_in_a_header_is_not_in_the_error(tmp_path: Path) -> None:
    with secrets({"CRM_TOKEN": "first line of a key\nsecond line of a key"}):
        async with serving(text()) as server:
            toolset = tools_of(tmp_path, server=server.url, allow=["127.0.0.1"], include=["getCustomer"])
            with pytest.raises(ToolError, match="is not valid") as caught:
                await toolset["getCustomer"]({"id": "7"})
            await toolset.stop()
    assert server.requests == []
    assert "line" not in caught.value.message


async def test_a_credential_from_a_function_is_redacted_like_a_secret(tmp_path: Path) -> None:
    async def token() -> str:
        return "token-of-a-function-4f1c"

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        await text(401, request.headers["x-api-key"].encode())(request, writer)

    async with serving(reply) as server:
        toolset = tools_of(tmp_path, server=server.url, allow=["127.0.0.1"], include=["getCustomer"], auth=token)
        with pytest.raises(ToolError) as caught:
            await toolset["getCustomer"]({"id": "7"})
        await toolset.stop()
    known.forget("token", "token-of-a-function-4f1c")
    assert caught.value.message.endswith("answers 401: <secret token>")


async def key_of() -> str:
    """The secret, made valid for a header."""
    return (await ag.secret("CRM_TOKEN").value()).replace("\n", " ")


async def test_more_calls_than_a_default_connection_pool_allows_are_all_in_flight(tmp_path: Path) -> None:
    all_asked = asyncio.Barrier(12)

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        await all_asked.wait()
        await text(200, b'{"id": 7, "name": "Ann"}', {"content-type": "application/json"})(request, writer)

    async with serving(reply) as server:
        toolset = tools_of(tmp_path, server=server.url, allow=["127.0.0.1"])
        async with asyncio.timeout(10):
            calls = [toolset["getCustomer"]({"id": str(number)}) for number in range(12)]
            assert len(await asyncio.gather(*calls)) == 12
        await toolset.stop()


async def test_retry_after_may_be_a_date_of_the_services_own_clock(tmp_path: Path) -> None:
    now = datetime(2001, 1, 1, tzinfo=UTC)
    dates = {"date": format_datetime(now), "retry-after": format_datetime(now + timedelta(seconds=90))}
    async with serving(text(429, headers=dates)) as server:
        toolset = tools_of(tmp_path, server=server.url, allow=["127.0.0.1"])
        with pytest.raises(ToolError) as caught:
            await toolset["getCustomer"]({"id": "7"})
        await toolset.stop()
    assert caught.value.retry_after_seconds == 90


async def test_an_invalid_result_is_an_error_unless_result_checks_are_off(tmp_path: Path) -> None:
    async with serving(text(200, b'{"id": "seven"}', {"content-type": "application/json"})) as server:
        options: dict[str, Any] = {"server": server.url, "allow": ["127.0.0.1"]}
        with pytest.raises(ApplicationError, match="does not fit its annotation"):
            await tools_of(tmp_path, **options)["getCustomer"]({"id": "7"})
        assert await tools_of(tmp_path, check_results=False, **options)["getCustomer"]({"id": "7"}) == {"id": "seven"}


def broken(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(crm.document())
    at: Any = document
    *parts, last = path.split(".")
    for part in parts:
        at = at[int(part) if isinstance(at, list) else part]
    at[int(last) if isinstance(at, list) else last] = value
    return document


GET = "paths./customers/{id}.get"
POST = "paths./customers.post"


@pytest.mark.parametrize(
    ("document", "options", "expected"),
    [
        ("{", {}, "the document is not JSON"),
        ("[]", {}, "the document is not a JSON object"),
        ({"swagger": "2.0"}, {}, "not an OpenAPI document of version 3.0 or 3.1"),
        (broken(f"{GET}.operationId", ""), {}, "GET /customers/{id}: it has no operationId"),
        (broken(f"{GET}.operationId", "createCustomer"), {}, "POST /customers (createCustomer): GET /customers/{id}"),
        (
            broken(f"{GET}.parameters.0", {"$ref": "#/nowhere"}),
            {},
            "GET /customers/{id}: the reference '#/nowhere' has no target",
        ),
        (broken(f"{GET}.parameters.0", {"$ref": "https://x.test/p"}), {}, "leaves the document"),
        (
            broken(f"{GET}.parameters.0", {"$ref": f"#/{GET.replace('/', '~1').replace('.', '/')}/parameters/0"}),
            {},
            "its references are circular",
        ),
        (broken(f"{GET}.parameters.0.in", "cookie"), {}, None),
        (broken(f"{GET}.parameters.2.name", "Transfer-Encoding"), {}, "a header that tools may not set"),
        (broken(f"{GET}.parameters.0.style", "pipeDelimited"), {}, "has the style pipeDelimited"),
        (broken("components.parameters.id.name", "number"), {}, "have different names"),
        (
            broken(f"{POST}.requestBody.content", {"multipart/form-data": {}}),
            {},
            "POST /customers (createCustomer): its body is multipart",
        ),
        (broken("servers", []), {}, "pass server="),
        (broken("servers.0.url", "https://user:canary@x.test"), {}, "neither a user name"),
        (crm.document(), {"auth": None}, "it needs token: pass auth="),
        (broken("components.securitySchemes.token", {"type": "mutualTLS"}), {}, "'token' is not supported"),
        (crm.document(), {"include": ["getCustomer", "nothing"]}, "include names 'nothing'"),
        (crm.document(), {"risk": {"nothing": "read"}}, "risk names 'nothing'"),
    ],
)
def test_a_fault_names_the_operation_and_the_place_of_the_declaration(
    tmp_path: Path, document: Any, options: Any, expected: str | None
) -> None:
    faults = messages(tools_of(tmp_path, document, **options))
    if expected is None:
        assert faults == []
    else:
        assert any(expected in message for message in faults), faults
        assert all("test_openapi.py:" in message for message in faults)
        assert "canary" not in str(faults)


def test_the_error_for_a_missing_document_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no document at" in messages(ag.openapi("crm", "nothing.json"))[0]
    url = "https://crm.test/openapi.json"
    assert f"agentgrid openapi add crm {url}" in messages(ag.openapi("crm", url))[0]
    (tmp_path / "openapi").mkdir()
    crm.written(tmp_path / "openapi", crm.document())
    assert messages(ag.openapi("crm", url, auth="CRM_TOKEN")) == []


def places(value: Any, path: str = "") -> Iterator[str]:
    if path:
        yield path[1:]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if "." not in str(key):
            yield from places(inner, f"{path}.{key}")


def test_a_document_with_wrong_types_does_not_prevent_importing_the_module(tmp_path: Path) -> None:
    for path in places(crm.document()):
        for junk in (None, 7, "text", [], [1], {}, {"x": 1}):
            toolset = tools_of(tmp_path, broken(path, junk))
            for tool in toolset:
                assert tool.version


async def test_a_schema_that_cannot_be_checked_is_found_by_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = broken("components.parameters.id.schema", {"type": "string", "pattern": "(?=x)"})
    monkeypatch.setattr(crm, "toolset", tools_of(tmp_path, document), raising=False)
    with pytest.raises(RegistrationErrors) as caught:
        Grid("crm", crm).check()
    assert any(
        "tool 'crm_get_customer' (GET /customers/{id} (getCustomer)): its input schema can't be used" in fault.message
        for fault in caught.value.faults
    )


async def test_a_worker_calls_the_service_under_the_operators_settings_and_waits_as_requested(
    client: Client,  # noqa: F811
    queue: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([text(429, headers={"retry-after": "1"}), text(200, b"{}", {"content-type": "application/json"})])

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        await next(answers)(request, writer)

    def worker(server: Server, allowed: str) -> Worker:
        toolset = tools_of(tmp_path, server=server.url, check_results=False)
        monkeypatch.setattr(calling, "crm", toolset)
        settings = Settings(egress_allow=allowed)
        plugin = Governance().plugin(Grid("crm", calling), settings=settings)
        return Worker(client, task_queue=queue, workflow_runner=UnsandboxedWorkflowRunner(), plugins=[plugin])

    async with serving(reply) as server:
        async with worker(server, ""):
            refused = await client.execute_workflow("calls_crm", "1", id=f"refused-{queue}", task_queue=queue)
        async with worker(server, f"127.0.0.1:{server.port}"):
            result = await client.execute_workflow("calls_crm", "2", id=f"allowed-{queue}", task_queue=queue)
    assert "AGENTGRID_EGRESS_ALLOW" in refused
    assert result == "{}"
    assert [request.target for request in server.requests] == ["/customers/2"] * 2
