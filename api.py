"""The API as a program of its own, on this machine's loopback: `python api.py`.

Anywhere else: `agentgrid api`, which refuses an open address without keys, or `uvicorn --factory agentgrid.api.app:from_environment`.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import uvicorn

from agentgrid.settings import Settings

if __name__ == "__main__":
    uvicorn.run(
        "agentgrid.api.app:from_environment",
        factory=True,
        host="127.0.0.1",
        port=urlsplit(Settings.load().api_url).port or 8700,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )
