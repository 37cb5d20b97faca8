"""A host: workers, a bounded queue, and the steps of the endpoint that it serves.

* A request takes a free worker, else a place in the queue (FIFO), else it gets 503 at once.
* The worker is kept until the answer is given, also while the request waits for calls of its own.
* The host does not notice that a caller gave up: it works on, and the work counts as wasted.
* Calls of one step are made at the same time; the step ends when the last one has its outcome.
  If one that is not optional failed, the endpoint answers 500 and makes no further step.
* A failing host does the first piece of own work of a request and then answers with its fail code.
"""

from __future__ import annotations

from resilim.plane.kinds import REPLY, RUN, WORKED
from resilim.plane.lists import give_back, join_host_queue, leave_host_queue
from resilim.plane.luck import FAILING, MAKES_CALL, duration, uniform
from resilim.plane.machine import ATTEMPTS, State, plane, push, scramble
from resilim.plane.proxy import begin_call
from resilim.plane.records import NONE, Attempt, Host, Site, Step

# Kinds of step.
WORK = 0
CALLS_OUT = 1
END = 2


@plane
def on_reach(S: State, now: int, index: int) -> None:
    """A request reaches its host."""
    attempt = S.attempt[index]
    host = S.host[attempt.host]
    if host.busy < host.workers:
        host.busy += 1
        begin_service(S, attempt, now)
        run(S, now, index)
    elif host.waiting < host.places:
        join_host_queue(host, S.attempt, index)
    else:
        host.refused += 1
        attempt.code = 503
        attempt.origin = host.service
        attempt.begun = now
        answer(S, host, attempt, index, now)


@plane
def begin_service(S: State, attempt: Attempt, now: int) -> None:
    """Give the attempt a worker."""
    attempt.begun = now
    attempt.step = S.endpoint[attempt.endpoint].first_step


@plane
def run(S: State, now: int, index: int) -> None:
    """Let an attempt go on at its host; when it is done, whoever gets its worker goes on.

    If that one is done in the same instant, it gets an event of its own: an event stays small.
    """
    if proceed(S, index, now):
        index = pass_worker_on(S, index, now)
        if index >= 0 and proceed(S, index, now):
            push(S, now, RUN, index)


@plane
def proceed(S: State, index: int, now: int) -> bool:
    """Take steps until the attempt has to wait; true when it has its answer."""
    attempt = S.attempt[index]
    while attempt.code == 0:
        if attempt.origin >= 0:
            attempt.code = 500
            return True
        step = S.step[attempt.step]
        if step.kind == END:
            attempt.code = 200
            return True
        if step.kind == WORK:
            work(S, step, attempt, index, now)
            return False
        attempt.step += 1
        make_calls(S, step, attempt, index, now)
        if attempt.awaiting > 0:
            return False
    return True


@plane
def work(S: State, step: Step, attempt: Attempt, index: int, now: int) -> None:
    """Begin a piece of own work."""
    time = duration(S.law[step.law], uniform(attempt.key, step.salt))
    slowdown = S.host[attempt.host].slowdown
    if slowdown != 1.0:
        time = int(time * slowdown)
    push(S, now + time, WORKED, index)


@plane
def on_worked(S: State, now: int, index: int) -> None:
    """A piece of own work is done."""
    attempt = S.attempt[index]
    attempt.step += 1
    host = S.host[attempt.host]
    if host.failing > 0.0 and uniform(attempt.key, FAILING) < host.failing:
        attempt.code = host.fail_code
        attempt.origin = host.service
    run(S, now, index)


@plane
def make_calls(S: State, step: Step, attempt: Attempt, index: int, now: int) -> None:
    """Begin the calls of one step."""
    rank = S.host[attempt.host].rank
    for site_index in range(step.first_site, step.first_site + step.sites):
        site = S.site[site_index]
        key = scramble(attempt.key, site.salt)
        if site.probability < 1.0 and uniform(key, MAKES_CALL) >= site.probability:
            continue
        if begin_call(S, index, site.first_cluster + rank, site.endpoint, site.optional, key, now) >= 0:
            attempt.awaiting += 1
        else:
            note_failure(S, attempt, site)


@plane
def note_failure(S: State, attempt: Attempt, site: Site) -> None:
    """A call failed at once; its outcome stands in the world record."""
    if site.optional == 0 and attempt.origin < 0:
        attempt.flags = S.world[0].flags
        attempt.origin = S.world[0].origin


@plane
def pass_worker_on(S: State, index: int, now: int) -> int:
    """Answer, and give the worker to the next in the queue; NONE when nobody waits."""
    attempt = S.attempt[index]
    host = S.host[attempt.host]
    host.served += 1
    answer(S, host, attempt, index, now)
    successor = leave_host_queue(host, S.attempt)
    if successor < 0:
        host.busy -= 1
        return NONE
    begin_service(S, S.attempt[successor], now)
    return successor


@plane
def answer(S: State, host: Host, attempt: Attempt, index: int, now: int) -> None:
    """Send the answer back, if anybody waits for it."""
    if attempt.call >= 0:
        push(S, now + attempt.way_back, REPLY, index)
    else:
        waste(S, host, attempt, index, now)


@plane
def waste(S: State, host: Host, attempt: Attempt, index: int, now: int) -> None:
    """Drop an answer, given at `now`, that nobody waits for any more."""
    host.wasted += 1
    host.wasted_time += now - attempt.begun
    give_back(S.supply[ATTEMPTS], S.attempt, index)
