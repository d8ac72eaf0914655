"""The installed clients, pointed at a provider, with their own retries off.

Imported only when used, because that takes three seconds and every test process reads all test files.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from agentgrid.testing.provider import Provider

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI
    from pydantic_ai import ModelRequest, ModelResponse, ToolDefinition
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model, ModelRequestParameters

MODELS = {
    "responses": "openai:gpt-4.1-mini",
    "chat": "openai-chat:gpt-4.1-mini",
    "messages": "anthropic:claude-sonnet-4-5",
}
KEY = "sk-canary-0123456789"


def errors(protocol: str) -> Any:
    """The module with the protocol's client errors."""
    import anthropic
    import openai

    return anthropic if protocol == "messages" else openai


def openai(provider: Provider, **options: Any) -> AsyncOpenAI:
    import openai as clients

    # Loading the certificates would take longer than the test.
    plain = clients.DefaultAsyncHttpxClient(verify=False)
    return clients.AsyncOpenAI(base_url=provider.base_url, api_key=KEY, max_retries=0, http_client=plain, **options)


def anthropic(provider: Provider, **options: Any) -> AsyncAnthropic:
    import anthropic as clients

    plain = clients.DefaultAsyncHttpxClient(verify=False)
    return clients.AsyncAnthropic(base_url=provider.url, api_key=KEY, max_retries=0, http_client=plain, **options)


def model(provider: Provider, protocol: str) -> Model:
    """pydantic-ai's model for this protocol."""
    from pydantic_ai.models import infer_model
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider

    def made(name: str) -> Any:
        if name == "anthropic":
            return AnthropicProvider(anthropic_client=anthropic(provider))
        return OpenAIProvider(openai_client=openai(provider))

    return infer_model(MODELS[protocol], provider_factory=made)


def tool(name: str, *required: str) -> ToolDefinition:
    from pydantic_ai import ToolDefinition

    properties = {name: {"type": "string"} for name in required}
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return ToolDefinition(name=name, description=f"The tool {name}.", parameters_json_schema=schema)


@functools.cache
def tools() -> ModelRequestParameters:
    from pydantic_ai.models import ModelRequestParameters

    return ModelRequestParameters(
        function_tools=[tool("get_order", "order_id"), tool("search", "query")],
        output_tools=[tool("final_result", "answer")],
        output_mode="tool",
        allow_text_output=True,
    )


def prompt(text: str, *, instructions: str | None = None) -> ModelRequest:
    """The message that opens a conversation."""
    from pydantic_ai import ModelRequest, UserPromptPart

    return ModelRequest(parts=[UserPromptPart(text)], instructions=instructions)


async def ask(llm: Model, messages: list[ModelMessage], *, stream: bool) -> ModelResponse:
    """The model's response, received whole or as a stream."""
    from pydantic_ai.direct import model_request, model_request_stream

    if not stream:
        return await model_request(llm, messages, model_request_parameters=tools())
    async with model_request_stream(llm, messages, model_request_parameters=tools()) as events:
        async for _ in events:
            pass
        return events.get()


def results(response: ModelResponse, contents: dict[str, Any]) -> ModelRequest:
    """Results for the response's calls, by tool name."""
    from pydantic_ai import ModelRequest, ToolReturnPart

    return ModelRequest(
        parts=[
            ToolReturnPart(call.tool_name, contents[call.tool_name], call.tool_call_id) for call in response.tool_calls
        ]
    )
