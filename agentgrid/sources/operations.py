"""Calls an OpenAPI operation: turns arguments into a request, and the response into a result."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

from agentgrid.domain.canonical import sorted_json
from agentgrid.domain.secrets import known
from agentgrid.errors import ToolError
from agentgrid.sources.credentials import Credential, value_of
from agentgrid.sources.exchange import HttpRequest, HttpResponse

MAX_ERROR_CHARACTERS = 1_000
MAX_RETRY_AFTER_SECONDS = 3600.0
RETRYABLE = frozenset({408, 425, 429})
KEY_HEADER = "idempotency-key"
TEMPLATE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter: its name among the arguments, its own name, and how its value is serialised."""

    argument: str
    name: str
    where: str
    """`path`, `query` or `header`."""
    explode: bool = True
    deep: bool = False
    as_json: bool = False


@dataclass(frozen=True, kw_only=True)
class Auth:
    """A credential, and where to send it: `bearer`, `basic`, `header` or `query`."""

    kind: str
    name: str = ""
    credential: Credential = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class OperationCall:
    """An operation, ready to call."""

    method: str
    server: str
    path: str
    parameters: tuple[Parameter, ...]
    body: str | None = None
    """The media type of the body."""
    auth: tuple[Auth, ...] = ()

    async def request(self, arguments: Mapping[str, Any], key: str) -> HttpRequest:
        """The request for these arguments. Raises ToolError if they can't be serialised."""
        query: list[tuple[str, str]] = []
        path: dict[str, str] = {}
        headers = {"accept": "application/json, text/*;q=0.5"}
        for parameter in self.parameters:
            if (value := arguments.get(parameter.argument)) is None:
                continue
            if parameter.where == "path":
                path[parameter.name] = self._segment(parameter, value)
            elif parameter.where == "header":
                headers[parameter.name] = _plain(parameter, value)
            else:
                query += _query(parameter, value)
        own: dict[str, str] = {}
        for auth in self.auth:
            await _sign(auth, own, query)
        if self.method not in ("GET", "HEAD"):
            headers.setdefault(KEY_HEADER, key)
        content = None
        if self.body is not None and "body" in arguments:
            content = json.dumps(arguments["body"], ensure_ascii=False, allow_nan=False).encode()
            headers["content-type"] = self.body
        filled = TEMPLATE.sub(lambda match: path[match[1]], self.path)
        url = f"{self.server.rstrip('/')}{filled}" + (f"?{urlencode(query)}" if query else "")
        return HttpRequest(method=self.method, url=url, headers=headers, own=own, content=content)

    def result(self, answer: HttpResponse) -> Any:
        """A successful response's JSON value, or its text. Raises ToolError for any other response."""
        if not 200 <= answer.status < 300:
            raise self._failure(answer)
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not answer.body:
            return None
        if kind == "application/json" or kind.endswith("+json"):
            try:
                return json.loads(answer.body, parse_constant=_no_constant)
            except (ValueError, RecursionError):
                raise ToolError(f"{self._shown} answers with invalid JSON") from None
        if kind.startswith("text/") or not kind:
            return answer.body.decode(errors="replace")
        raise ToolError(f"{self._shown} answers with {kind[:100]}, which is not JSON")

    @property
    def _shown(self) -> str:
        return f"{self.method} {self.path}"

    def _segment(self, parameter: Parameter, value: Any) -> str:
        text = _plain(parameter, value)
        if text in ("", ".", ".."):
            # It would change the path.
            raise ToolError(f"{self._shown}: {parameter.argument} can't be {text!r}")
        return quote(text, safe="")

    def _failure(self, answer: HttpResponse) -> ToolError:
        retryable = answer.status in RETRYABLE or answer.status >= 500
        # The service may echo the request, including its credentials.
        text = " ".join(known.text(answer.body.decode(errors="replace")).split())
        more = "…" if answer.truncated or len(text) > MAX_ERROR_CHARACTERS else ""
        message = f"{self._shown} answers {answer.status}: {text[:MAX_ERROR_CHARACTERS]}{more}"
        return ToolError(
            message,
            retryable=retryable,
            retry_after_seconds=_retry_after(answer.headers) if retryable else None,
        )


async def _sign(auth: Auth, own: dict[str, str], query: list[tuple[str, str]]) -> None:
    value = await value_of(auth.credential)
    if auth.kind == "bearer":
        own["authorization"] = f"Bearer {value}"
    elif auth.kind == "basic":
        own["authorization"] = f"Basic {base64.b64encode(value.encode()).decode()}"
    elif auth.kind == "header":
        own[auth.name] = value
    else:
        query.append((auth.name, value))


def _query(parameter: Parameter, value: Any) -> Iterator[tuple[str, str]]:
    if parameter.as_json:
        yield parameter.name, sorted_json(value).decode()
    elif isinstance(value, dict) and parameter.deep:
        yield from ((f"{parameter.name}[{name}]", _scalar(parameter, item)) for name, item in value.items())
    elif isinstance(value, dict) and parameter.explode:
        yield from ((name, _scalar(parameter, item)) for name, item in value.items())
    elif isinstance(value, list) and parameter.explode:
        yield from ((parameter.name, _scalar(parameter, item)) for item in value)
    else:
        yield parameter.name, _plain(parameter, value)


def _plain(parameter: Parameter, value: Any) -> str:
    """Serialise in the style `simple`: values separated by commas."""
    if parameter.as_json:
        return sorted_json(value).decode()
    if isinstance(value, list):
        return ",".join(_scalar(parameter, item) for item in value)
    if isinstance(value, dict):
        return ",".join(f"{name},{_scalar(parameter, item)}" for name, item in value.items())
    return _scalar(parameter, value)


def _scalar(parameter: Parameter, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list)):
        raise ToolError(f"{parameter.argument}: the value is nested too deeply for a {parameter.where} parameter")
    return json.dumps(value)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The delay that the service requests, in seconds and within limits."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value) if value[:1].isdecimal() else _until(value, headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 1.0), MAX_RETRY_AFTER_SECONDS)


def _until(date: str, now: str) -> float:
    """Seconds between two dates from the service's own clock."""
    return (parsedate_to_datetime(date) - parsedate_to_datetime(now)).total_seconds()


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
