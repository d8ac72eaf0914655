"""The channels of PostgreSQL's NOTIFY. A lost notification only delays: whoever listens also polls.

Models' answers have one more, whose name is a secret in the table `delta_channels`.
"""

from __future__ import annotations

CHANGES = "agentgrid_changes"
"""An execution is to be read again: for projectors."""
COMMANDS = "agentgrid_commands"
"""A command is to be delivered: for the control plane's delivery."""
EVENTS = "agentgrid_events"
"""There are new live events."""
ACCESS = "agentgrid_access"
"""Principals or keys changed: open streams check whether their keys are still valid."""
CATALOG = "agentgrid_catalog"
"""A worker registered something. Any login can notify it; streams hear of it once a second at most."""
POLICY = "agentgrid_policy"
"""There is a new policy snapshot: for workers."""
WATCHED = "agentgrid_watched"
"""Where API processes announce which runs are watched, as marks. Any login may listen, or announce anything, there: that reveals no content."""
