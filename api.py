"""Runs the API on the loopback address: `python api.py`.

For any other address use `agentgrid api`, which refuses to listen there until keys are configured.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import uvicorn

from agentgrid.cli.serving import options
from agentgrid.settings import Settings

if __name__ == "__main__":
    settings = Settings.load()
    uvicorn.run(
        "agentgrid.api.app:from_environment",
        factory=True,
        host="127.0.0.1",
        port=urlsplit(settings.api_url).port or 8700,
        timeout_graceful_shutdown=10,
        **options(max_connections=settings.max_connections),
    )
