"""The offline model with all kinds of tools: what it calls, what it leaves out, and what it says about itself."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agentgrid.domain import schemas
from agentgrid.domain.agents import FINAL_ANSWER, ModelCall
from agentgrid.worker.model_requests import ModelAnswer, ModelTool
from agentgrid.worker.offline import Offline


def schema_of(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
ORDER = ModelTool(name="get_order", description="Read an order.", input_schema=schema_of({"order_id": TEXT}))
SEARCH = ModelTool(
    name="search_pages", description="Search the help pages.", input_schema=schema_of({"query": TEXT}, limit=WHOLE)
)
REFUND = ModelTool(
    name="refund_order",
    description="Refund an order. Pay money back.",
    input_schema=schema_of({"order_id": TEXT, "amount_cents": {"type": "integer", "minimum": 1}, "reason": TEXT}),
    risk="destructive",
)
REPLY = ModelTool(
    name="send_reply",
    description="Send a reply.",
    input_schema=schema_of({"order_id": TEXT, "body": TEXT}),
    risk="write",
)
ESCALATE = ModelTool(
    name="escalate_order",
    description="Hand the order over to people.",
    input_schema=schema_of({"order_id": TEXT, "team": {"type": "string", "enum": ["billing", "kitchen"]}}),
    risk="write",
)
OFFERS = [REFUND, ESCALATE, REPLY, SEARCH, ORDER]
CALL = ModelCall(
    agent="desk", version="1", call="c", turn=1, model="offline", instructions="Help.", tools=[], messages=[]
)
PAGE = {"slug": "cold-soup", "title": "When soup arrives cold", "summary": "We pay the money back."}


class Case:
    """A conversation with the offline model, driven by hand."""

    def __init__(self, prompt: str, offers: list[ModelTool], final: ModelTool | None = None) -> None:
        self.messages: list[dict[str, Any]] = [{"role": "user", "text": prompt}]
        self.offers, self.final = offers, final

    async def next(self) -> ModelAnswer:
        turn = len(self.messages)
        call = ModelCall(**{**vars(CALL), "turn": turn, "messages": self.messages})
        answer = await Offline().answer(call, self.offers, self.final)
        assert (answer.model, answer.provider) == ("offline model", "offline")
        self.messages.append({"role": "model", "answer": answer.message})
        return answer

    async def asks(self, name: str) -> dict[str, Any]:
        """The arguments of its next call, which must be of this tool."""
        (call,) = (await self.next()).calls
        assert call.name == name
        assert isinstance(call.arguments, dict)
        return call.arguments

    def outcome(self, **outcome: Any) -> None:
        part = self.messages[-1]["answer"]["parts"][0]
        self.messages.append({"role": "tool", "id": part["tool_call_id"], "name": part["tool_name"], **outcome})


async def until_refund(text: str) -> tuple[Case, dict[str, Any]]:
    case = Case("Please look after order O-17.", OFFERS)
    assert await case.asks("get_order") == {"order_id": "O-17"}
    case.outcome(result={"id": "O-17", "subject": "Cold soup", "paid_cents": 2600, "messages": [{"body": text}]})
    assert await case.asks("search_pages") == {"query": "Cold soup"}
    case.outcome(result=[{"slug": "hours", "title": "Opening hours", "summary": "Daily."}, PAGE])
    return case, await case.asks("refund_order")


async def test_it_reads_first_and_takes_ids_amounts_and_reasons_from_the_text() -> None:
    case, arguments = await until_refund("The soup was cold when it came. Please refund $12.50 of it. I paid $26.00.")
    assert arguments == {
        "order_id": "O-17",
        "amount_cents": 1250,
        "reason": "Offline model. What was written: “Please refund $12.50 of it.”",
    }
    case.outcome(result={"id": "RF-1"})
    answer = await case.next()
    assert answer.calls == []
    assert answer.text is not None
    assert answer.text.startswith("Offline model: no provider was asked. Tools used: get_order, search_pages")
    assert "[When soup arrives cold](/cold-soup)" in answer.text


async def test_it_stops_after_a_rejection_and_repeats_the_approvers_comment() -> None:
    case, _ = await until_refund("Refund the cold soup, $12.50!")
    case.outcome(fault="ApprovalRejected: Refund an order: rejected by reviewer: ask the kitchen first")
    answer = await case.next()
    assert (answer.calls, "ask the kitchen first" in (answer.text or "")) == ([], True)


async def test_it_continues_after_a_failure_without_repeating_the_call() -> None:
    case, _ = await until_refund("Refund the cold soup, $12.50, and send me a reply.")
    case.outcome(fault="ToolError: more than was paid")
    arguments = await case.asks("send_reply")
    assert "[When soup arrives cold](/cold-soup)" in arguments["body"]
    assert arguments["body"].endswith("Written by AgentGrid's offline model.")


async def test_it_hands_over_only_if_nothing_else_fits() -> None:
    case = Case("Please look after order O-17.", OFFERS)
    await case.asks("get_order")
    case.outcome(result={"id": "O-17", "subject": "Something else", "messages": [{"body": "Hmm, well, hmm."}]})
    await case.asks("search_pages")
    case.outcome(result=[])
    assert await case.asks("escalate_order") == {"order_id": "O-17", "team": "billing"}


async def test_an_answer_lists_completed_and_refused_calls() -> None:
    answer = schema_of(
        {"summary": TEXT, "reply": TEXT, "refunded": {"type": "boolean"}, "needs_person": {"type": "boolean"}}
    )
    for outcome, refunded in (({"result": "ok"}, True), ({"fault": "PolicyDenied: not today"}, False)):
        case, _ = await until_refund("Refund the cold soup, $12.50!")
        case.outcome(**outcome)
        case.final = ModelTool(name=FINAL_ANSWER, description="", input_schema=answer)
        given_answer = await case.asks(FINAL_ANSWER)
        assert (given_answer["refunded"], given_answer["needs_person"]) == (refunded, not refunded)
        assert ("not today" in given_answer["summary"]) is not refunded
        assert "not today" not in given_answer["reply"], "the refusal is not shown to customers"


NAMES = st.sampled_from(["id", "order_id", "amount_cents", "query", "body", "reason", "flag", "tags", "when", "größe"])
LEAVES = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {"type": st.just("string")}, optional={"minLength": st.integers(0, 30), "maxLength": st.integers(30, 60)}
    ),
    st.just({"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"}),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={"minimum": st.integers(-9, 9), "multipleOf": st.integers(1, 5)},
    ),
    st.sampled_from(
        [{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {"const": 7}, {"enum": ["a", 2]}]
    ),
    st.sampled_from([{"$ref": "#/$defs/Thing"}, {"$ref": "#/$defs/Missing"}]),
)


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(NAMES, inner, max_size=4).flatmap(
        lambda properties: st.sets(st.sampled_from([*properties, "unlisted"]), max_size=3).map(
            lambda required: {"type": "object", "properties": properties, "required": sorted(required)}
        )
    )


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        objects(inner),
        st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 3)),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
    ),
    max_leaves=8,
)
ARGUMENTS = objects(SCHEMAS).map(lambda schema: {**schema, "$defs": {"Thing": {"type": "string", "minLength": 2}}})
RESULTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=8,
)
OUTCOMES = st.one_of(
    st.fixed_dictionaries({"result": RESULTS}),
    st.sampled_from([{"fault": "ToolError: no"}, {"fault": ""}, {"fault": "ApprovalRejected: no: by: colons"}]),
)


@settings(max_examples=60, deadline=None)
@given(
    tools=st.lists(
        st.tuples(NAMES, st.text(max_size=30), ARGUMENTS, st.sampled_from(["read", "write", "destructive"])), max_size=5
    ),
    outcomes=st.lists(OUTCOMES, min_size=5, max_size=5),
    prompt=st.one_of(st.text(max_size=60), st.just("query: soup\nPlease refund $9,999.00 for O-17 (id=3)\n- a point")),
    answer=st.one_of(st.none(), ARGUMENTS),
)
async def test_with_any_tools_its_arguments_are_valid_and_it_ends(
    tools: list[Any], outcomes: list[dict[str, Any]], prompt: str, answer: dict[str, Any] | None
) -> None:
    offers = [
        ModelTool(name=f"{name}_{number}", description=about, input_schema=schema, risk=risk)
        for number, (name, about, schema, risk) in enumerate(tools)
    ]
    final = None if answer is None else ModelTool(name=FINAL_ANSWER, description="", input_schema=answer)
    case = Case(prompt, offers, final)
    for number in range(len(offers) + 1):
        turn = await case.next()
        json.dumps(turn.message)
        if not turn.calls or turn.calls[0].name == FINAL_ANSWER:
            return
        (call,) = turn.calls
        schema = next(offer.input_schema for offer in offers if offer.name == call.name)
        assert schemas.compiled(schema).validator.is_valid(call.arguments)
        assert number < len(offers), "each tool is called at most once"
        case.outcome(**outcomes[number])
