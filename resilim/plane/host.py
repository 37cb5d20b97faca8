"""A host: workers, a bounded queue, and the steps of the endpoint that it serves.

* A request takes a free worker, else a place in the queue (FIFO), else it gets 503 at once.
* The worker is kept until the answer is given, also while the request waits for calls of its own.
* The host does not notice that a caller gave up: it works on, and the work counts as wasted.
* Calls of one step are made at the same time; the step ends when the last one has its outcome.
  If one that is not optional failed, the endpoint answers 500 and makes no further step.
* A failing host does the next piece of own work of a request and then answers with its fail code, or resets.
* What is sent to or from a host that cannot be reached is sent again after 200, 400, 800, ... ms, as TCP
  does, until it arrives or its caller has given up. What is sent to a crashed host is lost.
"""

from __future__ import annotations

from resilim.plane.flags import NO_FLAG, RL
from resilim.plane.gate import NOBODY_THERE, NOT_HEARD, PASSES, SILENT, UP, admit
from resilim.plane.kinds import REPEAT, REPLY, RUN
from resilim.plane.lists import give_back, join_host_queue, leave_host_queue
from resilim.plane.luck import FAILING, MAKES_CALL, duration, uniform
from resilim.plane.machine import ATTEMPTS, State, plane, push, scramble
from resilim.plane.proxy import begin_call
from resilim.plane.records import NONE, Attempt, Host, Step

# Kinds of step.
WORK = 0
CALLS_OUT = 1
END = 2

# Linux's shortest retransmission timeout, ns; it doubles up to about two minutes.
_TCP_REPEATS_AFTER = 200_000_000
_MOST_DOUBLINGS = 9

# Instead of the next step of an attempt: its answer is given; it, or its answer, is lost.
ANSWERED = -1
LOST = -2


@plane
def on_reach(S: State, now: int, index: int) -> None:
    """A request reaches its host."""
    attempt = S.attempt[index]
    host = S.host[attempt.host]
    if host.gate and not enters(S, host, attempt, index, now):
        return
    if host.busy < host.workers:
        host.busy += 1
        begin_service(S, host, attempt, index, now)
    elif host.waiting < host.places:
        join_host_queue(host, S.attempt, index)
    else:
        host.refused += 1
        attempt.begun = now
        fail(attempt, 503, NO_FLAG, host.service)
        answer(S, host, attempt, index, now)


@plane
def enters(S: State, host: Host, attempt: Attempt, index: int, now: int) -> bool:
    """Whether a request passes the gate of its host; otherwise it is lost, comes later or has its answer."""
    verdict = admit(S, host, attempt.key, now)
    if verdict == PASSES:
        return True
    if verdict == NOBODY_THERE:
        lose(S, attempt, index)
    elif verdict == NOT_HEARD:
        repeat(S, attempt, index, now)
    else:
        attempt.begun = now
        fail(attempt, verdict, RL, host.service)
        answer(S, host, attempt, index, now)
    return False


@plane
def begin_service(S: State, host: Host, attempt: Attempt, index: int, now: int) -> None:
    """Let an attempt that has just got a worker begin: as a rule with a piece of own work."""
    attempt.begun = now
    step = S.step[attempt.step]
    if step.kind == WORK:
        attempt.step += 1
        work(S, step, host, attempt, index, now)
    else:
        push(S, now, RUN, index)


@plane
def run(S: State, now: int, index: int) -> None:
    """Let an attempt that has a worker go on until it has to wait, or has its answer."""
    attempt = S.attempt[index]
    host = S.host[attempt.host]
    while attempt.code == 0:
        step = S.step[attempt.step]
        if step.kind == END:
            attempt.code = 200
            break
        attempt.step += 1
        if step.kind == WORK:
            work(S, step, host, attempt, index, now)
            return
        make_calls(S, step, host.rank, attempt, index, now)
        if attempt.awaiting > 0:
            return
    answer(S, host, attempt, index, now)
    if host.waiting > 0:
        successor = leave_host_queue(host, S.attempt)
        begin_service(S, host, S.attempt[successor], successor, now)
    else:
        host.busy -= 1


@plane
def work(S: State, step: Step, host: Host, attempt: Attempt, index: int, now: int) -> None:
    """Begin a piece of own work."""
    time = duration(S.law[step.law], scramble(attempt.key, step.salt))
    if host.slowdown != 1.0:
        time = int(time * host.slowdown)
    if host.failing > 0.0 and uniform(attempt.key, FAILING) < host.failing:
        fail(attempt, host.fail_code, NO_FLAG, host.service)
    push(S, now + time, RUN, index)


@plane
def make_calls(S: State, step: Step, rank: int, attempt: Attempt, index: int, now: int) -> None:
    """Begin the calls of one step."""
    for site_index in range(step.first_site, step.first_site + step.sites):
        site = S.site[site_index]
        key = scramble(attempt.key, site.salt)
        if site.probability < 1.0 and uniform(key, MAKES_CALL) >= site.probability:
            continue
        cluster = site.first_cluster + rank
        if begin_call(S, index, site.route, cluster, site.first_step, site.optional, key, now) >= 0:
            attempt.awaiting += 1
        elif site.optional == 0 and S.world[0].code >= 400:
            fail(attempt, 500, S.world[0].flags, S.world[0].origin)


@plane
def fail(attempt: Attempt, code: int, flags: int, origin: int) -> None:
    """The answer will be an error; of several reasons the first one counts."""
    if attempt.code == 0:
        attempt.code = code
        attempt.flags = flags
        attempt.origin = origin


@plane
def answer(S: State, host: Host, attempt: Attempt, index: int, now: int) -> None:
    """Send the answer back, if anybody waits for it."""
    attempt.step = ANSWERED
    if attempt.call < 0:
        waste(S, host, attempt, index, now)
    elif host.gate and host.link != UP:
        answer_in_vain(S, host, attempt, index, now)
    else:
        push(S, now + attempt.way_back, REPLY, index)


@plane
def answer_in_vain(S: State, host: Host, attempt: Attempt, index: int, now: int) -> None:
    """An answer does not get away from its host."""
    if host.link == SILENT:
        repeat(S, attempt, index, now)
    else:
        lose(S, attempt, index)


@plane
def repeat(S: State, attempt: Attempt, index: int, now: int) -> None:
    """A request or an answer was not heard: TCP sends it again, each time after twice the time."""
    push(S, now + (_TCP_REPEATS_AFTER << min(attempt.awaiting, _MOST_DOUBLINGS)), REPEAT, index)
    attempt.awaiting += 1


@plane
def on_repeat(S: State, now: int, index: int) -> None:
    """A request or an answer that was not heard is sent again."""
    attempt = S.attempt[index]
    host = S.host[attempt.host]
    if attempt.call >= 0 and host.link == SILENT:
        repeat(S, attempt, index, now)
        return
    attempt.awaiting = 0
    if attempt.step == ANSWERED:
        answer(S, host, attempt, index, now)
    elif attempt.call < 0:
        give_back(S.supply[ATTEMPTS], S.attempt, index)
    else:
        on_reach(S, now, index)


@plane
def lose(S: State, attempt: Attempt, index: int) -> None:
    """A request or its answer never arrives; its record is kept while its caller waits for it."""
    if attempt.call < 0:
        attempt.begun = NONE
        give_back(S.supply[ATTEMPTS], S.attempt, index)
    else:
        attempt.step = LOST


@plane
def waste(S: State, host: Host, attempt: Attempt, index: int, now: int) -> None:
    """Drop an answer, given at `now`, that nobody waits for any more."""
    host.wasted += 1
    host.wasted_time += now - attempt.begun
    give_back(S.supply[ATTEMPTS], S.attempt, index)
