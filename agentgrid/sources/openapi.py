"""`ag.openapi`: an OpenAPI document as a source of typed tools.

The document is read once, when the project's code is imported; workers never fetch it. A tool's version is a digest of its operation.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agentgrid.domain.policies import Risk
from agentgrid.sdk.json_tools import Declared, JsonTool
from agentgrid.sdk.tools import RiskName, idempotency_key
from agentgrid.sdk.toolsets import Toolset, near, tool_name
from agentgrid.sources.boundaries import MAX_DESCRIPTION, REFUSED_HEADERS, Inputs, output_schema
from agentgrid.sources.connections import Connections
from agentgrid.sources.credentials import Credential, name_fault, shown_name
from agentgrid.sources.documents import OpenApiDocument, Operation, Unusable, parsed
from agentgrid.sources.exchange import RequestLimits
from agentgrid.sources.operations import TEMPLATE, Auth, OperationCall

COPIES_FOLDER = "openapi"
"""Where `agentgrid openapi add` stores documents that it fetched."""
MAX_OPERATIONS = 500
DEFAULT_MAX_BYTES = 1024 * 1024
RISKS = {"GET": Risk.READ, "HEAD": Risk.READ, "DELETE": Risk.DESTRUCTIVE}
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, RecursionError)
"""What reading a document raises if its values have types that OpenAPI doesn't allow."""
Risks = RiskName | Risk | Mapping[str, RiskName | Risk]


