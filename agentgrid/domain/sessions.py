"""Browser sessions: for how long one lasts, and the codes that open one."""

from __future__ import annotations

from datetime import timedelta

IDLE_LIFETIME = timedelta(hours=12)
"""A session ends this long after its last request."""
LONGEST_LIFETIME = timedelta(days=7)
"""A session ends this long after it was opened, however much it is used. It never outlives its key."""
CODE_LIFETIME = timedelta(minutes=10)
"""How long a sign-in code can be used, once."""
CODES_PER_KEY = 10
"""More unused codes of one key replace the oldest ones."""
MAX_USER_AGENT = 300
"""Characters kept of the browser's description of itself."""
