"""Browser sessions: their lifetimes, and the codes that open them."""

from __future__ import annotations

from datetime import timedelta

IDLE_LIFETIME = timedelta(hours=12)
"""A session ends this long after its last request."""
LONGEST_LIFETIME = timedelta(days=7)
"""A session ends this long after it was opened, even if it is in use. It never outlives its API key."""
CODE_LIFETIME = timedelta(minutes=10)
"""How long a sign-in code is valid, for one use."""
CODES_PER_KEY = 10
"""Maximum number of unused codes per API key; further ones replace the oldest."""
MAX_USER_AGENT = 300
"""Maximum number of stored characters of the browser's user agent."""
