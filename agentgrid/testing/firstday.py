"""The default script of a provider started by hand: it calls the first tools it is offered, then answers."""

from __future__ import annotations

import json

from agentgrid.testing.samples import sample
from agentgrid.testing.turns import Call, Conversation, OfferedTool, Turn

CALLED_AT_ONCE = 2
"""How many tools it calls at once."""
ANSWER_PREFIX = "final_"
"""The prefix of tools that take the final answer."""
SHOWN_CHARACTERS = 200


def first_tools(conversation: Conversation) -> Turn:
    """Call the first two tools with the simplest valid arguments, then answer with their results."""
    answers = [tool for tool in conversation.tools if tool.name.startswith(ANSWER_PREFIX)]
    tools = [tool for tool in conversation.tools if tool not in answers]
    forced = next((tool for tool in conversation.tools if tool.name == conversation.must_call), None)
    if forced is not None:
        return Turn(calls=[_call(forced)])
    if tools and not conversation.results:
        return Turn(calls=[_call(tool) for tool in tools[:CALLED_AT_ONCE]])
    if answers or (conversation.must_call and tools):
        return Turn(calls=[_call((answers or tools)[-1])])
    if conversation.output_schema is not None:
        return Turn(text=json.dumps(sample(conversation.output_schema)))
    return Turn(text=_reply(conversation))


def _call(tool: OfferedTool) -> Call:
    return Call(tool.name, sample(tool.schema) or {})


def _reply(conversation: Conversation) -> str:
    results = [f"{result.name}: {result.text[:SHOWN_CHARACTERS]}" for result in conversation.results]
    if not results:
        return f"This is a scripted model. You wrote: {conversation.prompt[:SHOWN_CHARACTERS]}"
    return "This is a scripted model. The tools returned:\n" + "\n".join(results)
