"""Values that the offline model generates for a JSON Schema: facts by name, amounts, and texts that name their author."""

from __future__ import annotations

import functools
import json
from collections.abc import Set
from typing import TYPE_CHECKING, Any

from agentgrid.worker.offline_reading import ConversationContent, amount_in, stems

if TYPE_CHECKING:
    from agentgrid.domain.schemas import Compiled

MISSING: Any = object()
_DEPTH = 12
_LONGEST = 4_000
HANDS_OVER = stems("escalate handover human person people")
QUERY = {"query", "search", "question", "keywords", "term", "terms", "topic", "title", "subject"}
_PROMPT = {"prompt", "request", "instruction", "instructions"}
_REPORT = {"summary", "reason", "note", "notes", "comment", "explanation", "resolution", "detail", "report"}
_TEXT = {"body", "text", "reply", "message", "content", "draft", "answer", "description"}
_MONEY = {"amount", "cents", "price", "cost", "usd", "total"}


class Maker:
    """Generates values for one turn. writes: the tools that write, with their titles."""

    def __init__(self, reading: ConversationContent, writes: dict[str, str]) -> None:
        self.reading, self.writes = reading, writes
        self.subject_words, self.item = reading.subject_words, reading.item

    def value(
        self,
        name: str,
        schema: Any,
        root: dict[str, Any],
        *,
        writes: bool = False,
        must: bool = False,
        words: Set[str] = frozenset(),
        depth: int = 0,
    ) -> Any:
        """A value for this name and schema. must: make one up rather than leave it out."""
        schema = _resolved(schema, root)
        fact = self.reading.facts.get(name.lower(), MISSING)
        written = (writes or must) and name.lower() not in self.reading.given and _words(name) & (_REPORT | _TEXT)
        if fact is not MISSING and not written and fits(schema, root, fact):
            return fact
        fixed = [schema[key] for key in ("const", "default") if key in schema]
        fixed += sorted(schema.get("enum", ()), key=lambda value: not stems(str(value)) & self.subject_words)
        if fixed:
            return fixed[0]
        for combinator in ("anyOf", "oneOf", "allOf"):
            if schema.get(combinator) and depth < _DEPTH:
                options = (
                    self.value(name, option, root, writes=writes, must=must, words=words, depth=depth + 1)
                    for option in schema[combinator]
                )
                return next((value for value in options if value is not MISSING), MISSING)
        kind = schema.get("type")
        match kind[0] if isinstance(kind, list) and kind else kind:
            case "object" if depth < _DEPTH:
                return self._object(schema, root, must=must, depth=depth)
            case "array":
                inner = (
                    self.value(name, schema.get("items", {}), root, must=must, depth=depth + 1)
                    if depth < _DEPTH
                    else None
                )
                return MISSING if inner is MISSING else [inner] * min(schema.get("minItems", 0), 20)
            case "integer" | "number" as number:
                return self._number(name, schema, root, words, whole=number == "integer", must=must)
            case "boolean":
                return self._holds(name)
            case "null":
                return None
        text = self._text(name, words, writes=writes or must)
        text = (text if text is not None else self.report()) if must else text
        if text is None:
            return MISSING
        return text.ljust(min(schema.get("minLength", 0), _LONGEST), ".")[
            : min(schema.get("maxLength", _LONGEST), _LONGEST)
        ]

    def _object(self, schema: dict[str, Any], root: dict[str, Any], *, must: bool, depth: int) -> Any:
        required, values = schema.get("required", ()), {}
        for name, inner in fields(schema).items():
            fact = self.reading.facts.get(name.lower(), MISSING)
            if name in required or (fact is not MISSING and fits(inner, root, fact)):
                values[name] = self.value(name, inner, root, must=must, depth=depth + 1)
        return MISSING if MISSING in values.values() else values

    def _number(
        self, name: str, schema: dict[str, Any], root: dict[str, Any], words: Set[str], *, whole: bool, must: bool
    ) -> Any:
        parts = _words(name)
        options: list[Any] = []
        if parts & _MONEY:
            amount = amount_in(self.reading.sentence(words, with_amount=True) or "")
            if amount is not None:
                options.append(round(amount * 100) if "cents" in parts else amount)
            options += [value for key, value in self.reading.facts.items() if key.rsplit("_", 1)[-1] in parts & _MONEY]
        if must:
            least = schema.get("minimum", schema.get("exclusiveMinimum", schema.get("maximum", 0)))
            options += [0, least, least + 1, schema.get("multipleOf", 1)]
        options = [round(option) if whole and isinstance(option, float) else option for option in options]
        return next((option for option in options if fits(schema, root, option)), 0 if must else MISSING)

    def _holds(self, name: str) -> bool:
        """Whether a writing tool with a word of this name has been called; for people, whether a call was refused."""
        words = stems(name)
        if words & (HANDS_OVER | {"refus", "reject"}):
            return self.reading.refused
        return any(words & stems(tool) for tool in self.reading.done if tool in self.writes)

    def _text(self, name: str, words: Set[str], *, writes: bool) -> str | None:
        parts = _words(name)
        if parts & _PROMPT:
            return self.reading.prompt
        if parts & QUERY:
            return self._topic()
        if not writes:
            return None
        if parts & _REPORT:
            quoted = self.reading.sentence(words) if words else None
            return f"Offline model. What was written: “{quoted}”" if quoted else self.report()
        return self.draft() if parts & _TEXT else None

    def _topic(self) -> str:
        topics = (self.reading.facts.get(name) for name in ("subject", "title", "topic", "question", "query"))
        return next((topic for topic in topics if isinstance(topic, str) and topic.strip()), self.reading.prompt)[:200]

    def draft(self) -> str:
        """A text made from what was found. It names its author."""
        facts, points = self.reading.facts, self.reading.given.get("points", [])
        paragraphs = [point if point[-1] in ".!?" else f"{point}." for point in points]
        if not paragraphs:
            name = next(
                (facts[key] for key in ("contact_name", "customer_name") if isinstance(facts.get(key), str)), None
            )
            paragraphs = [f"Dear {name}," if name else "Hello,", f"You wrote about: {self._topic()}."]
        if self.item is not None:
            paragraphs.append(f"Read on: {_shown(self.item)}")
        done = [title for name, title in self.writes.items() if name in self.reading.done]
        paragraphs += [f"Done: {', '.join(done)}."] if done else []
        return "\n\n".join([*paragraphs, "Written by AgentGrid's offline model."])

    def report(self) -> str:
        """What was used, found and refused."""
        used = ", ".join(dict.fromkeys(self.reading.used)) or "none"
        sentences = [f"Found: {_shown(self.item)}"] if self.item is not None else []
        if self.reading.seen:
            sentences.append(f"Read: {', '.join(f'{name} {value}' for name, value in self.reading.seen.items())}.")
        return " ".join([f"Offline model: no provider was asked. Tools used: {used}.", *sentences, *self.reading.notes])


