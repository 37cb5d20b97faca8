"""Limits that end a run clearly instead of filling the memory."""

from __future__ import annotations


class TooManyInFlight(RuntimeError):
    """More calls at once than a run may hold."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"more than {limit:,} calls in flight at once: the model is overloaded and nothing bounds it; "
            "give the client or the routes a timeout, bound the queues, or lower the load"
        )
        self.limit = limit

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return (TooManyInFlight, (self.limit,))
