"""Follow one run: re-read its state whenever the event stream reports a change.

Events only signal a change; the state is always read in full. A lost or repeated event therefore can't make the display wrong, and after
a broken connection the stream resumes with `Last-Event-ID`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
from httpx_sse import SSEError, aconnect_sse

from agentgrid.cli.client import (
    CONNECT_SECONDS,
    PREFIX,
    TOTAL_SECONDS,
    ApiResponse,
    checked,
    request_headers,
    unreachable,
    verification,
)
from agentgrid.cli.deciders import deciders_of
from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.inputs import part
from agentgrid.cli.profiles import ApiTarget
from agentgrid.domain.backoff import backoff, jittered

SILENCE_SECONDS = 45.0
"""The stream sends a comment every few seconds; after this long without one it counts as dead."""
READ_AGAIN_SECONDS = 10.0
"""How often the state is read without an event, in case the stream fails."""
READ_AT_MOST_EVERY_SECONDS = 0.25
GIVE_UP_SECONDS = 120.0
FIRST_PAUSE_SECONDS = 0.4
MAX_PAUSE_SECONDS = 5.0
MAX_STEPS = 2000
LOG_LINES = 500
MAX_ANSWER_CHARACTERS = 4_000
"""How much of an agent's answer is kept."""
MAX_ANSWERS = 20
"""How many agent calls have their answers kept."""
RETRIABLE = (httpx.HTTPError, SSEError, TimeoutError)


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """A model's answer so far in one request."""

    turn: int
    attempt: int
    sequence: int
    text: str


