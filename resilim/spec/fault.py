"""What goes wrong for a while.

* `slow-host`: work takes longer. `failing-host`: answers are errors. `resetting-host`: requests end without
  an answer. `crashed-host`: connections are refused, and the work is lost. `unreachable-host`: nothing that
  is sent arrives, and nothing comes back. `load-surge`: more requests arrive.
* A fault lasts from one moment until another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
)

from resilim.spec.base import Finding, Strict
from resilim.spec.moment import Moment, MomentText
from resilim.spec.problems import nearest
from resilim.spec.units import Count, Factor, Name, Share, parse_count, quoted

GRPC_STATUS = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
"""By number."""

Kind = Literal[
    "slow-host", "failing-host", "resetting-host", "crashed-host", "unreachable-host", "load-surge"
]
How = Literal[
    "connection-close", "connection-close-after-100", "stream-reset", "refused-stream", "protocol-error"
]

_HOST_KEYS = ("service", "hosts", "version")
_KEYS = {
    "slow-host": (*_HOST_KEYS, "factor"),
    "failing-host": (*_HOST_KEYS, "probability", "code", "grpcStatus"),
    "resetting-host": (*_HOST_KEYS, "probability", "how"),
    "crashed-host": _HOST_KEYS,
    "unreachable-host": _HOST_KEYS,
    "load-surge": ("factor",),
}
_REQUIRED = {
    "slow-host": ("service", "factor"),
    "failing-host": ("service",),
    "resetting-host": ("service", "how"),
    "crashed-host": ("service",),
    "unreachable-host": ("service",),
    "load-surge": ("factor",),
}
_COMMON_KEYS = ("name", "kind", "from", "until")


def _grpc_status(value: object) -> object:
    """The number of a grpc-status that is written as its name."""
    if not isinstance(value, str) or not value.replace("_", "").isalpha():
        return parse_count(value)
    name = value.upper()
    if name not in GRPC_STATUS:
        near = nearest(value, GRPC_STATUS)
        wanted = f"; did you mean {near}?" if near else ""
        raise ValueError(f"gRPC status {quoted(value)} is not supported{wanted}")
    return GRPC_STATUS.index(name)


def _failure(value: int) -> int:
    if not 1 <= value < len(GRPC_STATUS):
        raise ValueError(f"gRPC status {value} is not a failure: 1 to {len(GRPC_STATUS) - 1}, or a name")
    return value


class Fault(Strict):
    """Something that goes wrong for a while."""

    name: Name = Field(description="name of the fault")
    kind: Kind = Field(description="what happens")
    service: str | None = Field(default=None, description="service whose hosts it happens to")
    hosts: Annotated[Count, Field(ge=1)] | None = Field(
        default=None, description="how many hosts; absent: all"
    )
    version: str | None = Field(default=None, description="only hosts of this version")
    factor: Factor = Field(
        default=1.0,
        description="slow-host: work takes so many times longer; load-surge: rate times this",
    )
    probability: Share = Field(
        default=1.0, description="failing-host, resetting-host: share of failed requests"
    )
    code: Annotated[Count, Field(ge=400, le=599)] = Field(
        default=503, description="failing-host: status of the answer, 400 to 599"
    )
    grpc_status: (
        Annotated[
            int,
            BeforeValidator(_grpc_status),
            AfterValidator(_failure),
            WithJsonSchema({"type": ["integer", "string"]}),
        ]
        | None
    ) = Field(
        default=None,
        description="failing-host of a grpc service: grpc-status of the answer, 1 to 16 or a name,"
        " in place of the code",
    )
    how: How | None = Field(default=None, description="resetting-host: what the host does to a request")
    from_: MomentText = Field(default=Moment("fault.start", 0), alias="from", description="when it begins")
    until: MomentText = Field(default=Moment("fault.end", 0), description="when it is over")

    def rules(self) -> Iterator[Finding]:
        names = {name: key for key, name in self.keys().items()}
        given = {names[name] for name in self.model_fields_set}
        for key in sorted(given - {*_KEYS[self.kind], *_COMMON_KEYS}):
            owners = " or ".join(kind for kind, keys in _KEYS.items() if key in keys)
            yield Finding((key,), f"{key} belongs to {owners}, not to {self.kind}")
        for key in _REQUIRED[self.kind]:
            if key not in given:
                article = "an" if self.kind.startswith("u") else "a"
                yield Finding((), f'"{key}" is missing; {article} {self.kind} needs it')
        if {"code", "grpcStatus"} <= given:
            yield Finding(("code",), "an answer has either a code or a grpcStatus, not both")

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # what is written back must pass the rules on keys
        own = {*_COMMON_KEYS, *_KEYS[self.kind]} - ({"code"} if self.grpc_status is not None else set())
        return {key: value for key, value in handler(self).items() if key in own}
