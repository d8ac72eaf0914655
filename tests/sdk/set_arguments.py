"""Prints the arguments and key of a call to a tool with set parameters. Run in a separate process, which orders sets differently."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections import deque
from datetime import timedelta
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field

import agentgrid as ag
from agentgrid.domain.canonical import digest
from agentgrid.sdk.schema import schema_of, to_json_value

WORDS = ["kilo", "lima", "mike", "november", "oscar"]


class Tags(BaseModel):
    model_config = ConfigDict(frozen=True)

    tags: frozenset[str] = frozenset(WORDS)
    number: int = 0


class Aliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)

    tags: set[str] = Field(alias="Tags")

    @computed_field
    @property
    def again(self) -> set[str]:
        return set(self.tags)


class Root(RootModel[set[str]]):
    pass


@dataclasses.dataclass
class Data:
    tags: set[str]


class Pair(NamedTuple):
    tags: frozenset[str]
    number: int


@ag.tool(title="Take sets", risk="write", timeout=timedelta(seconds=1))
async def take(
    plain: set[str],
    nested: dict[str, list[Tags]],
    anything: Any,
    data: Data,
    aliased: Aliased,
    root: Root,
    pair: Pair,
    models: frozenset[Tags],
    sets: frozenset[frozenset[str]],
    queued: deque[set[int]],
    ordered: list[str],
    left_out: Tags = Tags(),
    constant: frozenset[str] = frozenset(WORDS),
) -> set[str]:
    return plain


class WorkflowInput(BaseModel):
    """Input of a registered workflow. Its schema is part of the workflow's version."""

    tags: set[str] = set(WORDS)
    more: Tags = Tags()


if __name__ == "__main__":
    words = frozenset(WORDS)
    sent = take.signature.dump_arguments(
        set(words),
        {"k": [Tags()]},
        {"any": [set(words)]},
        Data(set(words)),
        Aliased(Tags=set(words)),
        Root(set(words)),
        Pair(words, 1),
        frozenset({Tags(), Tags(number=2), Tags(tags=frozenset({"a", "b"}))}),
        frozenset({words, frozenset({"a", "b", "c"})}),
        deque([{1, 200, 3000}]),
        list(reversed(WORDS)),
    )
    schema = json.dumps(schema_of(WorkflowInput))
    shown = to_json_value({"show": Data(set(words)), "and": {words}})
    values = [sent, digest(sent), take.version, shown, hashlib.sha256(schema.encode()).hexdigest()]
    sys.stdout.write(json.dumps(values) + "\n" + " ".join(words))
