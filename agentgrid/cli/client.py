"""A thin client for AgentGrid's HTTP API, with a time limit on every call, that reports what was and wasn't sent.

Every call ends within `TOTAL_SECONDS`, or the time given for it, whatever the server does. If the connection breaks, the call is retried once: a
write carries an idempotency key, so it is still carried out once. Responses are kept as bytes: `-o json` prints exactly those.
"""

from __future__ import annotations

import json
import re
import ssl
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.profiles import ApiTarget
from agentgrid.cli.text import safe

TOTAL_SECONDS = 10.0
CONNECT_SECONDS = 3.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
RETRY_AFTER_SECONDS = 0.2
PREFIX = "/api/v1"

BY_STATUS = {
    401: ExitCode.NOT_ALLOWED,
    403: ExitCode.NOT_ALLOWED,
    404: ExitCode.NOT_FOUND,
    429: ExitCode.UNAVAILABLE,
}


class Sent(Enum):
    """How far a request got."""

    NOTHING = auto()
    PARTLY = auto()
    """At most the headers: nothing that could be carried out."""
    WHOLE = auto()
    """Possibly all of it."""


@dataclass(frozen=True, kw_only=True)
class ApiResponse:
    """The API's response."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:
        """The body's value. Raises CommandFailed if it isn't JSON, which means that this is not an AgentGrid API."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise CommandFailed(
                "the server's response is not JSON; is this the URL of an AgentGrid API?", ExitCode.UNAVAILABLE
            ) from None

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", errors="replace")


@dataclass(frozen=True, kw_only=True)
class _Request:
    """One request, identical in every attempt."""

    method: str
    path: str
    params: Mapping[str, Any]
    content: bytes | None
    headers: Mapping[str, str]
    doing: str
    again: str = ""
    """How to repeat a write safely."""
    changes: bool = True
    """False for a POST that only reads."""
    extra_seconds: float = 0.0
    """How long the server may wait, on top of the usual limit."""

    @property
    def writes(self) -> bool:
        return self.method != "GET" and self.changes


