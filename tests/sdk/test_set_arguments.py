"""The order of sets differs between processes; the arguments sent, their digest, their key and all versions must not (R20)."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from agentgrid.sdk.schema import Signature
from tests.sdk.set_arguments import WORDS


def called_with(seed: int) -> tuple[str, str]:
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    command = [sys.executable, "-m", "tests.sdk.set_arguments"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    first, rest = ran.stdout.split("\n", 1)
    return first, rest


def test_r20_every_process_sends_a_set_in_the_same_order() -> None:
    one, other = called_with(1), called_with(2)
    assert one[1] != other[1], "these two processes order sets differently"
    assert one[0] == other[0]
    sent, _, _, shown, _ = json.loads(one[0])
    assert sent["plain"] == sent["root"] == sent["pair"][0] == sent["constant"] == WORDS
    assert sent["aliased"] == {"Tags": WORDS, "again": WORDS}
    assert sent["ordered"] == list(reversed(WORDS)), "a list keeps its order"
    assert sent["queued"] == [[1, 200, 3000]]
    assert shown == {"show": {"tags": WORDS}, "and": [WORDS]}


def test_arguments_without_sets_are_not_traversed() -> None:
    async def plain(text: str, rows: list[dict[str, int]], maybe: int | None = None) -> str: ...
    async def sets(rows: list[set[int]]) -> str: ...
    async def open_(rows: list[object]) -> str: ...

    assert [Signature(function)._arranges for function in (plain, sets, open_)] == [False, True, True]
