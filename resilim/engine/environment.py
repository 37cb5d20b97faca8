"""SimPy's clock over the data plane: integer nanoseconds, and what comes first at one instant.

* Time is an integer number of ns. A delay that is not a whole number is an error, not a rounding.
* SimPy's own events of an instant come before the data plane's events of that instant, in both engines.
* Data-plane events of one instant come in the order in which they were scheduled.
* Two environments: `InterpretedEnvironment` has every data-plane event on SimPy's heap;
  `CompiledEnvironment` lets the compiled heap advance up to SimPy's next event.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

import simpy
from simpy.core import EmptySchedule, StopSimulation
from simpy.events import NORMAL, Event

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000

_FOREVER = (1 << 62) - 1
_SIMPY_EVENT = -1  # in the place of a data-plane kind
_BEFORE_PLANE = 1 << 60


class MeshEnvironment(simpy.Environment):
    """A SimPy environment whose heap also takes data-plane events `(at, order, kind, who)`."""

    def __init__(self) -> None:
        super().__init__(initial_time=0)
        self._plane_order = count()
        self.next_plane_order: Callable[[], int] = self._plane_order.__next__

    @property
    def heap(self) -> list[tuple[int, int, int, Any]]:
        """SimPy's heap."""
        return self._queue  # type: ignore[return-value]

    def schedule(self, event: Event, priority: int = NORMAL, delay: float = 0) -> None:
        """Schedule a SimPy event; `delay` in whole ns."""
        if delay != int(delay):
            raise ValueError(
                f"time is an integer number of nanoseconds, not {delay!r}; write 2 * SECOND or int(...)"
            )
        order = next(self._eid) + (priority - 2) * _BEFORE_PLANE
        heappush(self.heap, (int(self._now + delay), order, _SIMPY_EVENT, event))

    def happened(self, at: int) -> None:
        """Set the clock to the data-plane event that is being handled."""
        self._now = at

    @staticmethod
    def _fire(event: Event) -> None:
        """Process one SimPy event as SimPy's own `step` does: a failure nobody handles is raised."""
        callbacks = event.callbacks
        event.callbacks = None  # type: ignore[assignment]
        for callback in callbacks:
            callback(event)
        if not event._ok and not hasattr(event, "_defused"):
            raise event._value


class InterpretedEnvironment(MeshEnvironment):
    """Every data-plane event is an event of SimPy's heap."""

    def __init__(self) -> None:
        super().__init__()
        self._handlers: Sequence[Callable[[Any, int, int], None]] = ()
        self._state: Any = None

    def attach(self, handlers: Sequence[Callable[[Any, int, int], None]], state: Any) -> None:
        """Let `handlers[kind](state, now, who)` have the data-plane events."""
        self._handlers = handlers
        self._state = state

    def step(self) -> None:
        """Process the next event of either kind."""
        try:
            self._now, _, kind, who = heappop(self.heap)
        except IndexError:
            raise EmptySchedule from None
        if kind >= 0:
            self._handlers[kind](self._state, int(self._now), who)
        else:
            self._fire(who)

    def run(self, until: Any = None) -> Any:
        """As SimPy's `run`, with the loop over events unrolled for speed."""
        if until is not None:
            _stop_at(self, until)
        heap, state, handlers, fire = self.heap, self._state, self._handlers, self._fire
        collecting = gc.isenabled()
        gc.disable()  # the data plane makes no cycles; looking for them costs a tenth of the time
        try:
            while heap:
                now, _, kind, who = heappop(heap)
                if kind >= 0:
                    handlers[kind](state, now, who)
                else:
                    self._now = now
                    fire(who)
        except StopSimulation as stop:
            return stop.args[0]
        finally:
            if collecting:
                gc.enable()
        return None


class CompiledEnvironment(MeshEnvironment):
    """SimPy runs the control plane; before each of its events the compiled data plane catches up."""

    def __init__(self) -> None:
        super().__init__()
        self._advance: Callable[[int], bool] = lambda until: True

    def attach(self, advance: Callable[[int], bool]) -> None:
        """Let `advance(until)` run the data plane up to `until` (exclusive).

        It returns False when it stopped early, after a state change that a process waits for.
        """
        self._advance = advance

    def step(self) -> None:
        """Advance the data plane up to SimPy's next event, then process that."""
        heap = self.heap
        if not self._advance(heap[0][0] if heap else _FOREVER):
            return
        if not heap:
            raise EmptySchedule
        self._now, _, _, event = heappop(heap)
        self._fire(event)

    def run(self, until: Any = None) -> Any:
        """As SimPy's `run`."""
        if until is not None:
            _stop_at(self, until)
        try:
            while True:
                self.step()
        except StopSimulation as stop:
            return stop.args[0]
        except EmptySchedule:
            return None


def _stop_at(env: MeshEnvironment, until: Any) -> None:
    """Schedule the end of `run`: at a time (before everything else of that instant) or at an event."""
    if not isinstance(until, Event):
        if until <= env.now:
            raise ValueError(f"until ({until}) must be greater than the current simulation time ({env.now})")
        at, until = until, Event(env)
        until._ok = True
        until._value = None
        env.schedule(until, 0, at - env.now)
    until.callbacks.append(StopSimulation.callback)
