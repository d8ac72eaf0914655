"""The same agent in LangGraph with checkpoints in PostgreSQL: run by an interpreter that has it, `make bench ARGS="--only agents --langgraph PYTHON"`.

It needs langgraph, langchain, langchain-openai, langgraph-checkpoint-postgres and psycopg[binary], and loads nothing of this project. It prints milliseconds.
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
    """Says n."""
    return {"n": n}


async def main(runs: int) -> None:
    """Run one after another, after a few to warm up."""
    async with AsyncPostgresSaver.from_conn_string(os.environ["LANGGRAPH_DSN"]) as saver:
        await saver.setup()
        graph = create_agent(
            ChatOpenAI(model="gpt-4.1-mini", max_retries=0), [nothing], system_prompt="Count.", checkpointer=saver
        )

        async def once() -> None:
            name = str(uuid.uuid4())
            prompt: dict[str, Any] = {"messages": [("user", f"turns=5 {name}")]}
            answer = await graph.ainvoke(prompt, {"configurable": {"thread_id": name}})
            assert len(answer["messages"]) == 12, len(answer["messages"])

        for _ in range(5):
            await once()
        cpu, walls = time.process_time(), []
        for _ in range(runs):
            began = time.perf_counter()
            await once()
            walls.append((time.perf_counter() - began) * 1000)
        print(json.dumps({"cpu": (time.process_time() - cpu) / runs * 1000, "wall": sorted(walls)[runs // 2]}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
