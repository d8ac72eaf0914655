"""The frozen `Settings`: read from the environment at the entry points, and passed down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agentgrid.errors import SettingsError


class Settings(BaseSettings):
    """All configuration, from environment variables named `AGENTGRID_` and the field's name."""

    model_config = SettingsConfigDict(env_prefix="AGENTGRID_", frozen=True, extra="ignore")

    database_url: SecretStr | None = None
    """`postgresql://user:password@host:port/database`. Workers use their own login (`agentgrid db worker-login`)."""
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    temporal_api_key: SecretStr | None = None
    temporal_tls: bool = False
    api_url: str = "http://127.0.0.1:8700"
    api_key: SecretStr | None = None
    home: Path = Path(".agentgrid")
    secrets_dir: Path | None = None
    """A folder with one file per secret. Workers only."""
    secrets_required: bool = False
    """Whether a worker refuses to start if a secret that its grid names is missing."""
    signing_key_file: Path | None = None
    """The Ed25519 private key (PEM) that signs decisions and memos. API only."""
    temporal_ui_url: str | None = None
    installation: str | None = None
    """This installation's name in the console; default: the host and port of `api_url`."""
    data_converter: str | None = None
    """`module:attribute` of the workers' Temporal DataConverter, if it is not AgentGrid's."""
    log_format: str = Field("console", pattern="^(console|json)$")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")

    max_connections: int = Field(900, ge=1)
    """Maximum connections per API process; below the usual limit of 1,024 open files."""
    rate_requests_per_second: float = Field(200.0, gt=0)
    rate_requests_burst: int = Field(2000, ge=1)
    """Requests per principal and API process: sustained rate, and burst."""
    rate_failures_per_second: float = Field(10.0, gt=0)
    rate_failures_burst: int = Field(30, ge=1)
    """Failed authentications per address: sustained rate, and burst."""
    rate_sign_in_failures_per_minute: int = Field(10, ge=1)
    """Failed attempts to sign in to the console, per address."""

    model: str | None = None
    """The default model for agents, `provider:model`; if unset, the offline model."""
    models: Annotated[tuple[str, ...], NoDecode] = ()
    """Globs of the models that an operator's version of an agent may use, comma-separated: `openai:*,anthropic:claude-haiku-*`. API only.

    The offline model, AGENTGRID_MODEL and the models in the agent's own code are always allowed.
    """
    policy_max_age_seconds: float = Field(60.0, gt=0)
    """Tools that write wait while the policy snapshot is older than this."""
    eager_activities: bool = False
    """Let Temporal dispatch activities with the response to a workflow task: faster under load, but bypasses task queue limits."""
    policy_required: bool = True
    """Whether a worker that has never received a policy makes reads and plain activities wait for one too. Tools that write always wait."""
    policy_refresh_seconds: float = Field(2.0, gt=0)
    decision_valid_for_seconds: float = Field(3600.0, gt=0)
    """How old a decision may be when the approved call is first attempted."""

    egress_allow: str = ""
    """Private hosts that tools from OpenAPI documents and MCP servers may reach: names or addresses, with an optional port, comma-separated."""

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """The hosts in `egress_allow`."""
        return tuple(host for part in self.egress_allow.split(",") if (host := part.strip().lower()))

    @field_validator("models", mode="before")
    @classmethod
    def _listed(cls, models: Any) -> Any:
        return [model.strip() for model in models.split(",") if model.strip()] if isinstance(models, str) else models

    @field_validator("database_url")
    @classmethod
    def _of_postgres(cls, url: SecretStr | None) -> SecretStr | None:
        # Otherwise a worker would start but never receive its policy.
        if url is not None and not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("it must begin with postgresql://, without a driver such as +asyncpg")
        return url

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """The settings of this process. Raises SettingsError, naming each invalid variable."""
        try:
            return cls(**overrides)
        except ValidationError as error:
            faults = "; ".join(
                f"AGENTGRID_{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg'].removeprefix('Value error, ')}"
                for fault in error.errors()
            )
            raise SettingsError(f"invalid settings: {faults}") from None

    def require_database(self) -> str:
        """The database URL. Raises SettingsError if it is not set."""
        if self.database_url is None:
            raise SettingsError(
                "AGENTGRID_DATABASE_URL is not set; set it to postgresql://user:password@host:port/database"
            )
        return self.database_url.get_secret_value()
