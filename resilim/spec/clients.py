"""The load of an experiment: who sends requests, and how many.

* Open load (`rate`): requests arrive, whatever became of those before, one by one or in bursts.
* Closed load (`users`): each user waits for the answer and thinks before the next request, so a system that
  is slow gets less to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from resilim.spec.base import Finding, Strict
from resilim.spec.law import Law, constant
from resilim.spec.units import MILLISECOND, Count, Flag, PositiveDuration, Rate, Share, format_share

MOST_USERS = 100_000
_OF_OPEN_LOAD = ("arrivals", "burst", "people")


class Client(Strict):
    """Where the load comes from."""

    timeout: PositiveDuration | None = Field(
        default=None, description="time after which the client gives up; absent: never"
    )
    sidecar: Flag = Field(
        default=False,
        description="true: the client is inside the mesh, with a proxy that has pool, detector and route",
    )


class Users(Strict):
    """People who wait for their answers."""

    count: Annotated[Count, Field(ge=1, le=MOST_USERS)] = Field(description="users at the same time")
    requests: Annotated[Count, Field(ge=1)] | None = Field(
        default=None, description="requests of one user, who then stops; absent: no end"
    )
    think: Law = Field(default=constant(0), description="time between an answer and the next request")
    think_after_failure: Law | None = Field(
        default=None,
        description="time between a failure and the next request; absent: think, or 1ms where that is 0ms",
    )

    @property
    def after_failure(self) -> Law:
        """The pause after a failure; never nothing, or a user who fails at once would go on for ever."""
        if self.think_after_failure is not None:
            return self.think_after_failure
        return self.think if self.think.mean > 0 else constant(MILLISECOND)

    def rules(self) -> Iterator[Finding]:
        if self.after_failure.mean == 0:
            message = "a user who fails at once and tries again at once does so for ever; write a time"
            yield Finding(("thinkAfterFailure",), message)


class Load(Strict):
    """Requests that arrive from outside."""

    rate: Rate | None = Field(
        default=None, description="open load: requests per time, such as 300/s; or give users"
    )
    users: Users | None = Field(
        default=None, description="closed load: users who wait for their answers; or give a rate"
    )
    arrivals: Literal["poisson", "even"] = Field(
        default="poisson", description="open load: random and independent, or one behind the other"
    )
    burst: Annotated[Count, Field(ge=1, le=100_000)] = Field(
        default=1, description="open load: requests that arrive at one instant; the rate counts each"
    )
    people: Annotated[Count, Field(ge=1, le=2**31 - 1)] | None = Field(
        default=None,
        description="open load: how many people send the requests, for consistentHash; absent: all different",
    )
    entry: str | None = Field(
        default=None, description="service that gets them; absent: the one that nobody calls"
    )
    mix: dict[str, Share] | None = Field(
        default=None, description="share by endpoint, 100% together; absent: the only endpoint"
    )
    client: Client = Field(default=Client(), description="who sends them")

    def rules(self) -> Iterator[Finding]:
        if self.rate is None and self.users is None:
            yield Finding((), '"rate" is missing (or users)')
        elif self.rate is not None and self.users is not None:
            yield Finding(("users",), "give either a rate or users, not both")
        elif self.users is not None:
            for key in _OF_OPEN_LOAD:
                if key in self.model_fields_set:
                    yield Finding((key,), f"{key} belongs to a rate, not to users")
        if self.mix is not None:
            total = sum(self.mix.values())
            if abs(total - 1) > 1e-9:
                shown = format_share(round(total, 12))
                yield Finding(("mix",), f"the shares are {shown} together, 100% are needed")

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # what is written back must pass the rule on keys that belong to a rate
        foreign = _OF_OPEN_LOAD if self.users is not None else ()
        return {key: value for key, value in handler(self).items() if key not in foreign}
