"""A run's input against its workflow's schema, and as the arguments that the workflow takes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from temporalio.converter import PayloadConverter

from agentgrid.control import long_checks
from agentgrid.domain import schemas
from agentgrid.domain.schemas import Compiled
from agentgrid.errors import Conflict, Fault, InvalidInput, PayloadTooLarge
from agentgrid.protocol import MAX_JSON_BYTES

CHEAP = 2_000_000.0
"""The product of a schema's price and a value's size up to which it is checked here: less than a tenth of a second."""
CHEAP_TO_EXPLAIN = 50_000.0
"""The same bound for listing all faults, which costs more and is unbounded for a schema that refers to itself."""
KEPT_SCHEMAS = 256

UNUSABLE = "unusable_schema"
"""What a refused start says of the workflow's state."""


def takes_several(schema: dict[str, Any]) -> bool:
    """Whether the workflow takes several parameters; its input is then an array of them.

    One parameter that is a tuple has `prefixItems` too, but no `items: false`.
    """
    return schema.get("items") is False and "prefixItems" in schema


def arguments_of(schema: dict[str, Any], value: Any) -> list[Any]:
    """The arguments to start the workflow with: none for a schema of null, each of an array for several, else the input."""
    if schema.get("type") == "null":
        return []
    if takes_several(schema):
        return list(value)
    return [value]


def check_size(what: str, arguments: Sequence[Any], converter: PayloadConverter) -> None:
    """Raise PayloadTooLarge where Temporal would not take the arguments: it would never say so of a call that it can't even read.

    They are longer there than in the request's body where a number was written shorter than Python writes it.
    """
    size = sum(len(payload.data) for payload in converter.to_payloads(arguments))
    if size > MAX_JSON_BYTES:
        raise PayloadTooLarge(what, size, MAX_JSON_BYTES)


class Checker:
    """Checks inputs; the schemas that were used last are kept ready."""

    def __init__(self) -> None:
        self._ready: OrderedDict[tuple[str, str], tuple[dict[str, Any], Compiled | str]] = OrderedDict()

    async def check(self, workflow: str, version: str, schema: dict[str, Any], value: Any) -> None:
        """Return where the input fits the schema of this version of the workflow.

        Raises InvalidInput, with a JSON pointer for each fault; Conflict for a schema that nothing can be checked against;
        RateLimited while other checks that take long go on.
        """
        ready = self._compiled(workflow, version, schema)
        if isinstance(ready, str):
            raise Conflict(
                f"the input schema of {workflow} {version} can't be used: {ready}; mend it in the code, "
                f"as `agentgrid check` says, and start the workers again",
                status=UNUSABLE,
            )
        faults = _wrong_count(schema, value) or await _faults(schema, ready, value)
        if faults:
            raise InvalidInput("the input does not fit the workflow's schema", faults)

    def _compiled(self, workflow: str, version: str, schema: dict[str, Any]) -> Compiled | str:
        key = (workflow, version)
        kept = self._ready.get(key)
        if kept is None or (kept[0] is not schema and kept[0] != schema):
            kept = (schema, _compiled(schema))
        self._ready[key] = kept
        self._ready.move_to_end(key)
        if len(self._ready) > KEPT_SCHEMAS:
            self._ready.popitem(last=False)
        return kept[1]


def _compiled(schema: dict[str, Any]) -> Compiled | str:
    try:
        return schemas.compiled(schema)
    except ValueError as error:
        return str(error)


def _wrong_count(schema: dict[str, Any], value: Any) -> list[Fault]:
    if not takes_several(schema):
        return []
    most = len(schema["prefixItems"])
    if isinstance(value, list) and schema.get("minItems", 0) <= len(value) <= most:
        return []
    return [Fault(pointer="/input", message=f"takes an array of {most} arguments")]


async def _faults(schema: dict[str, Any], ready: Compiled, value: Any) -> list[Fault]:
    cost = ready.price * schemas.size_of(value, limit=CHEAP / ready.price)
    if cost <= CHEAP:
        if ready.validator.is_valid(value):
            return []
        if not ready.recursive and cost <= CHEAP_TO_EXPLAIN:
            return [Fault(pointer=pointer(path), message=said) for path, said in schemas.faults(ready, value)]
    found = await long_checks.faults(schema, value)
    return [Fault(pointer=pointer(path), message=said) for path, said in found]


def pointer(path: Sequence[str | int]) -> str:
    """The JSON pointer into the request's body."""
    return "/input" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
