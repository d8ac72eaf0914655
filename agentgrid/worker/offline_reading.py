"""What the offline model extracts from a conversation: named values, ids, amounts, texts and lists. It understands none of it."""

from __future__ import annotations

import json
import re
from collections.abc import Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from agentgrid.domain.agents import FINAL_ANSWER, ModelCall
from agentgrid.domain.policies import Risk
from agentgrid.sdk.agent_breaker import REFUSALS
from agentgrid.worker.model_requests import ModelTool

_LINE = re.compile(r"^([a-z][a-z0-9_ ]{0,40}):[ \t]*(\S.*)$", re.IGNORECASE | re.MULTILINE)
_INLINE = re.compile(r"\b([a-z][a-z0-9_]*)\s*[:=]\s*(\"[^\"]*\"|[^\s,;]+)", re.IGNORECASE)
_POINT = re.compile(r"^\s*[-*] (\S.*)$", re.MULTILINE)
_ID = re.compile(r"(?:\b([a-z]+)[ #:]+)?\b([A-Z][A-Za-z]{0,9}-\d[\w-]*)")
_MONEY = re.compile(r"\$\s?\d[\d,]*(?:\.\d\d)?|\b\d[\d,]*\.\d\d\b")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_ENDING = re.compile(r"(ations?|ing|ions?|ed|es|e|s)$")
_EMPTY = re.compile(
    "about|above|after|again|also|another|been|before|being|between|does|from|give|given|have|into|just|more|most|must|"
    "never|only|other|over|same|some|such|than|that|their|them|then|there|these|they|this|those|until|what|when|where|"
    "which|while|will|with|without|would|your"
)
"""Words that say nothing about a text's subject."""

_DEPTH = 12
MAX_SEEN = 6
"""How many values of one result a report repeats."""
MAX_SEEN_TEXT = 40
"""The longest value that a report repeats, in characters."""
MAX_TEXT = 20_000
"""How much of each text is compared, in characters."""


def stems(text: str) -> set[str]:
    """The words that may show a text's subject, without their endings."""
    words = re.findall(r"[a-z]{4,}", text[:MAX_TEXT].lower().replace("_", " "))
    return {
        _ENDING.sub("", word) if len(word) > 5 else word.rstrip("s") for word in words if not _EMPTY.fullmatch(word)
    }


def amount_in(text: str) -> float | None:
    """The first amount of money in a text."""
    match = _MONEY.search(text)
    return float(re.sub(r"[$,\s]", "", match[0])) if match else None


@dataclass
class ConversationContent:
    """What a conversation contains."""

    prompt: str = ""
    given: dict[str, Any] = field(default_factory=dict)
    """The values named in the prompt."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The values named in the prompt and in results. The first value of a name wins."""
    texts: list[str] = field(default_factory=list)
    """What people wrote: the prompt, and longer texts in results, except in lists that were looked up."""
    items: list[dict[str, Any]] = field(default_factory=list)
    """The objects in lists that were looked up."""
    seen: dict[str, Any] = field(default_factory=dict)
    """A few short values of the objects that were looked up, for reports."""
    used: list[str] = field(default_factory=list)
    """The tools called, in order."""
    done: list[str] = field(default_factory=list)
    """The called tools that returned a result."""
    notes: list[str] = field(default_factory=list)
    """Failures, and what approvers wrote."""
    refused: bool = False
    """Whether a call was denied or rejected."""

    @property
    def subject_words(self) -> set[str]:
        """The stems of all texts."""
        return stems("\n".join(self.texts))

    @property
    def item(self) -> dict[str, Any] | None:
        """The looked-up object that best matches the texts, or None."""
        words = self.subject_words
        ranked = [(len(words & stems(_words_of(item))), -number) for number, item in enumerate(self.items)]
        best = max(ranked, default=(0, 0))
        return self.items[-best[1]] if best[0] >= 2 else None

    def sentence(self, words: Set[str], *, with_amount: bool = False) -> str | None:
        """The sentence with the most of these words."""
        sentences = [part for text in self.texts for part in _SENTENCE.split(text[:MAX_TEXT]) if part.strip()]
        ranked = [sentence for sentence in sentences if not with_amount or amount_in(sentence) is not None]
        return max(ranked, key=lambda sentence: len(words & stems(sentence)), default=None)


