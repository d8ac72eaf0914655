"""The caller for commands that use the database directly."""

from __future__ import annotations

import getpass
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentgrid.control.plane import Caller


def database_caller() -> Caller:
    """The caller recorded in the audit log: `system`, from this account and machine."""
    from agentgrid.control.plane import Caller
    from agentgrid.domain.principals import SYSTEM, Principal, PrincipalKind

    try:
        account = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in many containers
        account = "unknown"
    return Caller(
        principal=Principal(name=SYSTEM, kind=PrincipalKind.SYSTEM),
        address=f"{account}@{socket.gethostname()}",
        route="agentgrid (command line)",
    )
