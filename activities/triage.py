"""Classification of tickets by rules: pure, fast and deterministic.

Rules are data: each matching pattern adds its weight, and the category with the highest sum wins. `tests/activities`
compares them with labels that people gave to the seeded tickets.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum

import agentgrid as ag
from activities.backoffice import Record
from activities.support import Plan, Ticket

JUDGE = timedelta(seconds=5)


class Category(StrEnum):
    OUTAGE = "outage"
    PRIVACY = "privacy"
    REFUND = "refund"
    CANCELLATION = "cancellation"
    BILLING = "billing"
    ACCESS = "access"
    BUG = "bug"
    FEATURE = "feature"
    HOW_TO = "how_to"
    FEEDBACK = "feedback"


class Urgency(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class Sentiment(StrEnum):
    NEGATIVE = "negative"
    NEUTRAL = "neutral"
    POSITIVE = "positive"


class Classification(Record):
    """A ticket's category, urgency and sentiment."""

    category: Category
    urgency: Urgency
    sentiment: Sentiment
    refund_cents: int | None
    """The refund that the customer asks for, if the ticket asks for one and names an amount or a charge."""
    matched: tuple[str, ...]
    """The words that determined the category, so that people can check it."""


def _rules(*lines: tuple[int, str]) -> tuple[tuple[int, re.Pattern[str]], ...]:
    return tuple((weight, re.compile(pattern, re.IGNORECASE)) for weight, pattern in lines)


# Ordered: if two categories have the same weight, the first one wins.
CATEGORY_RULES = {
    Category.OUTAGE: _rules(
        (4, r"\b(is|are) down\b"),
        (4, r"\b(nothing|does not|doesn't|do not) (loads?|opens?|works?) (for|at) (all|any\w*|the door)\b"),
        (4, r"\berror 5\d\d\b"),
        (3, r"\b(crash(es|ing)|keeps? spinning)\b"),
        (3, r"\ball (card )?payments fail\b|\bcannot take (card )?payments\b"),
        (3, r"\b(unavailable|outage right now|blank white page)\b"),
    ),
    Category.PRIVACY: _rules(
        (5, r"\bgdpr\b|\bdata (breach|processing|visible|residency)\b|\bsubprocessors?\b"),
        (4, r"\bpersonal data\b|\bcompromised\b|\bsuspicious log-?ins?\b|\bencrypted\b"),
        (3, r"\bregulator\b|\bvisible to another\b|\bwhere are .* stored\b"),
    ),
    Category.REFUND: _rules(
        (5, r"\brefund (of|for|that|the difference|please|me)\b|^refund\b|\bfull refund\b|\bcould i get a refund\b"),
        (5, r"\b(my )?money back\b|\bhave the \$[\d,.]+ back\b|\bi want \$[\d,.]+ back\b|\bdispute the charge"),
        (4, r"\b(please refund|please return one|send the transfer back|reverse it|months? back)\b"),
        (2, r"\bcharged (me|anyway|after|twice)\b|\bduplicate payment\b|\bservice credit\b"),
    ),
    Category.CANCELLATION: _rules(
        (5, r"\b(please )?cancel (our|my|the) subscription\b|\bclos(e|ing) (the|my) (account|shop)\b"),
        (
            5,
            r"\bdelete my (free )?account\b|\bpause the (account|subscription)\b|\bwe cancel and\b|\bbefore we leave\b",
        ),
    ),
    Category.BILLING: _rules(
        (3, r"\binvoices?\b|\breceipts? for\b|\bvat number\b|\bpurchase order\b"),
        (3, r"\bcard on file\b|\bcharged twice\b|\bcurrency\b|\bnon-payment\b|\bprice be\b|\bvolume discount\b"),
        (2, r"\b(yearly billing|in billing|two charges|payment term|seats were)\b"),
    ),
    Category.ACCESS: _rules(
        (4, r"\blocked out\b|\bpassword reset\b|\b(can ?not|can't|nobody can) (sign|log) in\b"),
        (4, r"\binvitation links?\b|\bauthenticator\b|\bsso\b|\bidentity provider\b|\bleaver\b"),
        (3, r"\btwo accounts\b|\bhow do i get back in\b|\bdeactivated\b|\blog in as\b"),
    ),
    Category.BUG: _rules(
        (3, r"\b(broken|bug|damaged|typo|sideways|not synced|stopped (working|after)|(jump|off|late) by)\b"),
        (
            3,
            r"\b((is|are|get|gets|opens?|shows?) (missing|gone|lost|wrong)|missing (from|in|for)|wrong (place|flat|date))\b",
        ),
        (3, r"\b(loses|lost two|ignores|still (offers|shows?|allows)|shows? (yesterday|an old|last))\b"),
        (
            3,
            r"\b(\w+ed twice in|twice, one|confirmation twice|deducted twice|from last week|(went|sent) to (everybody|all))\b",
        ),
        (2, r"\b(since (the|this|last|we|monday)|started after|please fix|do(es)? not (open|appear|apply))\b"),
    ),
    Category.FEATURE: _rules(
        (4, r"\broadmap\b|\bone wish\b|\b(would|could) (it )?be (useful|possible|wonderful|delightful|good|perfect)\b"),
        (3, r"\b(do you plan|any plans|is an endpoint planned|possible or planned|just an idea|just a suggestion)\b"),
        (3, r"\b(i|we) would like to add\b|\bwhat would make it perfect\b|\bcould the scheduler\b|\bwould save me\b"),
    ),
    Category.HOW_TO: _rules(
        (
            3,
            r"\bhow (do|can|does|would) (i|we|lumenfold)\b|\bhow to\b|\bis there an? (way|setting|role|feed|print|buffer)\b",
        ),
        (2, r"\b(can|could|is it possible) (i|we|to|a|the|parents|clients|customers|lumenfold|some)\b"),
        (
            2,
            r"\bwhere (do|can|is)\b|\bwhat (is|does|happens|do)\b|\bwhich (export|plan)\b|\bsimplest way\b|\bdoes lumenfold\b",
        ),
        (2, r"\bhow (long|many)\b|\bis that (a|an) (campaign|event)\b|\bwe would like to\b|\bdo i need\b|\bcan .*\?"),
    ),
    Category.FEEDBACK: _rules(
        (4, r"\bjust (to say|wanted to say)\b|\bno question\b|\bthat is all\b|\bis a gift\b|\breason i stay\b"),
        (
            3,
            r"\bbrilliant work\b|\bsmiles at\b|\bsays thanks\b|\bplease bring back\b|\bis confusing\b|\bthank you from\b",
        ),
    ),
}

