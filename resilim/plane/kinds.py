"""The kinds of data-plane events, and of state changes that are recorded.

An event is (time, order, kind, index of a record); `events.HANDLERS` says who handles it.
"""

from __future__ import annotations

# Events.
REACH = 0  # attempt: the request reaches its host
RUN = 1  # attempt: goes on at its host, with its worker
REPLY = 2  # attempt: the answer is back at the caller
ARRIVAL = 3  # source: a client request arrives
TIMER = 4  # timer queue: its oldest timer is due
CONNECTED = 5  # connection: set up
RETRY = 6  # call: the back-off is over
SERVE = 7  # pool: a ready connection and a waiting request may still meet

# State changes.
EJECTED = 0  # member
UNEJECTED = 1  # member
EJECTION_REFUSED = 2  # member: over max_ejection_percent
FAULT_BEGINS = 3  # fault
FAULT_ENDS = 4  # fault

CHANGE_NAMES = ("ejected", "unejected", "ejection refused", "fault begins", "fault ends")