def _words(name: str) -> set[str]:
    return set(name.lower().split("_"))


def fields(schema: dict[str, Any]) -> dict[str, Any]:
    """The properties of an object, including those that are only listed as required."""
    return {**{name: {} for name in schema.get("required", ())}, **schema.get("properties", {})}


def _shown(item: dict[str, Any]) -> str:
    title = next((str(item[key]) for key in ("title", "name", "subject", "id") if item.get(key)), "an entry")
    slug = item.get("slug")
    more = next((str(item[key]) for key in ("summary", "description", "excerpt") if item.get(key)), "")
    return f"{f'[{title}](/{slug})' if slug else title}{f': {more}' if more else '.'}"


def _resolved(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    """The schema with its references resolved; empty if there is none."""
    for _ in range(_DEPTH):
        if not isinstance(schema, dict) or not isinstance(ref := schema.get("$ref"), str):
            break
        target: Any = root
        for part in ref.removeprefix("#").strip("/").split("/"):
            target = target.get(part, {}) if isinstance(target, dict) else {}
        schema = (
            {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
            if isinstance(target, dict)
            else {}
        )
    return schema if isinstance(schema, dict) else {}


def fits(schema: Any, root: dict[str, Any], value: Any) -> bool:
    """Whether a value is valid for a schema whose definitions are in the root."""
    if not isinstance(schema, dict):
        return schema is True
    definitions = {key: root[key] for key in ("$defs", "definitions") if key in root}
    ready = _compiled(json.dumps({**definitions, **schema}, sort_keys=True))
    return ready is not None and bool(ready.validator.is_valid(value))


@functools.lru_cache(maxsize=512)
def _compiled(schema: str) -> Compiled | None:
    from agentgrid.domain import schemas

    try:
        return schemas.compiled(json.loads(schema))
    except ValueError:
        return None