URGENT_WORDS = _rules(
    (1, r"\b(immediately|as soon as possible|asap|urgent(ly)?|critical|emergency|safety|losing business)\b"),
    (1, r"\b(compromised|hacked|stolen)\b|\b(is|are) down\b"),
)
HIGH_WORDS = _rules(
    (1, r"\b(today|tomorrow|tonight|this afternoon|by (monday|friday)|on (wednesday|thursday)|72 hours)\b"),
    (1, r"\b(unacceptable|lawyer|fed up|dispute the charge|full refund|money back and|very disappointed)\b"),
    (
        1,
        r"\b(losing money|cannot invoice|locked out|nobody can|cannot sign in|security|broken for all|every \w+ since)\b",
    ),
    (1, r"\b(cancel our subscription|regulator|auditor|inspector|suspended)\b"),
)
LOW_WORDS = _rules(
    (
        1,
        r"\b(no rush|not (of course )?urgent|not pressing|just an idea|just a suggestion|only if it is easy|no worries)\b",
    ),
    (1, r"\b(whenever there is time|nothing was wrong|if it is possible|nice to have)\b"),
)
NOT_URGENT = re.compile(r"\bnot (of course )?urgent\b|\bworkaround\b", re.IGNORECASE)

NEGATIVE_WORDS = _rules(
    (3, r"\b(unacceptable|fed up|frustrating|very disappointed|embarrassing|stressful|annoying|lawyer|breach)\b"),
    (3, r"\b(no patience|better things to do|look silly|do not trust|went back to paper|losing (money|business))\b"),
    (2, r"\b(broken|crash\w*|fails?|complaints|damaged|suspended|confusing|compromised|suspicious|by mistake)\b"),
    (
        2,
        r"\b(nobody (can|told)|nothing loads|cannot (see|sign|take|pay|invoice)|still happening|asked before|far too)\b",
    ),
    (
        2,
        r"\b(charged (me|twice|after)|confirmation twice|deducted twice|refuses|still shows|went to (everybody|all))\b",
    ),
    (1, r"\b(lost|wrong|missing|unfortunately|problem|error|takes? a fee|twice|dispute|expired|by hand|no answer)\b"),
)
POSITIVE_WORDS = _rules(
    (3, r"\b(love(ly)?|adore|wonderful|brilliant|awesome|great (tool|product|work)|fantastic|delightful|is a gift)\b"),
    (3, r"\b(thank you so much|thanks so much|made our day|smiles?|very happy|exactly what|so kind|been great)\b"),
    (2, r"\b(enjoying|perfect|nice|such a complete|worked a treat|friendliest|reason i stay|happy|the lads like)\b"),
    (1, r"\b(thank you|thanks|cheers|gladly|good service)\b"),
)

