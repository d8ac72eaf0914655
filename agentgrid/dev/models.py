"""The models of a project's agents under `agentgrid dev`: the variables that only the worker gets, and the lines printed about them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from agentgrid.cli.program import command
from agentgrid.domain.agents import OFFLINE
from agentgrid.servers.child import FOR_MODELS

MODEL = "AGENTGRID_MODEL"
KEYS = {"openai": "OPENAI_API_KEY", "openai-chat": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


def model_variables() -> dict[str, str]:
    """This process's variables that name a model or a provider, including its key. Only for the worker."""
    return {name: value for name, value in os.environ.items() if name.startswith(FOR_MODELS)}


def model_line(environment: Mapping[str, str]) -> tuple[str, str]:
    """The line about the model that these variables name, and the command or setting to use next."""
    model = environment.get(MODEL) or OFFLINE
    if model == OFFLINE:
        return (
            "Agents use the offline model, a stand-in. To use a real one (set OPENAI_BASE_URL for another server):",
            f"{MODEL}=openai:gpt-5 OPENAI_API_KEY=KEY {command('dev')}",
        )
    key = KEYS.get(model.partition(":")[0])
    if key is None:
        return "The agents' model is unknown:", f"{MODEL}={model}; use {', '.join(f'{name}:…' for name in KEYS)}"
    if not environment.get(key):
        return f"Agents use {model}, but its key is missing:", f"{key}=KEY {command('dev')}"
    return "Agents use this model:", model
