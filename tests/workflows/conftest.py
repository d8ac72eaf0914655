"""The reference workflows on real Temporal with their own back office, without a control plane."""

from __future__ import annotations

from tests.activities.conftest import backoffice, reading, seeded_template, shared_backoffice
from tests.worker.conftest import client, queue

__all__ = ["backoffice", "client", "queue", "reading", "seeded_template", "shared_backoffice"]
