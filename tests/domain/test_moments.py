"""Times as readable text."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from agentgrid.domain import moments, shapes, timeline


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-29T14:30:00Z", "2026-11-29 14:30 UTC"),
        ("2026-11-29T14:30:00.000+00:00", "2026-11-29 14:30 UTC"),
        ("2026-11-29T14:30", "2026-11-29 14:30"),
        ("2026-11-29T14:30:05+02:00", "2026-11-29 14:30:05 UTC+02:00"),
        ("2026-11-29T14:30:00.25Z", "2026-11-29 14:30:00.25 UTC"),  # people approve it, so nothing is lost
        ("2026-11-29", None),
        ("2026-13-29T14:30:00Z", None),
        ("2026-11-29T14:30:00Z or later", None),
        ("2026-11-29T14:30:00Z\n", None),
        ("T-1", None),
        ("", None),
    ],
)
def test_iso_times_are_readable_and_other_texts_are_not_changed(text: str, shown: str | None) -> None:
    assert moments.readable(text) == shown


def test_a_moment_is_in_utc() -> None:
    at = datetime(2026, 11, 29, 14, 30, 0, 7, tzinfo=timezone(timedelta(hours=2)))
    assert moments.in_utc(at) == "2026-11-29 12:30 UTC"


def test_labels_of_calls_have_readable_times_with_or_without_a_schema() -> None:
    arguments = {"room": "A 4", "at": "2026-11-29T14:30:00Z"}
    assert shapes.label(arguments) == "A 4, 2026-11-29 14:30 UTC"
    assert timeline.label_of(arguments) == "A 4 · 2026-11-29 14:30 UTC"
