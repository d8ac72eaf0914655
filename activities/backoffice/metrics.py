"""Ninety days of plausible daily numbers: trend, weekday, noise and a few realistic events.

A day's value depends only on the metric and on the number of days before the anchor, so the same anchor gives the same
numbers on every machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

DAYS = 90
SEED = "lumenfold-2"

# Monday to Sunday, as a share of a normal day.
OFFICE_WEEK = (1.12, 1.08, 1.05, 1.0, 0.9, 0.42, 0.38)
ALL_WEEK = (1.0, 0.98, 0.98, 1.0, 1.06, 1.02, 0.96)
FLAT_WEEK = (1.0,) * 7


@dataclass(frozen=True, kw_only=True)
class Curve:
    """How a metric moves: `level` ninety days before the anchor, then `growth` over the ninety days."""

    area: str
    metric: str
    level: float
    growth: float
    noise: float
    week: tuple[float, ...] = OFFICE_WEEK
    whole: bool = True


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event: from `first` to `last` days before the anchor, the metric was `factor` times as high."""

    area: str
    metric: str
    first: int
    last: int
    factor: float


CURVES = (
    Curve(area="sales", metric="leads_created", level=14, growth=0.35, noise=0.22),
    Curve(area="sales", metric="demos_held", level=6, growth=0.25, noise=0.3),
    Curve(area="sales", metric="deals_won", level=2.6, growth=0.2, noise=0.4),
    Curve(area="sales", metric="pipeline_cents", level=41_500_000, growth=0.18, noise=0.015, week=FLAT_WEEK),
    Curve(area="support", metric="tickets_opened", level=31, growth=0.15, noise=0.14),
    Curve(area="support", metric="tickets_closed", level=30, growth=0.15, noise=0.15),
    Curve(area="support", metric="first_reply_minutes", level=64, growth=-0.12, noise=0.16, week=ALL_WEEK, whole=False),
    Curve(area="support", metric="satisfaction", level=91.5, growth=0.012, noise=0.012, week=FLAT_WEEK, whole=False),
    Curve(area="product", metric="active_accounts", level=1_180, growth=0.09, noise=0.02, week=OFFICE_WEEK),
    Curve(area="product", metric="bookings_created", level=9_400, growth=0.16, noise=0.06, week=ALL_WEEK),
    Curve(area="product", metric="failed_payments", level=58, growth=0.05, noise=0.15, week=ALL_WEEK),
    Curve(area="product", metric="error_rate", level=0.31, growth=-0.1, noise=0.2, week=FLAT_WEEK, whole=False),
    Curve(area="finance", metric="recurring_revenue_cents", level=28_900_000, growth=0.11, noise=0.002, week=FLAT_WEEK),
    Curve(area="finance", metric="refunds_cents", level=61_000, growth=0.1, noise=0.45),
    Curve(area="finance", metric="accounts_churned", level=1.4, growth=0.1, noise=0.6),
    Curve(area="marketing", metric="page_views", level=5_200, growth=0.22, noise=0.08, week=ALL_WEEK),
    Curve(area="marketing", metric="signups", level=46, growth=0.28, noise=0.16, week=ALL_WEEK),
    Curve(area="marketing", metric="trial_to_paid", level=17.5, growth=0.06, noise=0.09, week=FLAT_WEEK, whole=False),
)

# A payment outage twelve days ago, a campaign last week, and a slow holiday week two months ago.
EVENTS = (
    Event(area="support", metric="tickets_opened", first=13, last=11, factor=1.9),
    Event(area="support", metric="first_reply_minutes", first=13, last=10, factor=1.7),
    Event(area="support", metric="satisfaction", first=12, last=9, factor=0.94),
    Event(area="product", metric="failed_payments", first=13, last=12, factor=5.5),
    Event(area="product", metric="error_rate", first=13, last=12, factor=6.0),
    Event(area="finance", metric="refunds_cents", first=11, last=8, factor=2.6),
    Event(area="marketing", metric="page_views", first=7, last=2, factor=1.45),
    Event(area="marketing", metric="signups", first=7, last=2, factor=1.6),
    Event(area="sales", metric="leads_created", first=6, last=1, factor=1.35),
    Event(area="sales", metric="demos_held", first=64, last=58, factor=0.4),
    Event(area="sales", metric="deals_won", first=64, last=58, factor=0.35),
    Event(area="product", metric="bookings_created", first=64, last=58, factor=0.72),
)


def daily_metrics(anchor: date, days: int = DAYS) -> Iterator[dict[str, str]]:
    """The rows of the table `metrics` for the `days` before the anchor, whose own day is not over yet."""
    for curve in CURVES:
        for days_ago in range(days, 0, -1):
            day = anchor - timedelta(days=days_ago)
            value = round(_value(curve, day, days_ago), 0 if curve.whole else 2)
            yield {
                "area": curve.area,
                "metric": curve.metric,
                "day": day.isoformat(),
                "value": f"{value:.2f}",
            }


def _value(curve: Curve, day: date, days_ago: int) -> float:
    random = Random(f"{SEED}:{curve.area}:{curve.metric}:{days_ago}")
    trend = curve.level * (1 + curve.growth * (1 - days_ago / DAYS))
    value = trend * curve.week[day.weekday()] * max(0.0, random.gauss(1, curve.noise))
    for event in EVENTS:
        if (event.area, event.metric) == (curve.area, curve.metric) and event.last <= days_ago <= event.first:
            value *= event.factor
    return min(value, 100.0) if curve.metric == "satisfaction" else value