def read(call: ModelCall, offers: list[ModelTool]) -> ConversationContent:
    """Read the whole conversation. In a session, only calls since the last answer count as made."""
    reading = ConversationContent()
    risks = {offer.name: offer.risk for offer in offers}
    for before, message in zip([None, *call.messages], call.messages, strict=False):
        if message["role"] == "user" and before is not None and _answers(before):
            reading.used, reading.done, reading.notes, reading.refused, reading.prompt = [], [], [], False, ""
        if message["role"] == "user":
            _read_prompt(reading, message["text"])
        elif message["role"] == "tool":
            _read_result(reading, message, reads=risks.get(message["name"]) == Risk.READ)
    if (item := reading.item) is not None:
        _name(reading, item, "item")
    return reading


def _answers(message: dict[str, Any]) -> bool:
    return message["role"] == "model" or message.get("name") == FINAL_ANSWER


def _read_prompt(reading: ConversationContent, text: str) -> None:
    reading.prompt = reading.prompt or text
    reading.texts.append(text)
    named = {name.strip().lower().replace(" ", "_"): _scalar(value) for name, value in _LINE.findall(text)}
    named |= {name.lower(): _scalar(value) for name, value in _INLINE.findall(text) if name.lower() not in named}
    for noun, match in _ID.findall(text):
        named.setdefault(f"{noun.lower()}_id" if noun else "id", match)
    if points := _POINT.findall(text):
        named["points"] = points
    reading.given = named | reading.given
    reading.facts = named | reading.facts


def _scalar(text: str) -> Any:
    text = text.strip()
    return int(text) if re.fullmatch(r"-?\d{1,15}", text) else text.rstrip(".").strip('"')


def _read_result(reading: ConversationContent, message: dict[str, Any], *, reads: bool) -> None:
    name = str(message["name"])
    reading.used.append(name)
    if isinstance(approval := message.get("approval"), dict):
        reading.notes.append(f"{name} was approved with changes or a comment: {json.dumps(approval, sort_keys=True)}")
    if "fault" in message:
        kind, _, reason = str(message["fault"]).partition(": ")
        reading.refused |= kind in REFUSALS
        reading.notes.append(f"{name} {'was refused' if kind in REFUSALS else 'failed'}: {reason or kind}")
        return
    reading.done.append(name)
    result = message.get("result")
    listed = next(iter(result.values())) if isinstance(result, dict) and len(result) == 1 else result
    if isinstance(listed, list):
        reading.items += [item for item in listed if isinstance(item, dict)]
        return
    noun = name.rsplit("_", 1)[-1].removesuffix("s")
    _name(reading, result, noun)
    if reads:
        short = {key: value for key, value in result.items() if _is_short(value)} if isinstance(result, dict) else {}
        reading.seen |= dict(islice(short.items(), MAX_SEEN))
        reading.texts += [text for text in _texts(result) if len(text.split()) >= 3]


def _name(reading: ConversationContent, value: Any, noun: str, depth: int = 0) -> None:
    """Add an object's named values: its own first, then those of the objects inside it."""
    if not isinstance(value, dict) or depth > _DEPTH:
        return
    for name, item in value.items():
        if item is not None:
            reading.facts.setdefault(f"{noun}_{name}".lower(), item)
            reading.facts.setdefault(name.lower(), item)
    for name, item in value.items():
        _name(reading, item, name, depth + 1)


def _is_short(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool) and 0 < len(str(value)) <= MAX_SEEN_TEXT


def _texts(value: Any, depth: int = 0) -> list[str]:
    if isinstance(value, str):
        return [value]
    if depth > _DEPTH or not isinstance(value, (dict, list)):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [text for part in inner for text in _texts(part, depth + 1)]


def _words_of(item: dict[str, Any]) -> str:
    return " ".join(_texts(item))
