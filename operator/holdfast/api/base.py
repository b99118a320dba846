"""The base of every API model: camelCase on the wire, frozen in memory, unknown fields refused."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """A piece of the API. `wire` is what the API server stores; absent stays absent, so nothing is written that nobody said."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_enum_values=False)

    def wire(self) -> dict[str, Any]:
        """Return the JSON form: camelCase keys, enum values as text, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def parse(cls, value: object) -> Self:
        """Build from the wire form.

        Raises:
            pydantic.ValidationError: a field is unknown, missing or malformed.
        """
        return cls.model_validate(value)