AMOUNT = re.compile(r"\$\s?(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d{2}))?")
# The sentence around an amount shows whether it is the refund that the customer asks for.
WANTS_BACK = re.compile(
    r"\b(refund|back|return|reverse|credit|too much|took|charged?|took another|came off|paid)\b", re.I
)
WHOLE_CHARGE = re.compile(r"\b(full refund|money back|refund (that|this) month|refund please)\b", re.IGNORECASE)


@ag.tool(title="Classify ticket", risk="read", timeout=JUDGE, retries=2, idempotent=True, local=True, tags=("support",))
async def classify_ticket(ticket: Ticket) -> Classification:
    """Classify a ticket by rules: category, urgency, sentiment and the requested refund."""
    text = ticket.customer_text
    category, matched = _category(text)
    sentiment = _sentiment(text)
    return Classification(
        category=category,
        urgency=_urgency(text, category, sentiment, ticket.customer.plan),
        sentiment=sentiment,
        refund_cents=_refund_cents(text, ticket.charge_cents) if category is Category.REFUND else None,
        matched=matched,
    )


def _category(text: str) -> tuple[Category, tuple[str, ...]]:
    subject = text.partition("\n")[0]
    best, best_weight, best_words = Category.HOW_TO, 0, tuple[str, ...]()
    for category, rules in CATEGORY_RULES.items():
        weight = 0
        words: list[str] = []
        for points, pattern in rules:
            if found := pattern.search(text):
                # The subject counts more, because it is what the customer considers the topic.
                weight += points * (2 if pattern.search(subject) else 1)
                words.append(found[0].lower())
        if weight > best_weight:
            best, best_weight, best_words = category, weight, tuple(words)
    return best, best_words


def _urgency(text: str, category: Category, sentiment: Sentiment, plan: Plan) -> Urgency:
    if category is Category.FEEDBACK or _any(LOW_WORDS, text):
        return Urgency.LOW
    calm = bool(NOT_URGENT.search(text))
    if not calm and (category is Category.OUTAGE or _any(URGENT_WORDS, text)):
        return Urgency.URGENT
    if not calm and (_any(HIGH_WORDS, text) or (plan is Plan.ENTERPRISE and sentiment is Sentiment.NEGATIVE)):
        return Urgency.HIGH
    if category in (Category.FEATURE, Category.HOW_TO) and sentiment is Sentiment.POSITIVE:
        return Urgency.LOW
    return Urgency.NORMAL


def _sentiment(text: str) -> Sentiment:
    balance = _weigh(POSITIVE_WORDS, text) - _weigh(NEGATIVE_WORDS, text)
    if balance >= 1:
        return Sentiment.POSITIVE
    return Sentiment.NEGATIVE if balance <= -2 else Sentiment.NEUTRAL


def _refund_cents(text: str, charge_cents: int | None) -> int | None:
    """The amount in the sentence that asks for a refund, or else the whole charge if the customer asks for all of it."""
    wanted = [
        int(found[1].replace(",", "")) * 100 + int(found[2] or 0)
        for sentence in re.split(r"(?<=[.!?])\s+", text)
        if WANTS_BACK.search(sentence)
        for found in AMOUNT.finditer(sentence)
    ]
    if wanted:
        return wanted[-1]
    return charge_cents if WHOLE_CHARGE.search(text) else None


def _any(rules: Iterable[tuple[int, re.Pattern[str]]], text: str) -> bool:
    return any(pattern.search(text) for _, pattern in rules)


def _weigh(rules: Iterable[tuple[int, re.Pattern[str]]], text: str) -> int:
    return sum(points * len(pattern.findall(text)) for points, pattern in rules)
