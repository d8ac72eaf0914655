"""Units of numbers in the schemas of tools and workflows: `Annotated[int, ag.unit("cents", currency="USD")]`.

They are for display: people read 412.00 USD instead of 41200. They change neither values nor validation. Schemas from another source can use the
same keywords, `x-unit` and `x-currency`; with pydantic, `Field(json_schema_extra={"x-unit": "kg"})`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentgrid.domain.asks import CENTS, CURRENCY, UNIT

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

MAX_UNIT = 20
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


@dataclass(frozen=True)
class Unit:
    """The unit of a number, for `Annotated`."""

    name: str
    currency: str | None = None

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The annotated type's schema with the unit."""
        schema = dict(handler(core))
        schema[UNIT] = self.name
        if self.currency is not None:
            schema[CURRENCY] = self.currency
        return schema


def unit(name: str, *, currency: str | None = None) -> Unit:
    """The unit of a number: `unit("kg")`, or `unit("cents", currency="USD")` for an amount in hundredths of its currency.

    currency: three capital letters, as in ISO 4217. Raises ValueError.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_UNIT:
        raise ValueError(f"a unit must be a string of 1 to {MAX_UNIT} characters, not {name!r}")
    if name == CENTS and currency is None:
        raise ValueError('cents need a currency: unit("cents", currency="USD")')
    if currency is not None and not _CURRENCY.fullmatch(currency):
        raise ValueError(f"a currency must be three capital letters, such as USD, not {currency!r}")
    return Unit(name, currency)
