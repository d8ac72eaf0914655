"""Stored payloads: plain JSON of bounded size, and no bytes raise an exception."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DefaultFailureConverterWithEncodedAttributes, PayloadCodec

from agentgrid.temporal import payloads

CONVERTER = pydantic_data_converter.payload_converter


def plain(data: bytes, encoding: bytes = b"json/plain") -> Payload:
    return Payload(metadata={"encoding": encoding}, data=data)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ([plain(b'{"a":1}')], {"size": 7, "value": {"a": 1}}),
        ([], {"size": 0, "arity": 0, "values": []}),
        ([plain(b"1"), plain(b'"x"')], {"size": 4, "arity": 2, "values": [1, "x"]}),
        ([plain(b"", b"binary/null")], {"size": 0, "value": None}),
        ([plain(b"sealed", b"binary/encrypted")], {"size": 6, "encoding": "binary/encrypted", "opaque": True}),
        ([Payload(data=b"{}")], {"size": 2, "encoding": "none", "opaque": True}),
        ([plain(b"NaN")], {"size": 3, "encoding": "json/plain", "opaque": True}),
        ([plain(b"1e400")], {"size": 5, "encoding": "json/plain", "opaque": True}),
        ([plain(b"[" * 5000 + b"]" * 5000)], {"size": 10000, "encoding": "json/plain", "opaque": True}),
        ([plain(b"[" * 201 + b"]" * 201)], {"size": 402, "encoding": "json/plain", "opaque": True}),
        ([plain(b"\xff\xfe")], {"size": 2, "encoding": "json/plain", "opaque": True}),
        ([plain(b'"\\u0000\\ud800"')], {"size": 14, "value": "\x00\ud800"}),
    ],
    ids=[
        "one",
        "none",
        "two",
        "null",
        "encrypted",
        "no encoding",
        "nan",
        "infinite",
        "deep",
        "slightly too deep",
        "not utf-8",
        "odd text",
    ],
)
def test_payloads_are_stored_as_plain_json(sent: list[Payload], stored: dict[str, Any]) -> None:
    assert payloads.store(sent, CONVERTER) == stored
    assert json.loads(payloads.dump(stored)) == stored


def test_a_large_payload_is_stored_as_a_preview() -> None:
    stored = payloads.store([plain(b'"' + b"x" * 40_000 + b'"')], CONVERTER)
    assert stored["truncated"] is True
    assert stored["size"] == 40_002
    assert len(stored["preview"]) == payloads.PREVIEW_BYTES


@given(st.binary(max_size=200), st.sampled_from([b"json/plain", b"json/protobuf", b"binary/plain", b"binary/protobuf"]))
def test_no_bytes_raise_and_the_result_is_always_valid_json(data: bytes, encoding: bytes) -> None:
    stored = payloads.store([plain(data, encoding)], CONVERTER)
    assert json.loads(payloads.dump(stored))["size"] == len(data)


def test_a_failure_is_stored_with_its_causes_and_truncated_texts() -> None:
    failure = Failure(message="m" * 20_000, stack_trace="s" * 20_000)
    failure.application_failure_info.type = "Broken"
    failure.application_failure_info.non_retryable = True
    failure.application_failure_info.details.payloads.append(plain(b'{"code":7}'))
    failure.cause.message = "cause"
    failure.cause.timeout_failure_info.SetInParent()
    stored = payloads.store_failure(failure, CONVERTER)
    assert (stored["type"], stored["retryable"]) == ("Broken", False)
    assert len(stored["message"]) == payloads.MESSAGE_BYTES + 1
    assert len(stored["stack"]) == payloads.STACK_BYTES + 1
    assert stored["details"]["value"] == {"code": 7}
    assert stored["cause"] == {"type": "TimeoutError", "message": "cause", "retryable": True}


@pytest.mark.parametrize(
    ("info", "names", "failed"),
    [
        ("activity_failure_info", {"activity_type": {"name": "tool.refund"}}, "refund"),
        ("activity_failure_info", {"activity_type": {"name": "charge"}}, "charge"),
        ("child_workflow_execution_failure_info", {"workflow_type": {"name": "Order"}}, "Order"),
        ("nexus_operation_execution_failure_info", {"operation": "pay"}, "pay"),
        ("application_failure_info", {"type": "ToolError"}, None),
        ("activity_failure_info", {}, None),
    ],
    ids=["tool", "activity", "child", "nexus", "wraps nothing", "without a name"],
)
def test_a_failure_that_wraps_another_names_what_failed(info: str, names: dict[str, Any], failed: str | None) -> None:
    failure = ParseDict({info: names}, Failure())
    assert payloads.store_failure(failure, CONVERTER).get("failed") == failed


class Sealing(PayloadCodec):
    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload(metadata={"encoding": b"sealed"}, data=payload.SerializeToString()) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        opened = []
        for sealed in payloads:
            if sealed.metadata.get("encoding") != b"sealed":
                raise ValueError("not sealed by us")
            payload = Payload()
            payload.ParseFromString(sealed.data)
            opened.append(payload)
        return opened


async def test_the_codec_decodes_what_it_can_and_leaves_other_payloads_unchanged() -> None:
    converter = replace(
        pydantic_data_converter,
        payload_codec=Sealing(),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
    sealed = (await converter.encode([{"a": 1}]))[0]
    scheduled = HistoryEvent(event_id=5)
    attributes = scheduled.activity_task_scheduled_event_attributes
    attributes.input.payloads.append(sealed)
    attributes.header.fields["agentgrid-key"].CopyFrom(plain(b'"k"'))
    foreign = HistoryEvent(event_id=6)
    foreign.workflow_execution_signaled_event_attributes.input.payloads.append(plain(b"garbage", b"other"))
    failed = HistoryEvent(event_id=7)
    try:
        raise ValueError("secret")
    except ValueError as error:
        await converter.encode_failure(error, failed.activity_task_failed_event_attributes.failure)
    assert failed.activity_task_failed_event_attributes.failure.message == "Encoded failure"

    await payloads.decode_events([scheduled, foreign, failed], converter)

    assert payloads.store(attributes.input.payloads, CONVERTER) == {"size": 7, "value": {"a": 1}}
    assert attributes.header.fields["agentgrid-key"].data == b'"k"'
    unchanged = foreign.workflow_execution_signaled_event_attributes.input.payloads
    assert payloads.store(unchanged, CONVERTER) == {"size": 7, "encoding": "other", "opaque": True}
    stored = payloads.store_failure(failed.activity_task_failed_event_attributes.failure, CONVERTER)
    assert stored["message"] == "secret"


def test_the_digest_of_an_input_distinguishes_payloads_and_their_parts() -> None:
    one = plain(b'"ab"')
    inputs = [
        [],
        [one],
        [one, one],
        [plain(b'"a"b')],
        [plain(b'"ab"', b"json/plai"), plain(b"")],
        [Payload(metadata={"encoding": b"json/plain", "x": b""}, data=one.data)],
        [Payload(metadata={"encodin": b"gjson/plain"}, data=one.data)],
    ]
    assert len({payloads.input_digest(sent) for sent in inputs}) == len(inputs)
    swapped = Payload(data=one.data)
    swapped.metadata["x"], swapped.metadata["encoding"] = b"", b"json/plain"
    assert payloads.input_digest([swapped]) == payloads.input_digest(inputs[5])
