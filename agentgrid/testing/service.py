"""The provider's HTTP service: takes a request, runs the script, and sends the answer, or fails as scripted."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from agentgrid.testing.ledger import ENDED, Ledger, Record, RequestState
from agentgrid.testing.turns import Fault, Script, ScriptExhausted, Turn, counted, next_turn
from agentgrid.testing.wire import chat, messages, responses
from agentgrid.testing.wire.base import Event, Refused, Wire, WireAnswer, WireRequest, answer

WIRES = (chat.WIRE, responses.WIRE, messages.WIRE)
ANSWER_SECONDS = 900.0
"""Maximum duration of a request, including script and delays."""
STOP_SECONDS = 10.0
MAX_ERRORS_SHOWN = 3
BEARER = "bearer "


@dataclass(frozen=True, kw_only=True)
class ProviderLimits:
    """Limits of one provider."""

    max_body_bytes: int = 8 * 2**20
    """Larger requests are refused with 413."""
    max_requests: int = 20_000
    """When this many requests are recorded, further ones are refused with 503 and not recorded."""


class Service:
    """The application `app` for one script and one ledger.

    drop: closes a client's connection.
    """

    def __init__(
        self,
        script: Script,
        ledger: Ledger,
        *,
        models: Sequence[str],
        any_model: bool,
        limits: ProviderLimits,
        drop: Callable[[Any], None],
    ) -> None:
        self.script_error: Exception | None = None
        self.stopping = False
        self.drop = drop
        self.ledger = ledger
        self.limits = limits
        self._script = script
        self._models = models
        self._any_model = any_model
        self._session = secrets.token_hex(6)
        self._attempts: Counter[str] = Counter()
        self._exchanges: dict[asyncio.Task[None], _Exchange] = {}
        routes: list[Route] = [
            Route(wire.path, _Endpoint(self, wire), methods=["POST"], name=wire.name) for wire in WIRES
        ]
        self.app = Starlette(
            routes=[*routes, Route("/v1/models", self._list_models)],
            # Otherwise a web page could reach it by resolving its own name to this address.
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
        )

    async def stop(self) -> None:
        """Drop the requests in flight, and accept no more."""
        self.stopping = True
        for exchange in self._exchanges.values():
            exchange.stop()
        if self._exchanges:
            await asyncio.wait(list(self._exchanges), timeout=STOP_SECONDS)

    def begin(self, exchange: _Exchange, task: asyncio.Task[None]) -> None:
        self._exchanges[task] = exchange
        task.add_done_callback(self._exchanges.pop)

    def record(self, wire_request: WireRequest, request: Request) -> tuple[Record, WireRequest]:
        """Record the request; returns the record, and the request with its attempt number."""
        digest = wire_request.conversation.digest
        self._attempts[digest] += 1
        conversation = replace(wire_request.conversation, attempt=self._attempts[digest])
        retries = request.headers.get("x-stainless-retry-count", "0")
        record = self.ledger.add(
            protocol=conversation.protocol,
            model=conversation.model[:200],
            stream=wire_request.stream,
            key_given=_has_key(request),
            client_retry=int(retries) if retries.isdecimal() and len(retries) < 9 else 0,
            messages=conversation.messages,
            tools=tuple(tool.name for tool in conversation.tools),
            turn=conversation.turn,
            attempt=conversation.attempt,
        )
        return record, replace(wire_request, conversation=conversation)

    def check(self, wire_request: WireRequest, record: Record) -> None:
        """Raise Refused for what any provider would refuse."""
        if not record.key_given:
            raise Refused("no API key was given", status=401, code="invalid_api_key")
        if not self._any_model and wire_request.conversation.model not in self._models:
            raise Refused(f"the model {record.model!r} doesn't exist", status=404, code="model_not_found")

    async def turn(self, wire_request: WireRequest) -> Turn:
        """The script's answer. An exception in the script is kept, and becomes a refusal."""
        try:
            return await next_turn(self._script, wire_request.conversation)
        except ScriptExhausted as error:
            raise Refused(str(error), code="script_exhausted") from error
        except Exception as error:
            self.script_error = self.script_error or error
            raise Refused(f"the script raised {type(error).__name__}: {error}", code="script_error") from error

    def answer(self, turn: Turn, wire_request: WireRequest, record: Record) -> WireAnswer:
        usage = counted(turn, wire_request.conversation)
        identity = f"{self._session}{record.number:06d}"
        return answer(turn, wire_request.conversation, usage, response_id=identity, created=int(time.time()))

    async def _list_models(self, request: Request) -> Response:
        if "anthropic-version" in request.headers:
            data = [
                {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
                for name in self._models
            ]
            ends = {"first_id": self._models[0], "last_id": self._models[-1]} if data else {}
            return JSONResponse({"data": data, "has_more": False, **ends})
        owned = [{"id": name, "object": "model", "created": 0, "owned_by": "agentgrid"} for name in self._models]
        return JSONResponse({"object": "list", "data": owned})


class _Endpoint:
    """The route of one protocol."""

    def __init__(self, service: Service, wire: Wire) -> None:
        self._service = service
        self._wire = wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service
        request = Request(scope, receive)
        try:
            if service.stopping or len(service.ledger.records) >= service.limits.max_requests:
                raise Refused("this provider has stopped accepting requests", status=503)
            wire_request = self._wire.read(await _body(request, service.limits.max_body_bytes))
        except ClientDisconnect:
            return
        except (Refused, ValidationError) as error:
            fault = error.fault if isinstance(error, Refused) else Fault.bad_request(_explained(error))
            await error_response(self._wire, fault)(scope, receive, send)
            return
        record, wire_request = service.record(wire_request, request)
        exchange = _Exchange(service, self._wire, wire_request, record, scope, send)
        running = asyncio.create_task(exchange.run(receive))
        service.begin(exchange, running)
        await running


class _Exchange:
    """A recorded request, from arrival to end."""

    def __init__(
        self, service: Service, wire: Wire, wire_request: WireRequest, record: Record, scope: Scope, send: Send
    ) -> None:
        self._service = service
        self._wire = wire
        self._wire_request = wire_request
        self._record = record
        self._scope = scope
        self._send = send
        self._gone = False
        self._stopped = False
        self._working: asyncio.Task[None] | None = None

    async def run(self, receive: Receive) -> None:
        """Run until the request has ended, the client disconnects, or the provider stops."""
        work = self._working = asyncio.create_task(self._work())
        watch = asyncio.create_task(self._watch(receive))
        if self._stopped:
            work.cancel()
        try:
            await asyncio.wait({work})
            late = not work.cancelled() and isinstance(work.exception(), TimeoutError)
            if self._record.state not in ENDED and (late or work.cancelled()):
                self._change(state=RequestState.ABANDONED if self._gone else RequestState.CUT)
            if self._record.state is RequestState.CUT and not self._gone:
                self._service.drop(self._scope["client"])
                await watch
            if not work.cancelled() and not late:
                work.result()
        finally:
            work.cancel()
            watch.cancel()

    def stop(self) -> None:
        self._stopped = True
        if self._working is not None:
            self._working.cancel()

    def _change(self, **fields: Any) -> None:
        self._record = self._service.ledger.change(self._record.number, **fields)

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self.stop()

    async def _work(self) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            try:
                self._service.check(self._wire_request, self._record)
                turn = await self._service.turn(self._wire_request)
            except Refused as error:
                await self._refuse(error.fault)
                return
            if turn.fault is not None and turn.fault.status is not None:
                await asyncio.sleep(turn.delay_seconds)
                await self._refuse(turn.fault)
            else:
                await self._answer(turn)

    async def _refuse(self, fault: Fault) -> None:
        self._change(state=RequestState.REFUSED, status=fault.status, error=fault.message)
        response = error_response(self._wire, fault)
        await self._part(bytes(response.body), True, _start(response))

    async def _answer(self, turn: Turn) -> None:
        answer = self._service.answer(turn, self._wire_request, self._record)
        self._change(state=RequestState.ANSWERING, status=200, billed=answer.usage)
        await asyncio.sleep(turn.delay_seconds)
        parts, start = self._parts(answer)
        if turn.fault is not None:
            await self._cut(turn, parts, start)
            return
        for index, part in enumerate(parts):
            if index:
                await asyncio.sleep(turn.pause_seconds)
            await self._part(part, index == len(parts) - 1, start if index == 0 else None)

    def _parts(self, answer: WireAnswer) -> tuple[list[bytes], Message]:
        """The response's head, and the parts to send in sequence."""
        if self._wire_request.stream:
            parts = [_encoded(event) for event in self._wire.events(answer, self._wire_request)]
            return parts, _start(
                Response(media_type="text/event-stream", headers={"cache-control": "no-cache"}), length=False
            )
        response = JSONResponse(self._wire.whole(answer))
        return [bytes(response.body)], _start(response)

    async def _cut(self, turn: Turn, parts: list[bytes], start: Message) -> None:
        """Send part of the answer; `run` then drops the connection."""
        fault = turn.fault or Fault.cut()
        share = min(max(fault.cut_after, 0.0), 1.0)
        if self._wire_request.stream:
            parts = parts[: min(int(len(parts) * share), len(parts) - 1)]
        else:
            parts = [parts[0][: min(int(len(parts[0]) * share), len(parts[0]) - 1)]]
        for index, part in enumerate(parts if share else ()):
            if index:
                await asyncio.sleep(turn.pause_seconds)
            await self._part(part, False, start if index == 0 else None)
        self._change(state=RequestState.CUT, error=fault.message)

    async def _part(self, part: bytes, last: bool, start: Message | None) -> None:
        await asyncio.sleep(0)  # lets the watcher cancel this if the client has disconnected
        if last and self._record.state is RequestState.ANSWERING:
            self._change(state=RequestState.ANSWERED)
        if start is not None:
            await self._send(start)
        await self._send({"type": "http.response.body", "body": part, "more_body": not last})


def error_response(wire: Wire, fault: Fault) -> Response:
    headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
    return JSONResponse(wire.refusal(fault), fault.status or 500, headers=headers)


def _start(response: Response, *, length: bool = True) -> Message:
    headers = [(name, value) for name, value in response.raw_headers if length or name != b"content-length"]
    return {"type": "http.response.start", "status": response.status_code, "headers": headers}


def _encoded(event: Event) -> bytes:
    name, data = event
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


async def _body(request: Request, most: int) -> dict[str, Any]:
    """The request's JSON object. Raises Refused and ClientDisconnect."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise Refused("the content type must be application/json", status=415)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise Refused(f"the request is larger than {most} bytes", status=413)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused("the request is not JSON") from error
    if not isinstance(value, dict):
        raise Refused("the request must be a JSON object")
    return value


def _has_key(request: Request) -> bool:
    header = request.headers.get("authorization", "")
    bearer = header[len(BEARER) :].strip() if header.lower().startswith(BEARER) else ""
    return bool(bearer or request.headers.get("x-api-key", "").strip())


def _explained(error: ValidationError) -> str:
    """The first faults, without values."""

    def messages() -> Iterator[str]:
        for fault in error.errors(include_url=False, include_input=False)[:MAX_ERRORS_SHOWN]:
            yield f"{'.'.join(str(step) for step in fault['loc'])}: {fault['msg']}"

    return "; ".join(messages())
