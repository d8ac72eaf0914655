"""The principals of `agentgrid dev`, as `[tool.agentgrid.dev]` in the project's pyproject.toml sets them.

There are always two, because nobody may decide the approvals of their own runs: `operator`, who administers, and `reviewer`, who approves.
`groups` sets the reviewer's groups; the table `principals` adds others or replaces the reviewer.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from agentgrid.domain.principals import Principal, PrincipalKind, Role, faults_of
from agentgrid.errors import SettingsError

OPERATOR = Principal(
    name="operator",
    kind=PrincipalKind.HUMAN,
    roles=frozenset({Role.OPERATOR, Role.DEVELOPER, Role.AUDITOR, Role.ADMIN}),
)
REVIEWER = "reviewer"
KINDS = tuple(kind.value for kind in PrincipalKind if kind is not PrincipalKind.SYSTEM)
ROLES = tuple(role.value for role in Role)
KEYS = ("kind", "roles", "groups", "workflows")
MAX_PRINCIPALS = 50
EXAMPLE = 'principals.olga = { roles = ["approver"], groups = ["finance"] }'


def project_principals(dev: Mapping[str, Any], place: str) -> tuple[Principal, ...]:
    """The operator, the reviewer and those in the table. Raises SettingsError with every fault of the first invalid entry."""
    table = dev.get("principals", {})
    if not isinstance(table, dict) or not all(isinstance(entry, dict) for entry in table.values()):
        raise SettingsError(f"{place} principals must be a table of tables, such as {EXAMPLE}")
    if len(table) > MAX_PRINCIPALS:
        raise SettingsError(f"{place} principals has {len(table)} entries; at most {MAX_PRINCIPALS} are allowed")
    if OPERATOR.name in table:
        raise SettingsError(
            f"{place} principals.{OPERATOR.name} can't be set: it is the administrator that `agentgrid dev` needs; choose another name"
        )
    groups = _words(dev, "groups", place, such_as='["finance"]')
    if groups and REVIEWER in table:
        raise SettingsError(
            f"{place} groups applies to the built-in {REVIEWER}, which principals.{REVIEWER} replaces: set groups there, or remove that table"
        )
    principals = [_principal(name, entry, place) for name, entry in table.items()]
    if REVIEWER not in table:
        principals.insert(0, _checked(_make(REVIEWER, roles=(Role.APPROVER,), groups=groups), f"{place} groups"))
    _check_names([OPERATOR, *principals], place)
    return (OPERATOR, *principals)


def known_keys(table: Mapping[str, Any], keys: Iterable[str], place: str) -> None:
    """Refuse unknown keys, and suggest the one probably meant."""
    keys = tuple(keys)
    for name in table:
        if name not in keys:
            near = difflib.get_close_matches(name, keys, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"valid keys are {', '.join(keys)}"
            raise SettingsError(f"{place} has no key {name!r}; {hint}")


def _principal(name: str, entry: Mapping[str, Any], place: str) -> Principal:
    place = f"{place} principals.{name}"
    known_keys(entry, KEYS, place)
    kind = entry.get("kind", PrincipalKind.HUMAN.value)
    if kind not in KINDS:
        raise SettingsError(f"{place} kind is {kind!r}; it must be one of {', '.join(KINDS)}")
    roles = _words(entry, "roles", place, such_as='["approver"]')
    for role in roles:
        if role not in ROLES:
            near = difflib.get_close_matches(role, ROLES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"valid roles are {', '.join(ROLES)}"
            raise SettingsError(f"{place} roles has {role!r}, which is not a role; {hint}")
    groups = _words(entry, "groups", place, such_as='["finance"]')
    workflows = _words(entry, "workflows", place, such_as='["invoice_*"]') or ("*",)
    principal = _make(name, kind=PrincipalKind(kind), roles=map(Role, roles), groups=groups, workflows=workflows)
    return _checked(principal, place)


def _make(
    name: str,
    *,
    roles: Iterable[Role],
    groups: Iterable[str],
    kind: PrincipalKind = PrincipalKind.HUMAN,
    workflows: Iterable[str] = ("*",),
) -> Principal:
    return Principal(
        name=name, kind=kind, roles=frozenset(roles), groups=frozenset(groups), workflows=frozenset(workflows)
    )


def _checked(principal: Principal, place: str) -> Principal:
    faults = faults_of(principal)
    if faults:
        raise SettingsError(f"{place}: " + "; ".join(f"{fault.pointer[1:]}: {fault.message}" for fault in faults))
    return principal


def _check_names(principals: Iterable[Principal], place: str) -> None:
    """Principals and groups share one namespace: an approval's approvers may name either."""
    principals = tuple(principals)
    both = {item.name for item in principals} & {group for item in principals for group in item.groups}
    if both:
        raise SettingsError(f"{place}: {', '.join(sorted(both))} can't be both a principal and a group; rename one")


def _words(table: Mapping[str, Any], key: str, place: str, *, such_as: str) -> tuple[str, ...]:
    words = table.get(key, [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise SettingsError(f"{place} {key} must be a list of strings, such as {such_as}")
    return tuple(words)
