"""The script of the benchmark's provider: one tool call for each turn that the prompt requests, then the answer. It depends only on the conversation."""

from __future__ import annotations

import re

from agentgrid.testing.turns import Call, Conversation, TokenCounts, Turn

USAGE = TokenCounts(input_tokens=500, output_tokens=20)


def script(conversation: Conversation) -> Turn:
    """The next turn. The prompt sets `turns=N`, and `ask` to call the tool that needs an approval."""
    prompt = next((message.text for message in conversation.messages if "turns=" in message.text), "turns=1")
    turns = re.search(r"turns=(\d+)", prompt)
    if conversation.turn < int(turns[1] if turns else 1):
        tool = "ask" if " ask" in prompt else "nothing"
        return Turn(calls=[Call(tool, {"n": conversation.turn})], usage=USAGE)
    final = next((tool.name for tool in conversation.tools if tool.name.startswith("final_")), None)
    if final is None:
        return Turn(text="counted", usage=USAGE)
    return Turn(calls=[Call(final, {"decision": "answered", "reason": "counted"})], usage=USAGE)
