"""The channels of PostgreSQL's NOTIFY. A notification can get lost, which only causes a delay: every listener also polls.

Models' answers have one more, whose name is a secret in the table `delta_channels`.
"""

from __future__ import annotations

CHANGES = "agentgrid_changes"
"""For projectors: an execution must be read again."""
COMMANDS = "agentgrid_commands"
"""For the control plane: a command must be delivered."""
EVENTS = "agentgrid_events"
"""There are new live events."""
ACCESS = "agentgrid_access"
"""Principals or keys changed: open streams check whether their keys are still valid."""
CATALOG = "agentgrid_catalog"
"""A worker registered something. Any login may notify it, so streams pass it on at most once a second."""
POLICY = "agentgrid_policy"
"""For workers: there is a new policy snapshot."""
WATCHED = "agentgrid_watched"
"""API processes announce here, as marks, which runs are watched. Any login may listen and announce; that reveals no content."""
