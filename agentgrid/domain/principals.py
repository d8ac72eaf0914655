"""Principals and their permissions. Deny by default: whatever is not granted here is refused, for HTTP, SSE and CLI alike."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from agentgrid.domain import scopes
from agentgrid.domain.activities import TOOL_PREFIX
from agentgrid.errors import InvalidPlace


class PrincipalKind(StrEnum):
    """The kind of principal."""

    HUMAN = "human"
    SERVICE = "service"
    AGENT = "agent"
    SYSTEM = "system"


class Role(StrEnum):
    """What a principal is trusted with."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    DEVELOPER = "developer"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Permission(StrEnum):
    """A permission that a route may require."""

    READ = "read"
    """Lists and details of runs, catalog and workers."""
    READ_PAYLOADS = "read_payloads"
    """Inputs, outputs, results, error messages, logs and raw history of the runs in the principal's scope.

    An approval's approvers may read its payload without this permission.
    """
    START = "start"
    CONTROL = "control"
    """Cancel, terminate, pause, resume, signal."""
    DECIDE = "decide"
    AUDIT = "audit"
    """The commands of all principals; without it, principals see only their own."""
    EDIT = "edit"
    """Versions of agents, within what their code allows, and shared views. Not for agents: a model may be able to read their API keys."""
    GOVERN = "govern"
    """Rules and kill switches."""
    ADMINISTER = "administer"
    """Principals, API keys and signing keys."""


GRANTS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.OPERATOR: frozenset(
        {Permission.READ, Permission.READ_PAYLOADS, Permission.START, Permission.CONTROL, Permission.EDIT}
    ),
    Role.APPROVER: frozenset({Permission.READ, Permission.DECIDE}),
    Role.DEVELOPER: frozenset(
        {Permission.READ, Permission.READ_PAYLOADS, Permission.START, Permission.CONTROL, Permission.EDIT}
    ),
    Role.AUDITOR: frozenset({Permission.READ, Permission.READ_PAYLOADS, Permission.AUDIT}),
    Role.ADMIN: frozenset({Permission.READ, Permission.EDIT, Permission.GOVERN, Permission.ADMINISTER}),
}

ANY_APPROVER = "role:approver"
"""The approver entry for everybody with the role `approver`."""

SYSTEM = "system"
"""The name recorded for changes made directly in the database, with its URL and no API key. No principal can have this name."""

UNKNOWN_INITIATOR = "unknown"
"""The initiator of a run that was started outside AgentGrid."""


NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,126}")
RESERVED = frozenset({UNKNOWN_INITIATOR, ANY_APPROVER, SYSTEM})
DECIDING = frozenset({Role.APPROVER})
"""Roles for people only, and not for administrators."""


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A principal, as authenticated for one request."""

    name: str
    kind: PrincipalKind
    roles: frozenset[Role] = frozenset()
    groups: frozenset[str] = frozenset()
    workflows: frozenset[str] = scopes.EVERY_WORKFLOW
    """Globs of the workflows whose runs this principal may see. All its permissions on runs are limited to them."""

    @property
    def sees_everything(self) -> bool:
        """Whether its scope is every workflow."""
        return scopes.is_everything(self.workflows)

    def sees(self, workflow: str) -> bool:
        """Whether this workflow is in its scope."""
        return scopes.admits(self.workflows, workflow)

    def reaches(self, workflow: str) -> bool:
        """Whether its scope lets it start this workflow. A run of a tool requires a scope that names tools: see `scopes.admits_call`."""
        if workflow.startswith(TOOL_PREFIX):
            return scopes.admits_call(self.workflows, workflow.removeprefix(TOOL_PREFIX))
        return self.sees(workflow)

    @property
    def permissions(self) -> frozenset[Permission]:
        """Everything that this principal's roles grant. Neither programs nor administrators decide approvals; administrators appoint approvers."""
        granted: set[Permission] = set()
        for role in self.roles:
            granted |= GRANTS[role]
        if self.kind is not PrincipalKind.HUMAN or Role.ADMIN in self.roles:
            granted.discard(Permission.DECIDE)
        if self.kind is PrincipalKind.AGENT:
            granted.discard(Permission.EDIT)
        return frozenset(granted)

    def may(self, permission: Permission) -> bool:
        """Whether this principal has the permission."""
        return permission in self.permissions

    @property
    def only_own_approvals(self) -> bool:
        """Whether this principal sees only the approvals of runs that it started. A model may be able to read an agent's API key."""
        return self.kind is PrincipalKind.AGENT

    def gains_over(self, before: Principal | None) -> frozenset[str]:
        """What this principal may decide that its earlier version could not: new approver entries and, if it is an approver, new workflows."""
        if before is None or not self.approver_entries:
            return self.approver_entries
        widened = frozenset() if scopes.is_everything(before.workflows) else self.workflows - before.workflows
        return (self.approver_entries - before.approver_entries) | {f"workflows:{glob}" for glob in widened}

    @property
    def approver_entries(self) -> frozenset[str]:
        """The approver entries under which this principal may decide: its name, its groups, `role:approver`."""
        return entries_of(self.name, self.groups) if self.may(Permission.DECIDE) else frozenset()

    def approver_entry(self, approvers: tuple[str, ...]) -> str | None:
        """The first of these approvers under which this principal may decide, or None."""
        mine = self.approver_entries
        return next((entry for entry in approvers if entry in mine), None)


def entries_of(approver: str, groups: Iterable[str]) -> frozenset[str]:
    """The approver entries that include this approver."""
    return frozenset({approver, ANY_APPROVER, *groups})


def no_decider(principal: Principal) -> str | None:
    """Why this principal can't decide any approval, whatever its roles, or None."""
    if principal.kind is PrincipalKind.HUMAN:
        return None
    return f"only people decide approvals; {principal.name} is a {principal.kind}"


def approvers_in_words(approvers: Collection[str]) -> str:
    """Who may decide, as part of a sentence: `support-leads or any approver`."""
    named = [approver for approver in approvers if approver != ANY_APPROVER]
    return " or ".join([*named, "any approver"] if ANY_APPROVER in approvers else named) or "an approver"


def faults_of(principal: Principal) -> list[InvalidPlace]:
    """What makes this principal invalid."""
    faults = []
    if not NAME.fullmatch(principal.name) or principal.name in RESERVED:
        message = "must be 1 to 127 lower-case letters, digits and . _ @ + -, and not a reserved word"
        faults.append(InvalidPlace(pointer="/name", message=message))
    if principal.kind is PrincipalKind.SYSTEM:
        faults.append(InvalidPlace(pointer="/kind", message="`system` is reserved for AgentGrid itself"))
    if principal.kind is not PrincipalKind.HUMAN and principal.roles & DECIDING:
        faults.append(InvalidPlace(pointer="/roles", message=f"a {principal.kind} can't decide approvals"))
    if Role.ADMIN in principal.roles and principal.roles & DECIDING:
        faults.append(
            InvalidPlace(pointer="/roles", message="an administrator can't decide approvals: create two principals")
        )
    for group in sorted(principal.groups):
        if not NAME.fullmatch(group) or group in RESERVED:
            faults.append(InvalidPlace(pointer="/groups", message=f"{group!r} is not a valid group name"))
    wrong = [why for glob in sorted(principal.workflows) if (why := scopes.fault(glob)) is not None]
    return faults + [InvalidPlace(pointer="/workflows", message=why) for why in wrong]
