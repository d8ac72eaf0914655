"""Every error that AgentGrid raises on purpose.

    AgentGridError
    ├── the developer must act
    │   ├── RegistrationError            one fault in registered code, with file and line
    │   ├── RegistrationErrors           all faults of a grid
    │   ├── NoIdempotencyKey             the key was requested outside a call
    │   └── SettingsError                a setting is missing or wrong
    ├── the caller must act
    │   ├── InvalidInput                 the request does not fit its schema
    │   ├── PayloadTooLarge              a value is over its limit
    │   ├── Unauthenticated              no credentials, or invalid ones
    │   │   └── SignInCodeSpent          the sign-in code was used, or has expired
    │   ├── Forbidden                    this principal may not do this
    │   │   └── SecondPersonNeeded       two administrators are required, and only one exists
    │   ├── NotFound                     it does not exist
    │   │   └── NoValue                  no such value was recorded
    │   ├── Gone                         it existed, but is no longer stored
    │   ├── Conflict                     the current state does not allow it
    │   │   ├── PrincipalChanged         the browser is now signed in as another principal
    │   │   └── UpdateRejected           the run's workflow refused the update
    │   ├── QueryFailed                  the run's workflow can't answer the query
    │   ├── IdempotencyConflict          the key was used with a different body
    │   └── RateLimited                  too many requests
    ├── an operator must act
    │   ├── SecretMissing                a secret has no value in this process
    │   ├── SecretUnavailable            a secret provider failed
    │   ├── Unavailable                  Temporal or the database is unavailable
    │   └── UpdateExpired                no worker accepted an update in time
    └── a tool failed
        └── ToolError                    a business failure, not retried by default

Each class has a stable `code`; a message says what happened and what is allowed. Errors are independent of HTTP and exit codes:
`api/errors.py`, `sdk` and `cli` map them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class AgentGridError(Exception):
    """The base of every error that AgentGrid raises on purpose."""

    code: ClassVar[str] = "agentgrid_error"

    command_id: str | None = None
    """The command that already records the request, if any."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RegistrationError(AgentGridError):
    """One fault in registered code."""

    code = "registration_error"

    def __init__(self, message: str, *, file: str = "", line: int = 0) -> None:
        where = f"{file}:{line}: " if file else ""
        super().__init__(f"{where}{message}")
        self.file = file
        self.line = line


class RegistrationErrors(AgentGridError):
    """Every fault found in a grid, by file and line."""

    code = "registration_errors"

    def __init__(self, faults: Sequence[RegistrationError]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.file, fault.line)))
        lines = "\n".join(f"  {fault.message}" for fault in self.faults)
        super().__init__(f"{len(self.faults)} registration fault(s):\n{lines}")


class NoIdempotencyKey(AgentGridError):
    """The idempotency key was requested outside a call that has one. An empty key would merge two payments into one."""

    code = "no_idempotency_key"

    def __init__(self) -> None:
        super().__init__(
            "no idempotency key is available here: only tool calls and activities of a worker with AgentGridPlugin have one. "
            'In a test, call the tool itself (not its .fn), or set a key: with agentgrid.testing.keyed("key-1"): ...'
        )


class SettingsError(AgentGridError):
    """A setting is missing or invalid; the message names it and its valid values."""

    code = "settings_error"


@dataclass(frozen=True, kw_only=True)
class InvalidPlace:
    """One invalid place in a request: a JSON pointer into the body (or a parameter's name), and the problem."""

    pointer: str
    message: str


class InvalidInput(AgentGridError):
    """The request does not fit its schema; `faults` lists each place."""

    code = "invalid_input"

    def __init__(self, message: str, faults: Sequence[InvalidPlace] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


class PayloadTooLarge(AgentGridError):
    """A value is over its limit in bytes."""

    code = "payload_too_large"

    def __init__(self, field: str, size: int, limit: int) -> None:
        super().__init__(f"{field} has {size:,} bytes; the maximum is {limit:,}")
        self.field = field
        self.size = size
        self.limit = limit


class Unauthenticated(AgentGridError):
    """The credentials are missing or invalid."""

    code = "unauthenticated"


class SignInCodeSpent(Unauthenticated):
    """The sign-in code was used, or has expired. Only a holder of the code can see this error."""

    code = "sign_in_code_spent"


class Forbidden(AgentGridError):
    """This principal may not do this."""

    code = "forbidden"


class SecondPersonNeeded(Forbidden):
    """Two administrators are required, and there is no second one."""

    code = "second_administrator_needed"


class NotFound(AgentGridError):
    """It does not exist, or this principal may not see it."""

    code = "not_found"

    def __init__(self, noun: str, identifier: str) -> None:
        super().__init__(f"there is no {noun} {identifier!r}")
        self.noun = noun
        self.identifier = identifier


class NoValue(NotFound):
    """No such value was recorded, or not yet."""

    code = "no_value"

    def __init__(self, what: str) -> None:
        super().__init__(what, "")
        self.message = f"there is no {what}: it was never recorded, or not yet"


class Gone(AgentGridError):
    """It existed, but is no longer stored or can no longer be read."""

    code = "gone"


class Conflict(AgentGridError):
    """The current state, `status`, does not allow it."""

    code = "conflict"

    def __init__(self, message: str, *, status: str | None = None) -> None:
        super().__init__(message)
        self.status = status


class PrincipalChanged(Conflict):
    """The request names a different principal than its session: the browser is now signed in as another one. Nothing has changed."""

    code = "principal_changed"


class UpdateRejected(Conflict):
    """The run's workflow refused the update: the validator rejected it, or there is no such handler. Nothing has changed."""

    code = "update_rejected"


class QueryFailed(AgentGridError):
    """The run's workflow can't answer the query: its handler raised, or there is no handler of this name."""

    code = "query_failed"


class IdempotencyConflict(AgentGridError):
    """The idempotency key was already used with a different body."""

    code = "idempotency_conflict"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"the Idempotency-Key {key!r} was already used with a different body; use a new key for a new request"
        )
        self.key = key


class RateLimited(AgentGridError):
    """Too many requests; try again after `retry_after_seconds`."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(AgentGridError):
    """Temporal or the database is unavailable; try again after `retry_after_seconds`.

    `outcome_unknown` is true if the request may have been carried out anyway.
    """

    code = "unavailable"

    def __init__(self, message: str, *, retry_after_seconds: float = 2.0, outcome_unknown: bool = False) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.outcome_unknown = outcome_unknown


class UpdateExpired(AgentGridError):
    """No worker accepted the update in time, so it is no longer sent. A worker that already received it may still carry it out."""

    code = "update_expired"


class SecretMissing(AgentGridError):
    """No provider has this secret. Workers don't retry: only an operator can add it."""

    code = "secret_missing"

    def __init__(self, name: str, looked_in: Sequence[str]) -> None:
        super().__init__(f"the secret {name} is missing; looked for {', then '.join(looked_in) or 'nothing'}")
        self.name = name


class SecretUnavailable(AgentGridError):
    """A provider failed to look up a secret, or returned an invalid value, which is not quoted."""

    code = "secret_unavailable"

    def __init__(self, name: str, where: str, why: str) -> None:
        super().__init__(f"the secret {name} can't be read from {where}: {why}")
        self.name = name


class ToolError(AgentGridError):
    """A tool's business failure: not retried unless `retryable`.

    Any other exception from a tool counts as transient and is retried under the tool's retry policy.
    retry_after_seconds: the delay before the next attempt; overrides the retry policy.
    """

    code = "tool_error"

    def __init__(self, message: str, *, retryable: bool = False, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds
