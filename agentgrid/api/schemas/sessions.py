"""Browser sessions: signing in to the console."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from agentgrid.api.schemas.common import In, Out

Secret = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class SignIn(In):
    """Sign in with an API key or with a sign-in code: one of the two."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["key"]}, {"required": ["code"]}]})

    key: Secret = Field("", repr=False, description="An API key of a person.")
    code: Secret = Field("", repr=False, description="A code of `POST /api/v1/session/codes`.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.key) == bool(self.code):
            raise ValueError("send `key` or `code`")
        return self


class SignInMethod(Out):
    """One way to sign in that the sign-in page can offer."""

    kind: Literal["code", "key"]
    title: str
    command: str | None = Field(None, description="The command that makes what it needs.")


class SignInMethods(Out):
    """The ways to sign in."""

    items: list[SignInMethod]


class CodeOut(Out):
    """A sign-in code. It is shown in this response only."""

    code: str
    url: str = Field(description="The console's address with the code in its fragment, which no server or log sees.")
    expires_at: datetime


class SessionOut(Out):
    """An open browser session."""

    session_id: str
    principal: str
    key_id: str = Field(description="The API key that it was opened with, and ends with.")
    current: bool = Field(description="Whether this request was made with it.")
    address: str | None = Field(description="Where it was opened from.")
    user_agent: str | None = Field(description="The browser's own description of itself. Unverified.")
    opened_at: datetime
    last_used_at: datetime = Field(description="Accurate to the minute.")
    expires_at: datetime = Field(
        description="Unless it is used before: each use moves it, up to 7 days after the sign-in."
    )
    ended_at: datetime | None
