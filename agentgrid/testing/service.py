"""The provider's HTTP service: takes a request, asks the script, and sends the answer or fails as the script demands."""

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
"""The longest time that one request may take, script and delays included."""
STOP_SECONDS = 10.0
MAX_ERRORS_SHOWN = 3
BEARER = "bearer "


@dataclass(frozen=True, kw_only=True)
class ProviderLimits:
    """Bounds of one provider."""

    max_body_bytes: int = 8 * 2**20
    """A larger request is refused with 413."""
    max_requests: int = 20_000
    """Each later request is refused with 503, unrecorded."""


class Service:
    """The application `app` over one script and one ledger.

    drop: closes the connection of a client.
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
            # A web page that resolves its own name to this address must not reach it.
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

    def record(self, asked: WireRequest, request: Request) -> tuple[Record, WireRequest]:
        """The request's record, and the request with its attempt."""
        digest = asked.conversation.digest
        self._attempts[digest] += 1
        conversation = replace(asked.conversation, attempt=self._attempts[digest])
        retries = request.headers.get("x-stainless-retry-count", "0")
        record = self.ledger.add(
            protocol=conversation.protocol,
            model=conversation.model[:200],
            stream=asked.stream,
            key_given=_has_key(request),
            client_retry=int(retries) if retries.isdecimal() and len(retries) < 9 else 0,
            messages=conversation.messages,
            tools=tuple(tool.name for tool in conversation.tools),
            turn=conversation.turn,
            attempt=conversation.attempt,
        )
        return record, replace(asked, conversation=conversation)

    def check(self, asked: WireRequest, record: Record) -> None:
        """Raises Refused for what every provider refuses."""
        if not record.key_given:
            raise Refused("no API key was given", status=401, code="invalid_api_key")
        if not self._any_model and asked.conversation.model not in self._models:
            raise Refused(f"the model {record.model!r} doesn't exist", status=404, code="model_not_found")

    async def turn(self, asked: WireRequest) -> Turn:
        """What the script answers; an exception in it becomes a refusal, and is kept."""
        try:
            return await next_turn(self._script, asked.conversation)
        except ScriptExhausted as error:
            raise Refused(str(error), code="script_exhausted") from error
        except Exception as error:
            self.script_error = self.script_error or error
            raise Refused(f"the script raised {type(error).__name__}: {error}", code="script_error") from error

    def answer(self, turn: Turn, asked: WireRequest, record: Record) -> WireAnswer:
        usage = counted(turn, asked.conversation)
        identity = f"{self._session}{record.number:06d}"
        return answer(turn, asked.conversation, usage, response_id=identity, created=int(time.time()))

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
            asked = self._wire.read(await _body(request, service.limits.max_body_bytes))
        except ClientDisconnect:
            return
        except (Refused, ValidationError) as error:
            fault = error.fault if isinstance(error, Refused) else Fault.bad_request(_explained(error))
            await error_response(self._wire, fault)(scope, receive, send)
            return
        record, asked = service.record(asked, request)
        exchange = _Exchange(service, self._wire, asked, record, scope, send)
        running = asyncio.create_task(exchange.run(receive))
        service.begin(exchange, running)
        await running


class _Exchange:
    """One recorded request, from its receipt to its end."""

    def __init__(
        self, service: Service, wire: Wire, asked: WireRequest, record: Record, scope: Scope, send: Send
    ) -> None:
        self._service = service
        self._wire = wire
        self._asked = asked
        self._record = record
        self._scope = scope
        self._send = send
        self._gone = False
        self._stopped = False
        self._working: asyncio.Task[None] | None = None

    async def run(self, receive: Receive) -> None:
        """Work until the request has ended, the client has gone, or the provider stops."""
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
                self._service.check(self._asked, self._record)
                turn = await self._service.turn(self._asked)
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
        answer = self._service.answer(turn, self._asked, self._record)
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
        """What is sent one after the other, and the head."""
        if self._asked.stream:
            parts = [_encoded(event) for event in self._wire.events(answer, self._asked)]
            return parts, _start(
                Response(media_type="text/event-stream", headers={"cache-control": "no-cache"}), length=False
            )
        response = JSONResponse(self._wire.whole(answer))
        return [bytes(response.body)], _start(response)

    async def _cut(self, turn: Turn, parts: list[bytes], start: Message) -> None:
        """Send a share of the answer. `run` drops the connection."""
        fault = turn.fault or Fault.cut()
        share = min(max(fault.cut_after, 0.0), 1.0)
        if self._asked.stream:
            parts = parts[: min(int(len(parts) * share), len(parts) - 1)]
        else:
            parts = [parts[0][: min(int(len(parts[0]) * share), len(parts[0]) - 1)]]
        for index, part in enumerate(parts if share else ()):
            if index:
                await asyncio.sleep(turn.pause_seconds)
            await self._part(part, False, start if index == 0 else None)
        self._change(state=RequestState.CUT, error=fault.message)

    async def _part(self, part: bytes, last: bool, start: Message | None) -> None:
        await asyncio.sleep(0)  # where the watch ends this if the client has gone
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
    """The JSON object of the request. Raises Refused and ClientDisconnect."""
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
    """The first faults, without the values."""

    def each() -> Iterator[str]:
        for fault in error.errors(include_url=False, include_input=False)[:MAX_ERRORS_SHOWN]:
            yield f"{'.'.join(str(step) for step in fault['loc'])}: {fault['msg']}"

    return "; ".join(each())
