"""The same agent in LangGraph with PostgreSQL checkpoints, for comparison: `make bench ARGS="--only agents --langgraph PYTHON"`.

PYTHON is an interpreter with langgraph, langchain, langchain-openai, langgraph-checkpoint-postgres and psycopg[binary]. This script imports
nothing from this project. It prints milliseconds as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from typing import Any

from langchain.agents import create_agent  # type: ignore[import-not-found]
from langchain_core.tools import tool  # type: ignore[import-not-found]
from langchain_openai import ChatOpenAI  # type: ignore[import-not-found]
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver  # type: ignore[import-not-found]


@tool
async def nothing(n: int) -> dict[str, int]:
    """Returns n."""
    return {"n": n}


async def main(runs: int) -> None:
    """Run the agent `runs` times in sequence, after a warm-up."""
    async with AsyncPostgresSaver.from_conn_string(os.environ["LANGGRAPH_DSN"]) as saver:
        await saver.setup()
        graph = create_agent(
            ChatOpenAI(model="gpt-4.1-mini", max_retries=0), [nothing], system_prompt="Count.", checkpointer=saver
        )

        async def run_once() -> None:
            thread_id = str(uuid.uuid4())
            prompt: dict[str, Any] = {"messages": [("user", f"turns=5 {thread_id}")]}
            answer = await graph.ainvoke(prompt, {"configurable": {"thread_id": thread_id}})
            assert len(answer["messages"]) == 12, len(answer["messages"])

        for _ in range(5):
            await run_once()
        cpu, walls = time.process_time(), []
        for _ in range(runs):
            started_at = time.perf_counter()
            await run_once()
            walls.append((time.perf_counter() - started_at) * 1000)
        print(json.dumps({"cpu": (time.process_time() - cpu) / runs * 1000, "wall": sorted(walls)[runs // 2]}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
