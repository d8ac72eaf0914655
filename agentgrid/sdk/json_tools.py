"""Tools that aren't Python functions: tools of other programs or services, described by JSON Schemas."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, Any

from agentgrid.domain.canonical import sorted_json
from agentgrid.domain.policies import Risk
from agentgrid.sdk.schema import VERSION_LENGTH
from agentgrid.sdk.tools import RiskName, Tool

if TYPE_CHECKING:
    from agentgrid.domain.schemas import Compiled

Handler = Callable[[dict[str, Any]], Awaitable[Any]]
"""Runs in the activity. Takes a JSON object of arguments and returns a JSON value."""

CHECKED = "it"
"""What messages show in place of an invalid value, because they must not quote it."""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The place of a declaration in a project's code."""

    file: str
    line: int
    module: str

    @classmethod
    def at(cls, frame: FrameType | None) -> Declared:
        """The place of a stack frame in the project's code."""
        if frame is None:
            return cls(file="", line=0, module="")
        return cls(
            file=frame.f_code.co_filename, line=frame.f_lineno, module=str(frame.f_globals.get("__name__") or "")
        )


class JsonBoundary:
    """The boundary of a tool that takes and returns plain JSON. It is checked against the schemas only in the activity."""

    def __init__(self, input_schema: dict[str, Any], output_schema: dict[str, Any] | None) -> None:
        self.input_schema = input_schema
        self.output_schema = output_schema or {}

    @functools.cached_property
    def _input(self) -> Compiled:
        return _compiled(self.input_schema)

    @functools.cached_property
    def _output(self) -> Compiled:
        return _compiled(self.output_schema)

    def dump_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments, unchanged."""
        return arguments

    def load_arguments(self, values: dict[str, Any]) -> dict[str, Any]:
        """The handler's single argument. Raises ValueError if it does not fit the schema."""
        from agentgrid.domain import schemas

        if (wrong := schemas.misfit(self._input, values)) is not None:
            raise ValueError(wrong)
        return {"arguments": values}

    def dump_result(self, result: Any) -> tuple[Any, int]:
        """The JSON result, and its length in bytes. Raises ValueError if there is a schema and the result does not fit it."""
        from agentgrid.domain import schemas

        try:
            data = json.dumps(result, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, RecursionError) as error:
            raise ValueError(f"it can't be represented in JSON: {error}") from None
        if self.output_schema and (wrong := schemas.misfit(self._output, result)) is not None:
            raise ValueError(wrong)
        return result, len(data)

    def load_result(self, value: Any) -> Any:
        """The JSON value, unchanged."""
        return value


def _compiled(schema: dict[str, Any]) -> Compiled:
    # Imported here, because workflow code imports this module and never validates.
    from agentgrid.domain import schemas

    return schemas.compiled(schema, mask=CHECKED)


class JsonTool(Tool[[dict[str, Any]], Any]):
    """A tool from an OpenAPI document or MCP server: called with one JSON object of arguments, which its activity checks against the schema.

    pin: what identifies the tool besides its schemas, as JSON. Its version is a digest of the pin and the schemas.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        name: str,
        title: str,
        description: str,
        input_schema: dict[str, Any],
        output_schema: dict[str, Any] | None = None,
        risk: Risk | RiskName,
        timeout: timedelta,
        retries: int,
        pin: Any,
        declared: Declared,
        idempotent: bool = False,
        tags: tuple[str, ...] = (),
        origin: str = "",
    ) -> None:
        super().__init__(
            handler,
            title=title,
            risk=risk,
            timeout=timeout,
            retries=retries,
            local=False,
            idempotent=idempotent,
            heartbeat=None,
            tags=tags,
            name=name,
        )
        self.description = description
        self.file, self.line, self.module = declared.file, declared.line, declared.module
        self._boundary = JsonBoundary(input_schema, output_schema)
        self._pin = pin
        self.origin = origin
        """Its name in its source, for messages: `GET /customers/{id} (getCustomer)`."""

    @property
    def signature(self) -> JsonBoundary:
        """Its boundary, defined by its schemas."""
        return self._boundary

    @functools.cached_property
    def version(self) -> str:
        """A digest of what it calls and its schemas."""
        parts = [self.name, self._pin, self._boundary.input_schema, self._boundary.output_schema]
        # Unlike generated schemas, external ones may contain numbers that canonical JSON can't represent.
        return hashlib.sha256(sorted_json(parts)).hexdigest()[:VERSION_LENGTH]

    async def __call__(self, arguments: dict[str, Any] | None = None) -> Any:
        """Call the tool: durably inside a workflow, directly in a test or a script."""
        return await self.call({} if arguments is None else arguments)