class RunFollower:
    """The current state of one run: `run`, `steps` and `logs`, updated by `changes`."""

    def __init__(
        self,
        target: ApiTarget,
        run_id: str,
        *,
        on_event: Callable[[str], None] | None = None,
        deltas: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.run: Mapping[str, Any] = {}
        self.raw_run = b""
        self.steps: list[Mapping[str, Any]] = []
        self.step_approvals: list[Mapping[str, Any]] = []
        """The approvals of its steps, in any status."""
        self.deciders: Mapping[str, ApiTarget] = {}
        """Which of this folder's profiles may decide which of its pending approvals."""
        self.logs: deque[Mapping[str, Any]] = deque(maxlen=LOG_LINES)
        self.partial_answer: tuple[str, str] | None = None
        """The agent whose model answered last, and its answer so far; only with `deltas`."""
        self.trouble: str | None = None
        """Why the state may be stale; None if it is current."""
        self._target, self._run_id = target, run_id
        self._path = f"/runs/{part(run_id)}"
        self._known_pending: frozenset[str] = frozenset()
        self._on_event = on_event
        self._deltas = deltas
        self._answers: dict[str, _Answer] = {}
        """By agent call: several agents may run at once."""
        self._changed = asyncio.Event()
        self._last_event_id = ""
        self._last_log = -1
        self._log_page: str | None = None
        self._may_read_logs = True
        self._http = httpx.AsyncClient(
            base_url=target.url + PREFIX,
            headers=request_headers(target),
            verify=verification(target.url),
            timeout=httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return self.run.get("closed_at") is not None

    async def changes(self, tick_seconds: float) -> AsyncIterator[bool]:
        """Yield True after every read and False after every tick without one, until the run has ended.

        Raises CommandFailed if the first read fails, if the run no longer exists or may no longer be read, or after
        `GIVE_UP_SECONDS` without an answer.
        """
        await self._read()
        yield True
        if self.closed:
            return
        stream = asyncio.create_task(self._stream())
        try:
            loop = asyncio.get_running_loop()
            last_read = last_success = loop.time()
            while not self.closed:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(tick_seconds):
                        await self._changed.wait()
                if stream.done() and (failure := stream.exception()) is not None:
                    raise failure
                now = loop.time()
                due = self._changed.is_set() or now - last_read > READ_AGAIN_SECONDS
                if not due or now - last_read < READ_AT_MOST_EVERY_SECONDS:
                    if self._changed.is_set():
                        await asyncio.sleep(READ_AT_MOST_EVERY_SECONDS - (now - last_read))
                    else:
                        yield False
                        continue
                self._changed.clear()
                last_read = loop.time()
                if await self._read_again():
                    last_success = loop.time()
                elif loop.time() - last_success > GIVE_UP_SECONDS:
                    raise CommandFailed(
                        f"no answer for {GIVE_UP_SECONDS:g} s ({self.trouble}); the run is unaffected",
                        ExitCode.UNAVAILABLE,
                    )
                yield True
        finally:
            stream.cancel()
            with contextlib.suppress(asyncio.CancelledError, CommandFailed):
                await stream

    async def _read_again(self) -> bool:
        try:
            await self._read()
        except CommandFailed as error:
            if error.exit_code is not ExitCode.UNAVAILABLE:
                raise
            self.trouble = error.message
            return False
        self.trouble = None
        return True

    async def _read(self) -> None:
        answer = await self._get(self._path)
        self.run, self.raw_run = answer.json(), answer.body
        self.steps = await self._read_steps()
        await self._read_approvals()
        await self._read_logs()

    async def _read_steps(self) -> list[Mapping[str, Any]]:
        steps: list[Mapping[str, Any]] = []
        cursor = None
        while len(steps) < MAX_STEPS:
            page = (await self._get(f"{self._path}/steps", limit=200, cursor=cursor, payloads=False)).json()
            steps += page["items"]
            if (cursor := page["next_cursor"]) is None:
                break
        return steps

    async def _read_approvals(self) -> None:
        """Refresh who decided and, if new approvals are pending, who may decide them."""
        settled = {approval["approval_id"] for approval in self.step_approvals if approval["status"] != "pending"}
        closed = {step.get("approval_id") for step in self.steps if step["closed_at"] is not None} - {None}
        if closed - settled:
            self.step_approvals = (await self._get(f"{self._path}/approvals", limit=200)).json()["items"]
        waiting = frozenset(approval["approval_id"] for approval in self.run["approvals"])
        if waiting - self._known_pending:
            self.deciders = await asyncio.to_thread(deciders_of, self._target, self._run_id, self.run["approvals"])
        self._known_pending = waiting

    async def _read_logs(self) -> None:
        """Read the new lines, starting from the last known page."""
        while self._may_read_logs:
            try:
                page = (await self._get(f"{self._path}/logs", limit=200, cursor=self._log_page)).json()
            except CommandFailed as error:
                if error.exit_code is not ExitCode.NOT_ALLOWED:
                    raise
                self._may_read_logs = False  # logs may quote payloads; everything else is still shown
                return
            for line in page["items"]:
                if line["log_id"] > self._last_log:
                    self._last_log = line["log_id"]
                    self.logs.append(line)
            if page["next_cursor"] is None:
                return
            self._log_page = page["next_cursor"]

    async def _get(self, path: str, **params: Any) -> ApiResponse:
        query = {name: value for name, value in params.items() if value is not None}
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                response = await self._http.get(path, params=query)
        except httpx.ConnectError as error:
            raise CommandFailed(unreachable(self._target.url, error), ExitCode.UNAVAILABLE) from None
        except (httpx.HTTPError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise CommandFailed(f"{self._http.base_url.host} does not answer: {reason}", ExitCode.UNAVAILABLE) from None
        return checked(ApiResponse(status=response.status_code, body=response.content, headers=response.headers))

    async def _stream(self) -> None:
        """Listen until cancelled; resume a broken stream after its last event."""
        failures = 0
        while True:
            try:
                if await self._listen():
                    failures = 0
            except RETRIABLE:
                failures += 1
            # The stream replays missed events; the state is re-read in any case.
            self._changed.set()
            await asyncio.sleep(jittered(backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, tries=failures)))

    async def _listen(self) -> bool:
        headers = {"Last-Event-ID": self._last_event_id} if self._last_event_id else {}
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        received = False
        params = {"deltas": "true"} if self._deltas and self.run.get("payloads_visible") else {}
        async with aconnect_sse(
            self._http, "GET", f"{self._path}/events", params=params, headers=headers, timeout=timeout
        ) as source:
            if source.response.status_code != 200:
                body = await source.response.aread()
                answer = ApiResponse(status=source.response.status_code, body=body, headers=source.response.headers)
                if answer.status in (401, 403, 404):
                    checked(answer)
                raise httpx.RemoteProtocolError(f"HTTP {answer.status}")
            async for event in source.aiter_sse():
                received = True
                if event.event == "delta":
                    self._add_delta(event.json()["data"])
                    continue
                if event.id:
                    self._last_event_id = event.id
                if self._on_event is not None and event.data:
                    self._on_event(event.data)
                self._changed.set()
        return received

    def _add_delta(self, delta: Mapping[str, Any]) -> None:
        call, turn, attempt, sequence = (delta[name] for name in ("call", "turn", "attempt", "sequence"))
        previous = self._answers.pop(call, None)
        # A retried turn, and the next model after a failed one, number their deltas from 1 again.
        continues = (
            previous is not None
            and (previous.turn, previous.attempt) == (turn, attempt)
            and previous.sequence < sequence
        )
        text = (previous.text if previous is not None and continues else "") + delta["text"]
        text = (text + "".join(f" [{tool}]" for tool in delta["tools"]))[-MAX_ANSWER_CHARACTERS:]
        self._answers[call] = _Answer(turn=turn, attempt=attempt, sequence=sequence, text=text)
        while len(self._answers) > MAX_ANSWERS:
            del self._answers[next(iter(self._answers))]
        self.partial_answer = (delta["agent"], text)