class OpenApiToolset(Toolset):
    """The tools of an OpenAPI document."""

    def __init__(self, *args: Any, connections: Connections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections = connections

    async def start(self, allowed_hosts: Sequence[str]) -> None:
        """Also let its tools reach these private hosts."""
        self._connections.start(allowed_hosts)

    async def stop(self) -> None:
        """Close its connections."""
        await self._connections.stop()


def openapi(
    name: str,
    document: str,
    *,
    include: Sequence[str] | None = None,
    risk: Risks | None = None,
    server: str | None = None,
    auth: Credential | Mapping[str, Credential] | None = None,
    timeout: timedelta = timedelta(seconds=30),
    retries: int = 3,
    allow: Sequence[str] = (),
    max_bytes: int = DEFAULT_MAX_BYTES,
    check_results: bool = True,
) -> Toolset:
    """Tools `<name>_<operationId>` from an OpenAPI document (version 3.0 or 3.1, JSON). Assign the result to a module-level variable.

    document: a file in the project, or a URL of which `agentgrid openapi add` has stored a copy. include: the operationIds to use; all by default.
    risk: one for all tools, or by operationId; by default GET and HEAD are read, DELETE is destructive, the rest are write. server: the base
    URL, overriding the document's first server. auth: the name of the API's secret, or one for each of the document's security schemes. timeout,
    retries: as for `ag.tool`. allow: private hosts that may be reached. max_bytes: maximum response size. check_results: whether to validate
    responses against the document's schema.

    A call takes one object: the operation's parameters by name, and `body`. It returns the response's JSON. A 4xx status raises a ToolError that is
    not retried; 408, 425, 429 and 5xx are retried, after the service's `Retry-After` if it sends one.
    """
    declared = Declared.at(sys._getframe(1))
    source = _Source(
        name=name,
        risk=risk,
        server=server,
        auth=auth,
        timeout=timeout,
        retries=retries,
        max_bytes=max_bytes,
        check_results=check_results,
        declared=declared,
        connections=Connections(allow),
    )
    faults: list[str] = []
    tools: dict[str, JsonTool] = {}
    try:
        read = _read(declared, name, document)
        chosen = list(_chosen(read, include, risk, faults))
        for operation in chosen:
            try:
                tools[operation.id] = source.tool(read, operation)
            except Unusable as error:
                faults.append(f"{operation.place}: {error}")
            except UNREADABLE as error:
                faults.append(
                    f"{operation.place}: it does not follow OpenAPI: {type(error).__name__}: {str(error)[:200]}"
                )
    except Unusable as error:
        faults.append(str(error))
    except UNREADABLE as error:
        faults.append(f"the document does not follow OpenAPI: {type(error).__name__}: {str(error)[:200]}")
    return OpenApiToolset(name, tools=tools, faults=faults, declared=declared, connections=source.connections)


def copy_path(name: str) -> str:
    """Where a project stores its copy of a fetched document."""
    return f"{COPIES_FOLDER}/{name}.json"


def _read(declared: Declared, name: str, document: str) -> OpenApiDocument:
    is_url = document.startswith(("http://", "https://"))
    path = near(declared, copy_path(name) if is_url else document)
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        if is_url:
            raise Unusable(
                f"there is no copy of {document} at {path}: run `agentgrid openapi add {name} {document}` to store one"
            ) from None
        raise Unusable(f"there is no document at {path}") from None
    except OSError as error:
        raise Unusable(f"{path} can't be read: {error.strerror}") from None
    return parsed(data)


def _chosen(
    document: OpenApiDocument, include: Sequence[str] | None, risk: Risks | None, faults: list[str]
) -> Iterator[Operation]:
    """The operations to use, in the document's order."""
    selected = None if include is None else set(include)
    seen: dict[str, str] = {}
    for operation in document.operations():
        if isinstance(operation, Unusable):
            faults += [] if selected is not None else [str(operation)]
            continue
        if selected is not None and operation.id not in selected:
            continue
        if not operation.id:
            faults.append(
                f"{operation.place}: it has no operationId; use include=[...] to select the operations to use"
            )
        elif operation.id in seen:
            faults.append(f"{operation.place}: {seen[operation.id]} has the same operationId")
        else:
            seen[operation.id] = operation.place
            yield operation
        if len(seen) > MAX_OPERATIONS:
            raise Unusable(
                f"it has over {MAX_OPERATIONS} operations; use include=[...] to select the operations to use"
            )
    named = {"include": selected or (), "risk": risk if isinstance(risk, Mapping) else ()}
    for option, ids in named.items():
        faults += [
            f"{option} names {missing!r}, which is not one of the operations in use"
            for missing in sorted(set(ids) - set(seen))
        ]


class _Source:
    """The options of `openapi`, and how they turn an operation into a tool."""

    def __init__(self, **options: Any) -> None:
        self.name: str = options["name"]
        self.risk: Risks | None = options["risk"]
        self.server: str | None = options["server"]
        self.auth: Any = options["auth"]
        self.timeout: timedelta = options["timeout"]
        self.retries: int = options["retries"]
        self.max_bytes: int = options["max_bytes"]
        self.check_results: bool = options["check_results"]
        self.declared: Declared = options["declared"]
        self.connections: Connections = options["connections"]

    def tool(self, document: OpenApiDocument, operation: Operation) -> JsonTool:
        """The tool for an operation. Raises Unusable."""
        inputs = Inputs(document, operation)
        call = OperationCall(
            method=operation.method,
            server=self._server(operation),
            path=operation.path,
            parameters=tuple(inputs.parameters),
            body=inputs.body,
            auth=tuple(self._auth(document, operation)),
        )
        return JsonTool(
            self._handler(call),
            name=tool_name(self.name, operation.id),
            title=str(operation.spec.get("summary") or operation.id)[:200],
            description=str(operation.spec.get("description") or "")[:MAX_DESCRIPTION],
            input_schema=inputs.schema(),
            output_schema=output_schema(document, operation) if self.check_results else None,
            risk=self._risk(operation),
            timeout=self.timeout,
            retries=self.retries,
            pin={
                "openapi": [call.method, call.server, call.path, call.body],
                "parameters": [[p.argument, p.name, p.where, p.explode, p.deep, p.as_json] for p in call.parameters],
                "auth": [[auth.kind, auth.name, shown_name(auth.credential)] for auth in call.auth],
            },
            declared=self.declared,
            origin=operation.place,
            idempotent=operation.method in ("GET", "HEAD"),
        )

    def _handler(self, call: OperationCall) -> Any:
        # One second less than the attempt's timeout, so that the error names the operation.
        limits = RequestLimits(total_seconds=max(1.0, self.timeout.total_seconds() - 1.0), max_bytes=self.max_bytes)
        connections = self.connections

        async def handle(arguments: dict[str, Any]) -> Any:
            request = await call.request(arguments, idempotency_key())
            return call.result(await connections.egress().send(request, limits))

        return handle

    def _risk(self, operation: Operation) -> Risk | RiskName:
        chosen = self.risk.get(operation.id) if isinstance(self.risk, Mapping) else self.risk
        return chosen or RISKS.get(operation.method, Risk.WRITE)

    def _server(self, operation: Operation) -> str:
        url = self.server
        if url is None:
            first = operation.servers[0] if operation.servers else {}
            server = first if isinstance(first, Mapping) else {}
            variables = server.get("variables")
            url = TEMPLATE.sub(lambda match: _default(variables, match[1]), str(server.get("url") or ""))
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unusable(f"its server {url[:200]!r} is not an http or https URL: pass server=")
        if parts.username is not None or parts.query or parts.fragment:
            raise Unusable("its server's URL must have neither a user name nor a query")
        return url

    def _auth(self, document: OpenApiDocument, operation: Operation) -> Iterator[Auth]:
        if not operation.security or any(not names for names in operation.security):
            if self.auth is not None and not isinstance(self.auth, Mapping) and not operation.security:
                # The document doesn't mention it.
                yield _auth_of("bearer", {"type": "oauth2"}, self.auth)
            return
        schemes = document.resolved((document.root.get("components") or {}).get("securitySchemes") or {})
        alternatives = [dict(names) for names in operation.security if isinstance(names, Mapping)]
        named = self.auth if isinstance(self.auth, Mapping) else None
        for names in alternatives:
            if named is not None and not set(names) <= set(named):
                continue
            if self.auth is None or (named is None and len(names) != 1):
                continue
            for scheme in names:
                credential = self.auth if named is None else named[scheme]
                yield _auth_of(scheme, document.resolved(schemes.get(scheme)), credential)
            return
        shown = " or ".join(" with ".join(sorted(names)) for names in alternatives)
        raise Unusable(f"it needs {shown}: pass auth= with the secret's name, or with one for each scheme")


def _auth_of(name: str, scheme: Any, credential: Credential) -> Auth:
    if (wrong := name_fault(credential)) is not None:
        raise Unusable(wrong)
    if not isinstance(scheme, Mapping):
        raise Unusable(f"its security scheme {name!r} is not in the document")
    kind, where = scheme.get("type"), scheme.get("in")
    if kind in ("oauth2", "openIdConnect"):
        return Auth(kind="bearer", credential=credential)
    if kind == "http" and str(scheme.get("scheme")).lower() in ("bearer", "basic"):
        return Auth(kind=str(scheme["scheme"]).lower(), credential=credential)
    if kind == "apiKey" and where in ("header", "query") and str(scheme.get("name")).lower() not in REFUSED_HEADERS:
        return Auth(kind=str(where), name=str(scheme.get("name")), credential=credential)
    raise Unusable(f"its security scheme {name!r} is not supported")


def _default(variables: Any, name: str) -> str:
    variable = variables.get(name) if isinstance(variables, Mapping) else None
    return str(variable.get("default", "")) if isinstance(variable, Mapping) else ""
