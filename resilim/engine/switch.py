"""A switch over the kinds of events: the compiled twin of `HANDLERS[kind](S, now, who)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numba.core import types
from numba.extending import intrinsic


def make_switch(handlers: Sequence[Any]) -> Any:
    """A compiled function `switch(S, now, kind, who)` that calls the `kind`-th of the compiled handlers."""
    handler_types = [types.Dispatcher(handler) for handler in handlers]

    @intrinsic  # type: ignore[untyped-decorator]
    def switch(context: Any, S: Any, now: Any, kind: Any, who: Any) -> Any:
        signatures = [handler.get_call_type(context, (S, now, who), {}) for handler in handler_types]

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            state, time, selector, record = values
            end = builder.append_basic_block("handled")
            choice = builder.switch(selector, end)
            for number, (handler, called) in enumerate(zip(handler_types, signatures, strict=True)):
                block = builder.append_basic_block(f"kind_{number}")
                choice.add_case(number, block)
                with builder.goto_block(block):
                    context.get_function(handler, called)(builder, (state, time, record))
                    builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        return types.none(S, now, kind, who), generate

    return switch
