"""Browser sessions: signing in to the console."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from agentgrid.api.schemas.common import In, Out

Secret = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class SignIn(In):
    """Sign in with either an API key or a sign-in code."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["key"]}, {"required": ["code"]}]})

    key: Secret = Field("", repr=False, description="The API key of a person.")
    code: Secret = Field("", repr=False, description="A code from `POST /api/v1/session/codes`.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.key) == bool(self.code):
            raise ValueError("send either `key` or `code`")
        return self


class SignInMethod(Out):
    """A sign-in method that the sign-in page can offer."""

    kind: Literal["code", "key"]
    title: str
    command: str | None = Field(None, description="The command that creates the needed credential.")


class SignInMethods(Out):
    """The sign-in methods."""

    items: list[SignInMethod]


class CodeOut(Out):
    """A sign-in code. It is shown in this response only."""

    code: str
    url: str = Field(
        description="The console's URL with the code in its fragment, which browsers don't send to servers."
    )
    expires_at: datetime


class SessionOut(Out):
    """An open browser session."""

    session_id: str
    principal: str
    key_id: str = Field(description="The API key it was opened with. The session ends when the key does.")
    current: bool = Field(description="Whether this request used it.")
    address: str | None = Field(description="The address it was opened from.")
    user_agent: str | None = Field(description="The browser's `User-Agent`. Unverified.")
    opened_at: datetime
    last_used_at: datetime = Field(description="Accurate to the minute.")
    expires_at: datetime = Field(
        description="When it expires if it is not used again. Each use extends it, up to 7 days after sign-in."
    )
    ended_at: datetime | None
