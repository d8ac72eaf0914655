"""Providers' models: the only module that imports pydantic-ai. Loaded when an agent first uses a provider.

A provider's own library is loaded with its first model, which takes up to two seconds and 60 MB.

The providers' own retries are off, because Temporal's are bounded and visible. The price is computed here from the installed price table, so
that the cost is in history and a later table can't change a replay.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import os
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai import messages as parts
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    UnexpectedModelBehavior,
    UserError,
)
from pydantic_ai.models import Model as ProviderModel
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition
from temporalio.exceptions import ApplicationError

from agentgrid.domain.agents import ModelCall, Usage
from agentgrid.domain.secrets import known
from agentgrid.protocol import ErrorType
from agentgrid.sdk.secrets import find
from agentgrid.worker.model_requests import AnswerListener, ModelAnswer, ModelTool, RawCall, model_fault

_ANSWER: TypeAdapter[Any] = TypeAdapter(parts.ModelResponse)
_STORED_FIELDS = ("parts", "kind", "provider_name", "canonical_system", "provider_response_id")
"""What a provider needs from its own answer in the next turn. Usage, price and times are stored in the turn itself."""
_PERMANENT_STATUS = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422})
"""Statuses for which a retry of the same request would fail again."""
_KEYS = {"openai": "OPENAI", "openai-chat": "OPENAI", "anthropic": "ANTHROPIC"}
"""By provider, the prefix of the secret `…_API_KEY` and the environment variable `…_BASE_URL`."""
_OPENAI = ("openai", "pydantic_ai.models.openai", "pydantic_ai.providers.openai")
_ANTHROPIC = ("anthropic", "pydantic_ai.models.anthropic", "pydantic_ai.providers.anthropic")
_MODULES = {"openai": _OPENAI, "openai-chat": _OPENAI, "anthropic": _ANTHROPIC}
_PRICES = f"genai-prices {version('genai-prices')}"
MAX_MESSAGE = 1_000


class ProviderBacked:
    """A provider's model, named `provider:model`."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def answer(self, call: ModelCall, offers: list[ModelTool], final: ModelTool | None) -> ModelAnswer:
        """Call the provider once."""
        with self._faults():
            answer = await model_request(
                await self._model(), _conversation(call), model_request_parameters=_parameters(offers, final)
            )
        return _read(answer, self.name)

    async def stream(
        self, call: ModelCall, offers: list[ModelTool], final: ModelTool | None, listener: AnswerListener
    ) -> ModelAnswer:
        """Call the provider once, and pass the answer to the listener as it arrives."""
        with self._faults():
            async with model_request_stream(
                await self._model(), _conversation(call), model_request_parameters=_parameters(offers, final)
            ) as stream:
                async for event in stream:
                    _forward(event, listener)
                answer = stream.get()
        return _read(answer, self.name)

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Raise a provider's errors as model faults."""
        try:
            yield
        except ModelAPIError as error:
            raise _provider_error(error) from None
        except (UserError, UnexpectedModelBehavior) as error:
            # A malformed answer may be valid on retry; an invalid request never is.
            retryable = isinstance(error, UnexpectedModelBehavior)
            raise model_fault(known.beginning(f"{self.name}: {error}", MAX_MESSAGE), retryable=retryable) from None

    async def _model(self) -> ProviderModel:
        provider, _, model = self.name.partition(":")
        prefix = _KEYS.get(provider)
        if prefix is None or not model:
            names = ", ".join(_KEYS)
            raise model_fault(
                f"{self.name!r} is not a model: use provider:model, where the provider is one of {names}",
                retryable=False,
            )
        key, url = await find(f"{prefix}_API_KEY"), os.environ.get(f"{prefix}_BASE_URL")
        if not key:
            raise model_fault(
                f"{self.name} needs the secret {prefix}_API_KEY in the worker, for example as an environment variable",
                retryable=False,
            )
        await load_library(self.name)
        return _client(provider, model, key, url)


async def load_library(name: str) -> None:
    """Import what this model's provider needs, in a thread, so that heartbeats continue meanwhile."""
    modules = _MODULES.get(name.partition(":")[0], ())
    # Even if they are in sys.modules: another turn may be importing them, and waiting for its import lock would block the event loop.
    await asyncio.to_thread(lambda: [importlib.import_module(module) for module in modules])


