"""How a workflow class's handlers are read, and which are refused."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RawValue

from agentgrid.domain.handlers import Handler, HandlerKind, Handlers, is_reserved, unknown
from agentgrid.sdk.handlers import faults_of, handlers_of


class Until(BaseModel):
    day: str
    password: str = "hunter2-hunter2"


class Opaque:
    """A type without a JSON Schema."""


@workflow.defn
class Every:
    @workflow.run
    async def run(self) -> None: ...

    @workflow.signal
    def nothing(self) -> None: ...

    @workflow.signal(name="other-name")
    def two(self, first: Until, second: Until | None = None) -> None:
        """Two of them."""

    @workflow.signal(name="agentgrid.decide")
    def theirs(self) -> None: ...

    @workflow.query(description="In other words")
    def untyped(self, anything, *rest):  # type: ignore[no-untyped-def]
        """Not this."""

    @workflow.update
    async def unserialisable(self, given: Opaque) -> Until: ...  # type: ignore[empty-body]

    @workflow.update(dynamic=True)
    async def all(self, name: str, args: Sequence[RawValue]) -> None: ...


def test_handlers_are_read_with_names_schemas_and_docstrings() -> None:
    handlers = handlers_of(Every, [])
    signals = handlers.of(HandlerKind.SIGNAL)
    assert signals["nothing"].input_schema == {"type": "array", "maxItems": 0}
    two = signals["other-name"]
    assert two.description == "Two of them."
    assert [item["title"] for item in two.input_schema["prefixItems"]] == ["first", "second"]
    assert (two.input_schema["minItems"], two.input_schema["items"]) == (1, False)
    assert two.input_schema["$defs"]["Until"]["additionalProperties"] is False, "a typo in a field is refused"
    untyped = handlers.of(HandlerKind.QUERY)["untyped"]
    assert untyped.description == "In other words"
    assert (len(untyped.input_schema["prefixItems"]), "items" in untyped.input_schema) == (1, False)
    assert handlers.of(HandlerKind.UPDATE)["unserialisable"].input_schema["prefixItems"] == [{"title": "given"}]
    assert handlers.dynamic == (HandlerKind.UPDATE,)
    assert Handlers.read(handlers.model_dump(mode="json")) == handlers


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def help(w):\n    w.set_signal_handler('x', None)", (HandlerKind.SIGNAL, HandlerKind.UPDATE)),
        ("workflow.set_dynamic_query_handler", (HandlerKind.QUERY, HandlerKind.UPDATE)),
        (
            "@workflow.defn\nclass Other:\n    def run(self): workflow.set_signal_handler('x', None)",
            (HandlerKind.UPDATE,),
        ),
        (
            "class Every:\n    def run(self): workflow.set_signal_handler('x', None)",
            (HandlerKind.SIGNAL, HandlerKind.UPDATE),
        ),
    ],
)
def test_code_that_sets_handlers_at_run_time_may_accept_any_name(code: str, expected: Any) -> None:
    assert handlers_of(Every, [ast.parse(code)]).dynamic == expected


def test_reserved_names_secrets_and_unusable_schemas_are_faults() -> None:
    faults = list(faults_of(handlers_of(Every, [])))
    assert any("'agentgrid.decide'" in fault and "reserved" in fault for fault in faults)
    assert any("'password' has a secret" in fault for fault in faults)
    broken = Handler(name="x", input_schema={"type": "array", "prefixItems": [{"$ref": "https://elsewhere/x"}]})
    assert any("can't be used" in fault for fault in faults_of(Handlers(signals=(broken,))))


@pytest.mark.parametrize(
    "document", [None, 5, "x", [], {"signals": 1}, {"signals": [{"name": ""}]}, {"dynamic": ["x"]}]
)
def test_an_invalid_document_counts_as_none(document: Any) -> None:
    assert Handlers.read(document) is None


def test_the_nearest_name_is_suggested_and_long_names_are_not_compared() -> None:
    assert (
        unknown(HandlerKind.SIGNAL, "hodl", ["hold", "go"])
        == "the workflow has no signal with this name; did you mean 'hold'?"
    )
    assert unknown(HandlerKind.QUERY, "x", ["hold"]) == "the workflow has no query with this name; it has hold"
    assert unknown(HandlerKind.QUERY, "x", []) == "the workflow has no queries"
    assert "did you mean" not in unknown(HandlerKind.SIGNAL, "h" * 200, ["h" * 199])


def test_only_harmless_queries_of_the_sdk_are_not_reserved() -> None:
    for kind in HandlerKind:
        for name in ("agentgrid.decide", "agentgrid.control", "__enhanced_stack_trace", "__temporal_x"):
            assert is_reserved(kind, name)
    assert not is_reserved(HandlerKind.QUERY, "__stack_trace")
    assert is_reserved(HandlerKind.SIGNAL, "__stack_trace")