class ApiClient:
    """A client for one principal and one server."""

    def __init__(self, target: ApiTarget, *, transport: httpx.BaseTransport | None = None) -> None:
        self.target = target
        self._http = httpx.Client(
            base_url=target.url + PREFIX,
            headers=request_headers(target),
            verify=verification(target.url),
            follow_redirects=False,  # a redirect would send the key elsewhere
            trust_env=False,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get_before(self, doing: str, path: str, **params: Any) -> ApiResponse:
        """Read the target of the change that will be requested next; `doing` names that change."""
        return self._send(
            _Request(method="GET", path=path, params=_without_empty(params), content=None, headers={}, doing=doing)
        )

    def get(self, path: str, *, extra_seconds: float = 0.0, **params: Any) -> ApiResponse:
        """Send a GET. Parameters that are None are omitted; a list is repeated."""
        return self._send(
            _Request(
                method="GET",
                path=path,
                params=_without_empty(params),
                content=None,
                headers={},
                doing="",
                extra_seconds=extra_seconds,
            )
        )

    def ask(self, path: str, body: Any) -> ApiResponse:
        """Send a POST that changes nothing."""
        headers = {"Content-Type": "application/json"}
        return self._send(
            _Request(
                method="POST", path=path, params={}, content=encode(body), headers=headers, doing="", changes=False
            )
        )

    def write(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        doing: str,
        key: str | None = None,
        again: str = "",
        extra_seconds: float = 0.0,
        **params: Any,
    ) -> ApiResponse:
        """Request a change once, under this idempotency key or a new one.

        `doing` names the change, `again` says how to repeat it safely if its outcome is unknown, and `extra_seconds` extends the usual limit.
        """
        headers = {"Content-Type": "application/json", "Idempotency-Key": key or str(uuid.uuid4())}
        return self._send(
            _Request(
                method=method,
                path=path,
                params=_without_empty(params),
                content=encode(body),
                headers=headers,
                doing=doing,
                again=again,
                extra_seconds=extra_seconds,
            )
        )

    def _send(self, request: _Request) -> ApiResponse:
        deadline = time.monotonic() + TOTAL_SECONDS + request.extra_seconds
        attempt = _Attempt(self._http, request, deadline)
        try:
            answer = attempt.run()
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            if isinstance(error, httpx.ConnectError):
                raise self._no_answer(attempt, error) from None
            time.sleep(RETRY_AFTER_SECONDS)
            attempt = _Attempt(self._http, request, deadline, already=attempt.sent)
            try:
                answer = attempt.run()
            except httpx.HTTPError as again:
                raise self._no_answer(attempt, again) from None
        except httpx.InvalidURL as error:
            raise CommandFailed(f"an argument can't be part of a URL: {error}", ExitCode.USAGE) from None
        except httpx.HTTPError as error:
            raise self._no_answer(attempt, error) from None
        return checked(answer)

    def _no_answer(self, attempt: _Attempt, error: httpx.HTTPError) -> CommandFailed:
        if isinstance(error, httpx.TimeoutException):
            what = f"{self.target.url} did not answer within {TOTAL_SECONDS + attempt.request.extra_seconds:g} s"
        elif isinstance(error, httpx.ConnectError):
            what = unreachable(self.target.url, error)
        else:
            what = f"the connection to {self.target.url} broke: {safe(error).rstrip('.') or type(error).__name__}"
        return CommandFailed(
            f"{what}{'' if what.endswith('?') else '.'} {attempt.account()}".rstrip(), ExitCode.UNAVAILABLE
        )


def unreachable(url: str, error: Exception) -> str:
    """The message for a server that can't be reached, with what to check."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.startswith("127.") or host == "::1":
        return f"{url} can't be reached: is `agentgrid dev` running?"
    reason = re.sub(r"^\[Errno -?\d+\] ", "", safe(error)) or type(error).__name__
    return f"{url} can't be reached ({reason}): is the server running, and is this its URL?"


class _Attempt:
    """One tracked attempt to send a request."""

    def __init__(self, http: httpx.Client, request: _Request, deadline: float, *, already: Sent = Sent.NOTHING) -> None:
        self._http = http
        self.request = request
        self._deadline = deadline
        self.sent = already

    def run(self) -> ApiResponse:
        """Send, and read the whole response. Raises httpx's errors; Ctrl-C ends the command and reports what was sent."""
        request = self.request
        left = max(self._deadline - time.monotonic(), 0.1)
        try:
            with self._http.stream(
                request.method,
                request.path,
                params=request.params,
                content=request.content,
                headers=request.headers,
                timeout=httpx.Timeout(left, connect=min(CONNECT_SECONDS, left)),
                extensions={"trace": self._trace},
            ) as response:
                return ApiResponse(status=response.status_code, body=self._read(response), headers=response.headers)
        except KeyboardInterrupt:
            raise CommandFailed(f"interrupted. {self.account()}".rstrip(), ExitCode.INTERRUPTED) from None

    def account(self) -> str:
        """What was and wasn't sent. Empty for a read, unless a change was to follow it."""
        doing = self.request.doing
        if not self.request.writes:
            return f"Nothing was sent: {doing} was not requested." if doing else ""
        if self.sent is Sent.NOTHING:
            return f"Nothing was sent: {doing} was not requested."
        if self.sent is Sent.PARTLY:
            return f"The request was only partly sent: {doing} was not requested."
        again = self.request.again or "Check before you repeat it."
        return f"The request was sent, but it is not known whether {doing} was carried out. {again}"

    def _trace(self, event: str, _info: Mapping[str, Any]) -> None:
        # httpcore's event names, documented under its `trace` extension, such as "http11.send_request_body.complete".
        if event.endswith("send_request_headers.started") and self.sent is Sent.NOTHING:
            self.sent = Sent.PARTLY
        elif event.endswith("send_request_body.started"):
            # Not only when complete: the server may have received all of it before the event arrives here.
            self.sent = Sent.WHOLE

    def _read(self, response: httpx.Response) -> bytes:
        parts, size = [], 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                raise CommandFailed(f"the response is larger than {MAX_ANSWER_BYTES:,} bytes", ExitCode.FAILED)
            if time.monotonic() > self._deadline:
                raise httpx.ReadTimeout("the response was too slow", request=response.request)
        return b"".join(parts)


def request_headers(target: ApiTarget) -> dict[str, str]:
    """The headers of every request to the target."""
    headers = {"Accept": "application/json", "User-Agent": "agentgrid-cli"}
    if target.key is not None:
        headers["Authorization"] = f"Bearer {target.key}"
    return headers


def verification(url: str) -> ssl.SSLContext | bool:
    """How the server's certificate is verified. Loading all root certificates takes 40 ms, so plain HTTP skips it."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if url.startswith("http://") else True


def encode(body: Any) -> bytes:
    """The body as JSON. Raises CommandFailed for values that JSON can't represent."""
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return json.dumps(body, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise CommandFailed(f"the input can't be sent as JSON: {error}", ExitCode.USAGE) from None


def checked(answer: ApiResponse) -> ApiResponse:
    """The response if it is a success; otherwise raises CommandFailed with its problem."""
    if 200 <= answer.status < 300:
        return answer
    problem = _problem(answer)
    if problem is None:
        raise CommandFailed(
            f"HTTP {answer.status} from a server that is not AgentGrid or runs another version of it; "
            f"check the server's URL",
            ExitCode.UNAVAILABLE if answer.status >= 500 else ExitCode.FAILED,
        )
    raise CommandFailed(describe(problem, answer), exit_code_for(answer.status), problem=problem)


def exit_code_for(status: int) -> ExitCode:
    """The exit code for a refusal with this HTTP status."""
    if status >= 500:
        return ExitCode.UNAVAILABLE
    return BY_STATUS.get(status, ExitCode.FAILED)


def describe(problem: Mapping[str, Any], answer: ApiResponse) -> str:
    """A problem document as human-readable lines."""
    lines = [safe(problem.get("detail") or problem.get("title") or f"HTTP {answer.status}")]
    for fault in problem.get("faults") or problem.get("errors") or ():
        if isinstance(fault, Mapping):
            lines.append(f"  {safe(fault.get('pointer') or '(whole input)')}: {safe(fault.get('message', ''))}")
    if problem.get("outcome_unknown"):
        lines.append(
            "  the request was sent, but it is not known whether it was carried out; check before you repeat it"
        )
    if retry := answer.headers.get("retry-after"):
        lines.append(f"  try again in {safe(retry)} s")
    return "\n".join(lines)


def _problem(answer: ApiResponse) -> dict[str, Any] | None:
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and ("code" in value or "detail" in value) else None


def _without_empty(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None and value != []}
