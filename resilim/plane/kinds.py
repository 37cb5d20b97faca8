"""The kinds of data-plane events, and of state changes that are recorded.

An event is (time, order, kind, index of a record); `events.HANDLERS` says who handles it.
"""

from __future__ import annotations

# Events.
REACH = 0  # attempt: the request reaches its host
RUN = 1  # attempt: goes on at its host, with its worker
REPLY = 2  # attempt: the answer, or a reset, is back at the caller
ARRIVAL = 3  # source: a client request arrives
TIMER = 4  # timer queue: its oldest timer is due
CONNECTED = 5  # connection: its set-up succeeds or fails
CALL_AGAIN = 6  # call: the back-off is over, or the fault filter's delay
SERVE = 7  # pool: a ready connection and a waiting request may still meet
FAIL_WAITING = 8  # pool: the next request whose connection could not be made
AGE = 9  # connection: has reached its maximum duration
IDLE = 10  # connection: may have been idle for too long
STREAM_END = 11  # attempt: has reached the maximum stream duration
UPDATE = 12  # host set: a merged update reaches the balancer
CRASH = 13  # host: the next requests on connections to it are reset
CUT = 14  # connection: the next streams of it are reset
REPEAT = 15  # attempt: what was not heard is sent again
CHECK_BEGINS = 16  # member: an active health check begins
CHECK_ENDS = 17  # member: and has its result

# State changes.
EJECTED = 0  # member
UNEJECTED = 1  # member
EJECTION_REFUSED = 2  # member: over max_ejection_percent
FAULT_BEGINS = 3  # fault
FAULT_ENDS = 4  # fault
EJECTION_NOT_ENFORCED = 5  # member: the enforcing percentage let it off
CHECK_FAILED = 6  # member: active health checks found it unhealthy
CHECK_PASSED = 7  # member: and healthy again

CHANGE_NAMES = (
    "ejected",
    "unejected",
    "ejection refused",
    "fault begins",
    "fault ends",
    "ejection not enforced",
    "health check failed",
    "health check passed",
)
