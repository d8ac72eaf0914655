"""Versions of an agent as data: what an operator may edit, how far, and how a worker applies the edit.

The code sets the bounds. A version may have fewer tools, lower limits and a narrower output than the code, but never more. Instructions can be
edited freely; models can be chosen from those that the installation allows. The API checks this when a version is created, and the worker
checks it again against its own code whenever a call opens.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from pydantic import BaseModel, ConfigDict

from agentgrid.domain.agents import OFFLINE, PROVIDERS, AgentSpec, Limits
from agentgrid.domain.narrowing import why_wider
from agentgrid.errors import InvalidPlace

EDIT_PREFIX = "edit-"
"""Prefix of an operator's version, followed by a number. A version from the code is a digest."""
CODE = "code"
"""Stands for the version in the code."""

MAX_INSTRUCTIONS = 20_000
MAX_MODELS = 5
MAX_SCHEMA_BYTES = 16 * 1024
MAX_PUBLISHED_BYTES = 1024 * 1024
"""Limit on the total size of the versions that workers read with their policy."""
MAX_DIFF_LINES = 400

_BOUNDS = ("requests", "tool_calls", "tokens", "usd", "seconds", "soft")


class AgentVersion(BaseModel):
    """One version of an agent, as the catalog stores it and as it reaches workers."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str
    made_for: str
    """The code's version against which it was checked."""
    models: list[str]
    """If empty, the worker's default model is used."""
    instructions: str
    tools: list[str]
    output_schema: dict[str, Any] | None = None
    limits: Limits

    def content(self) -> dict[str, Any]:
        """The fields that an edit can change."""
        return self.model_dump(mode="json", exclude={"version", "made_for"})


def fitted(code: AgentSpec, version: AgentVersion) -> AgentSpec:
    """The version within the bounds of this code: only the code's tools, and the lower of each pair of limits.

    Raises ValueError, with the reason, if its output schema can't be shown to be narrower than the code's.
    """
    if (why := _output_fault(code.output_schema, version.output_schema)) is not None:
        raise ValueError(f"its output schema is not narrower than the code's: {why}")
    bounds = {name: _smaller(getattr(code.limits, name), getattr(version.limits, name)) for name in _BOUNDS}
    return dataclasses.replace(
        code,
        version=version.version,
        models=list(version.models),
        instructions=version.instructions,
        tools=[name for name in code.tools if name in version.tools],
        output_schema=version.output_schema,
        limits=Limits(**bounds),
    )


def _smaller(one: Any, other: Any) -> Any:
    limits = [value for value in (one, other) if value is not None]
    return min(limits) if limits else None


def faults(code: AgentVersion, edited: AgentVersion, allowed: Sequence[str]) -> Iterator[InvalidPlace]:
    """The parts of an edit that the code does not allow. allowed: globs of the models that the installation allows."""
    for number, model in enumerate(edited.models):
        if (why := model_fault(model, [*code.models, *allowed])) is not None:
            yield InvalidPlace(pointer=f"/models/{number}", message=why)
    for number, tool in enumerate(edited.tools):
        if tool not in code.tools:
            available = ", ".join(code.tools) or "none"
            yield InvalidPlace(
                pointer=f"/tools/{number}",
                message=f"the code has no tool {tool!r:.100} for it; available: {available}",
            )
    for name in _BOUNDS:
        maximum, edit = getattr(code.limits, name), getattr(edited.limits, name)
        if maximum is not None and (edit is None or edit > maximum):
            yield InvalidPlace(
                pointer=f"/limits/{name}", message=f"must be at most {maximum:g}, which is the code's limit"
            )
    if (why := _output_fault(code.output_schema, edited.output_schema)) is not None:
        yield InvalidPlace(pointer="/output_schema", message=f"must be narrower than the code's: {why}")


def model_fault(model: str, allowed: Sequence[str]) -> str | None:
    """Why this model can't be used, or None."""
    if model == OFFLINE:
        return None
    provider, _, name = model.partition(":")
    if provider not in PROVIDERS or not name:
        supported = ", ".join(f"{provider}:…" for provider in PROVIDERS)
        return f"{model!r:.100} is not a known model: use {supported} or {OFFLINE}"
    if any(fnmatchcase(model, glob) for glob in allowed):
        return None
    others = ", ".join(dict.fromkeys([OFFLINE, *allowed]))
    return f"{model!r:.100} is not allowed here; allowed: {others}. Set AGENTGRID_MODELS of the API to change the list"


def _output_fault(code: dict[str, Any] | None, edited: dict[str, Any] | None) -> str | None:
    if json.dumps(code, sort_keys=True) == json.dumps(edited, sort_keys=True):
        return None
    if code is None:
        return "the code's output is text"
    if edited is None:
        return "the code's output has a schema"
    if len(json.dumps(edited)) > MAX_SCHEMA_BYTES:
        return f"it is over {MAX_SCHEMA_BYTES // 1024} KiB"
    from agentgrid.domain import schemas

    try:
        schemas.compiled(edited)
    except ValueError as error:
        return str(error)
    try:
        schemas.compiled(code)
    except ValueError as error:
        return f"the code's own output schema can't be used: {error}"
    return why_wider(edited, code)


def changes(before: AgentVersion, after: AgentVersion) -> dict[str, dict[str, Any]]:
    """The changed fields, each with `before` and `after`; instructions also have a unified `diff`."""
    return differences(before.content(), after.content(), before.version, after.version)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], before: str, after: str) -> dict[str, dict[str, Any]]:
    """Like `changes`, for the contents of two versions with these names."""
    changed: dict[str, dict[str, Any]] = {}
    for name, value in new.items():
        if old[name] == value:
            continue
        changed[name] = {"before": old[name], "after": value}
        if name == "instructions":
            lines = difflib.unified_diff(old[name].splitlines(), value.splitlines(), before, after, lineterm="", n=2)
            changed[name]["diff"] = "\n".join(islice(lines, MAX_DIFF_LINES))
    return changed
