"""Checks a run's input and a handler's arguments against their schemas, and converts an input to the workflow's arguments."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from temporalio.converter import PayloadConverter

from agentgrid.control import long_checks
from agentgrid.domain import schemas
from agentgrid.domain.pointers import pointer
from agentgrid.domain.schemas import CHEAP, CHEAP_TO_EXPLAIN, Compiled
from agentgrid.errors import Conflict, InvalidInput, InvalidPlace, PayloadTooLarge
from agentgrid.protocol import MAX_JSON_BYTES

MAX_CACHED_SCHEMAS = 256

UNUSABLE = "unusable_schema"
"""The error's `status` when a start is refused."""


def takes_several(schema: dict[str, Any]) -> bool:
    """Whether the workflow takes several parameters, so that its input is an array of them.

    One parameter that is a tuple has `prefixItems` too, but no `items: false`.
    """
    return schema.get("items") is False and "prefixItems" in schema


def arguments_of(schema: dict[str, Any], value: Any) -> list[Any]:
    """The workflow's arguments: none for a null schema, the array's items for several parameters, otherwise the input itself."""
    if schema.get("type") == "null":
        return []
    if takes_several(schema):
        return list(value)
    return [value]


def check_size(what: str, arguments: Sequence[Any], converter: PayloadConverter) -> None:
    """Raise PayloadTooLarge if Temporal would not accept the arguments: it reports no clear error for a request that is too large to read.

    They can be longer than in the request body if it writes a number in a shorter form than Python does.
    """
    size = sum(len(payload.data) for payload in converter.to_payloads(arguments))
    if size > MAX_JSON_BYTES:
        raise PayloadTooLarge(what, size, MAX_JSON_BYTES)


@dataclass(frozen=True, kw_only=True)
class InputPlace:
    """Where the checked value is in a request body, and how messages refer to it."""

    pointer: str
    subject: str
    whose: str = "the workflow's"
    """Whose schema it is."""
    verb: str = "does"


INPUT = InputPlace(pointer="/input", subject="the input")


class Checker:
    """Checks values against their schemas; caches the most recently used compiled schemas."""

    def __init__(self) -> None:
        self._cache: OrderedDict[tuple[str, str], tuple[dict[str, Any], Compiled | str]] = OrderedDict()

    async def check(
        self, workflow: str, version: str, schema: dict[str, Any], value: Any, *, place: InputPlace = INPUT
    ) -> None:
        """Check the value against the schema of this version of a workflow, or of one of its handlers (`workflow` then includes its name).

        Raises InvalidInput, with a JSON pointer for each fault; Conflict if the schema is unusable; RateLimited while too many
        expensive checks are running.
        """
        ready = self._compiled(workflow, version, schema)
        if isinstance(ready, str):
            raise Conflict(
                f"{place.subject} schema of {workflow} {version} can't be used: {ready}; fix it in the code "
                f"(run `agentgrid check`), then restart the workers",
                status=UNUSABLE,
            )
        faults = _wrong_count(schema, value, place) or await _faults(schema, ready, value, place)
        if faults:
            raise InvalidInput(f"{place.subject} {place.verb} not fit {place.whose} schema", faults)

    def _compiled(self, workflow: str, version: str, schema: dict[str, Any]) -> Compiled | str:
        key = (workflow, version)
        cached = self._cache.get(key)
        if cached is None or (cached[0] is not schema and cached[0] != schema):
            cached = (schema, _compiled(schema))
        self._cache[key] = cached
        self._cache.move_to_end(key)
        if len(self._cache) > MAX_CACHED_SCHEMAS:
            self._cache.popitem(last=False)
        return cached[1]


def _compiled(schema: dict[str, Any]) -> Compiled | str:
    try:
        return schemas.compiled(schema)
    except ValueError as error:
        return str(error)


def _wrong_count(schema: dict[str, Any], value: Any, place: InputPlace) -> list[InvalidPlace]:
    if not takes_several(schema):
        return []
    limit = len(schema["prefixItems"])
    if isinstance(value, list) and schema.get("minItems", 0) <= len(value) <= limit:
        return []
    return [InvalidPlace(pointer=place.pointer, message=f"takes an array of {limit} arguments")]


async def _faults(schema: dict[str, Any], ready: Compiled, value: Any, place: InputPlace) -> list[InvalidPlace]:
    cost = ready.price * schemas.size_of(value, limit=CHEAP / ready.price)
    if cost <= CHEAP:
        if ready.validator.is_valid(value):
            return []
        if not ready.recursive and cost <= CHEAP_TO_EXPLAIN:
            return [_fault(place, path, message) for path, message in schemas.faults(ready, value)]
    return [_fault(place, path, message) for path, message in await long_checks.faults(schema, value)]


def _fault(place: InputPlace, path: Sequence[str | int], message: str) -> InvalidPlace:
    return InvalidPlace(pointer=place.pointer + pointer(path), message=message)
