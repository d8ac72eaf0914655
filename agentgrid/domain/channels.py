"""Channels of PostgreSQL's NOTIFY. A lost notification only causes a delay, because every listener also polls.

Models' answers have another channel, whose name is a secret in the table `delta_channels`.
"""

from __future__ import annotations

CHANGES = "agentgrid_changes"
"""For projectors: an execution must be read."""
COMMANDS = "agentgrid_commands"
"""For the control plane: a command must be delivered."""
EVENTS = "agentgrid_events"
"""There are new live events."""
ACCESS = "agentgrid_access"
"""Principals or API keys changed: open streams check that their keys are still valid."""
CATALOG = "agentgrid_catalog"
"""A worker registered something. Any login may notify it, so streams pass it on at most once a second."""
POLICY = "agentgrid_policy"
"""For workers: there is a new policy snapshot."""
WATCHED = "agentgrid_watched"
"""API processes announce watched runs here, as marks. Any login may listen and announce, which reveals no content."""
