"""The installed clients, led to a provider, with their own retries off."""

from __future__ import annotations

from typing import Any

import anthropic as anthropic_clients
import openai as openai_clients
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic_ai import ModelRequest, ModelResponse, ToolDefinition, ToolReturnPart
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import Model, ModelRequestParameters, infer_model
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from agentgrid.testing.provider import Provider

MODELS = {
    "responses": "openai:gpt-4.1-mini",
    "chat": "openai-chat:gpt-4.1-mini",
    "messages": "anthropic:claude-sonnet-4-5",
}
KEY = "sk-canary-0123456789"


def openai(provider: Provider, **options: Any) -> AsyncOpenAI:
    # Reading the certificates would take longer than the test.
    plain = openai_clients.DefaultAsyncHttpxClient(verify=False)
    return AsyncOpenAI(base_url=provider.base_url, api_key=KEY, max_retries=0, http_client=plain, **options)


def anthropic(provider: Provider, **options: Any) -> AsyncAnthropic:
    plain = anthropic_clients.DefaultAsyncHttpxClient(verify=False)
    return AsyncAnthropic(base_url=provider.url, api_key=KEY, max_retries=0, http_client=plain, **options)


def model(provider: Provider, protocol: str) -> Model:
    """pydantic-ai's model for the protocol."""

    def made(name: str) -> Any:
        if name == "anthropic":
            return AnthropicProvider(anthropic_client=anthropic(provider))
        return OpenAIProvider(openai_client=openai(provider))

    return infer_model(MODELS[protocol], provider_factory=made)


def tool(name: str, *required: str) -> ToolDefinition:
    properties = {name: {"type": "string"} for name in required}
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return ToolDefinition(name=name, description=f"The tool {name}.", parameters_json_schema=schema)


TOOLS = ModelRequestParameters(
    function_tools=[tool("get_order", "order_id"), tool("search", "query")],
    output_tools=[tool("final_result", "answer")],
    output_mode="tool",
    allow_text_output=True,
)


async def ask(asked: Model, messages: list[ModelMessage], *, stream: bool) -> ModelResponse:
    """The model's response, received at once or as a stream."""
    if not stream:
        return await model_request(asked, messages, model_request_parameters=TOOLS)
    async with model_request_stream(asked, messages, model_request_parameters=TOOLS) as events:
        async for _ in events:
            pass
        return events.get()


def results(response: ModelResponse, contents: dict[str, Any]) -> ModelRequest:
    """The results of the response's calls, by the tools' names."""
    return ModelRequest(
        parts=[
            ToolReturnPart(call.tool_name, contents[call.tool_name], call.tool_call_id) for call in response.tool_calls
        ]
    )
