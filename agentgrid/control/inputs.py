"""A run's input against its workflow's schema, and as the arguments that the workflow takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable
from temporalio.converter import PayloadConverter

from agentgrid.errors import Fault, InvalidInput, PayloadTooLarge
from agentgrid.protocol import MAX_JSON_BYTES

MAX_FAULTS = 20
MESSAGE_CHARACTERS = 300


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


def check(schema: dict[str, Any], value: Any) -> None:
    """Raise InvalidInput, with a JSON pointer for each fault, where the input does not fit the schema."""
    faults = []
    for fault in _faults(schema, value):
        faults.append(fault)
        if len(faults) == MAX_FAULTS:
            break
    if faults:
        raise InvalidInput("the input does not fit the workflow's schema", faults)


def _faults(schema: dict[str, Any], value: Any) -> Iterator[Fault]:
    if takes_several(schema):
        most = len(schema["prefixItems"])
        if not isinstance(value, list) or not schema.get("minItems", 0) <= len(value) <= most:
            yield Fault(pointer="/input", message=f"takes an array of {most} arguments")
            return
    yield from _errors(schema, value)


def _errors(schema: dict[str, Any], value: Any) -> Iterator[Fault]:
    # With a registry given, empty as it is, a reference to elsewhere is never fetched.
    validator = Draft202012Validator(schema, registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)
    try:
        for error in validator.iter_errors(value):
            yield _fault(error)
    except Unresolvable as error:
        yield Fault(
            pointer=pointer(()),
            message=f"can't be checked: the schema refers to something that is not there ({error})",
        )


def _fault(error: ValidationError) -> Fault:
    message = error.message
    if len(message) > MESSAGE_CHARACTERS:
        # The message quotes the value, which may be megabytes.
        message = f"{message[:MESSAGE_CHARACTERS]}… ({error.validator})"
    return Fault(pointer=pointer(tuple(error.absolute_path)), message=message)


def pointer(path: tuple[str | int, ...]) -> str:
    """The JSON pointer into the request's body."""
    return "/input" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