@functools.lru_cache(maxsize=64)
def _client(provider: str, model: str, key: str, url: str | None) -> ProviderModel:
    if provider == "anthropic":
        from anthropic import AsyncAnthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        anthropic = AsyncAnthropic(api_key=key, base_url=url, max_retries=0)
        return AnthropicModel(model, provider=AnthropicProvider(anthropic_client=anthropic))
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    openai = OpenAIProvider(openai_client=AsyncOpenAI(api_key=key, base_url=url, max_retries=0))
    return (
        OpenAIChatModel(model, provider=openai)
        if provider == "openai-chat"
        else OpenAIResponsesModel(model, provider=openai)
    )


def _parameters(offers: list[ModelTool], final: ModelTool | None) -> ModelRequestParameters:
    return ModelRequestParameters(
        function_tools=[_definition(offer) for offer in offers],
        output_mode="tool" if final is not None else "text",
        output_tools=[_definition(final, kind="output")] if final is not None else [],
        allow_text_output=final is None,
    )


def _forward(event: Any, listener: AnswerListener) -> None:
    """Pass on text and tool names. A model's thinking and its arguments only go into the record."""
    if isinstance(event, parts.PartStartEvent):
        if isinstance(event.part, parts.TextPart):
            listener.text(event.part.content)
        elif isinstance(event.part, parts.ToolCallPart):
            listener.tool(event.part.tool_name)
    elif isinstance(event, parts.PartDeltaEvent) and isinstance(event.delta, parts.TextPartDelta):
        listener.text(event.delta.content_delta)


def _definition(offer: ModelTool, *, kind: Any = "function") -> ToolDefinition:
    return ToolDefinition(
        name=offer.name, parameters_json_schema=offer.input_schema, description=offer.description, kind=kind
    )


def _conversation(call: ModelCall) -> list[parts.ModelMessage]:
    """The conversation as the provider's messages."""
    messages: list[parts.ModelMessage] = []
    pending: list[Any] = []
    for message in call.messages:
        match message["role"]:
            case "user":
                pending.append(parts.UserPromptPart(message["text"]))
            case "tool":
                content = message["result"] if "result" in message else f"Failed: {message['fault']}"
                if "approval" in message:
                    # A person approved the call, possibly with different arguments than the model's.
                    content = {"result": content, "approval": message["approval"]}
                pending.append(parts.ToolReturnPart(message["name"], content, tool_call_id=message["id"]))
            case "model":
                messages.append(parts.ModelRequest(pending, instructions=call.instructions))
                messages.append(_ANSWER.validate_python(message["answer"]))
                pending = []
    messages.append(parts.ModelRequest(pending, instructions=call.instructions))
    return messages


def _read(answer: parts.ModelResponse, requested: str) -> ModelAnswer:
    # Not `exclude_defaults`: that would drop the kinds of the parts.
    dumped = _ANSWER.dump_python(answer, mode="json", exclude_none=True)
    usage = answer.usage
    usd, price = _price(answer)
    return ModelAnswer(
        message={name: dumped[name] for name in _STORED_FIELDS if name in dumped},
        calls=[
            RawCall(id=part.tool_call_id, name=part.tool_name, arguments=part.args or {}) for part in answer.tool_calls
        ],
        text=answer.text,
        usage=Usage(
            requests=1,
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cache_read_tokens,
            output_tokens=usage.output_tokens,
            usd=usd,
            unpriced=int(usd is None),
        ),
        model=answer.model_name or requested,
        provider=answer.provider_name or "",
        price=price,
        finish=answer.finish_reason,
    )


def _price(answer: parts.ModelResponse) -> tuple[float | None, str]:
    """The price in US dollars and its source. None for models that the table doesn't list, and for answers without usage."""
    try:
        return float(answer.cost().total_price), _PRICES
    except (LookupError, ValueError, AssertionError):
        return None, "unpriced"


def _provider_error(error: ModelAPIError) -> ApplicationError:
    status = error.status_code if isinstance(error, ModelHTTPError) else None
    final = status in _PERMANENT_STATUS or isinstance(error, (ModelQuotaExceededError, ModelRequestRejectedError))
    wait = error.retry_after
    return ApplicationError(
        known.beginning(str(error), MAX_MESSAGE),
        type=ErrorType.MODEL_ERROR,
        non_retryable=final,
        next_retry_delay=timedelta(seconds=min(wait, 300.0)) if wait and not final else None,
    )


def loaded(name: str) -> ProviderBacked:
    """The model with this name."""
    return ProviderBacked(name)
