"""What all classes of `spec` share.

* Unknown keys are errors, objects cannot be changed, YAML names are camelCase.
* A key without a value (`timeout:`) is a key that is not there, as in Kubernetes.
* A rule between fields is a method `rules`; its findings are located at the fields they name, and
  all of them are reported.
* Istio fields that exist but are not simulated are told apart from misspelt ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

Steps = tuple[str | int, ...]


class Finding(NamedTuple):
    """A broken rule: the steps from the object to the place, what is wrong, what was meant."""

    steps: Steps
    message: str
    hint: str = ""


def camel(name: str) -> str:
    """The YAML name of a field: `consecutive5xx_errors` becomes `consecutive5xxErrors`."""
    first, *others = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


class Strict(BaseModel):
    """A frozen object that knows all its keys."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=camel,
        validate_by_alias=True,
    )

    not_simulated: ClassVar[frozenset[str]] = frozenset()
    """Istio's names for what this object could hold in a cluster, but not yet here."""

    @classmethod
    def keys(cls) -> dict[str, str]:
        """YAML name to Python name of every field."""
        return {field.alias or name: name for name, field in cls.model_fields.items()}

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        keys = cls.keys()
        return {key: value for key, value in data.items() if value is not None or key not in keys}

    def rules(self) -> Iterator[Finding]:
        """The broken rules between the fields of this object."""
        return iter(())

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        found = list(self.rules())
        if found:
            raise ValidationError.from_exception_data(
                type(self).__name__, [_line_error(finding) for finding in found]
            )
        return self


def _line_error(finding: Finding) -> InitErrorDetails:
    context = {"message": finding.message, "hint": finding.hint}
    kind = PydanticCustomError("rule", "{message}", context)
    return InitErrorDetails(type=kind, loc=finding.steps, input=None)
