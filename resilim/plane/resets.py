"""Ways in which an attempt ends without an answer (Envoy's stream reset reasons).

A reset travels where a status would, as a negative number; so one field says how an attempt ended.

* gRPC: an answer of a gRPC service that is not OK is `GRPC` plus its grpc-status, with HTTP status 200.
"""

from __future__ import annotations

from resilim.plane.flags import LR, UC, UF, UO, UPE, UR
from resilim.plane.machine import plane

LOCAL_RESET = -1  # by the caller's proxy itself: a per-try timeout
REMOTE_RESET = -2  # the upstream reset the stream
REFUSED_STREAM = -3  # the upstream refused the stream before it did anything (HTTP/2)
TERMINATION = -4  # the upstream closed the connection
PROTOCOL_ERROR = -5  # the upstream sent what is not HTTP
CONNECT_FAILURE = -6  # the connection could not be made
CONNECT_TIMEOUT = -7  # the connection was not made in time
OVERFLOW = -8  # the caller's own pool refused
INFORMED_TERMINATION = -9  # the upstream sent 100 Continue, then closed the connection

GRPC = 1000


@plane
def flag_of(reset: int) -> int:
    """The response flag of a reset; a local one by a timeout has that of the timeout instead."""
    if reset in (CONNECT_FAILURE, CONNECT_TIMEOUT):
        return UF
    if reset == TERMINATION:
        return UC
    if reset in (REMOTE_RESET, REFUSED_STREAM):
        return UR
    if reset == PROTOCOL_ERROR:
        return UPE
    if reset == OVERFLOW:
        return UO
    return LR


@plane
def status_of(reset: int) -> int:
    """The status that the caller gets after a reset."""
    return 502 if reset == PROTOCOL_ERROR else 503
