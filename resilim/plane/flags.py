"""Envoy's response flags, as bits: a failure can carry several (`UT,URX`).

* `NO_FLAG` with a 5xx means that the upstream host itself answered so; Envoy prints `-`.
* A failed request keeps the flags of the failure *at its origin*: what a client sees as a plain 500
  is reported as, say, UO at the service whose pool overflowed.
"""

from __future__ import annotations

NO_FLAG = 0
UO = 1  # upstream overflow: a limit of the caller's connection pool, or of its retries
UH = 2  # no healthy upstream host
UT = 4  # upstream request timeout
URX = 8  # retry limit exceeded
DC = 16  # downstream connection termination: the client left
UF = 32  # upstream connection failure
UC = 64  # upstream connection termination
UR = 128  # upstream remote reset
UPE = 256  # upstream protocol error
LR = 512  # connection local reset
NR = 1024  # no route
NC = 2048  # no cluster
DI = 4096  # delay injected
FI = 8192  # fault injected
RL = 16384  # rate limited
UMSDR = 32768  # upstream max stream duration reached
DO = 65536  # drop overload
UAEX = 131072  # unauthorized external service

NAMES = {
    DI: "DI",
    FI: "FI",
    RL: "RL",
    DO: "DO",
    NR: "NR",
    NC: "NC",
    UAEX: "UAEX",
    UH: "UH",
    UF: "UF",
    UC: "UC",
    UR: "UR",
    UPE: "UPE",
    LR: "LR",
    UT: "UT",
    UMSDR: "UMSDR",
    DC: "DC",
    UO: "UO",
    URX: "URX",
}

MEANINGS = {
    "-": "the upstream host itself answered with an error",
    "UO": "refused by the caller's connection pool: a limit was reached",
    "UH": "no healthy upstream host to choose from",
    "UT": "no answer within the route or per-try timeout",
    "URX": "the retry limit was reached",
    "DC": "the client left before the answer came",
    "UF": "no connection to the upstream host could be made",
    "UC": "the upstream host closed the connection",
    "UR": "the upstream host reset the request",
    "UPE": "the upstream host broke the protocol",
    "LR": "the caller's proxy reset the request",
    "NR": "no route matched",
    "NC": "the route names a cluster that does not exist",
    "DI": "delayed by fault injection",
    "FI": "aborted by fault injection",
    "RL": "refused by a local rate limit",
    "UMSDR": "the upstream stream took longer than it may",
    "DO": "dropped, because the upstream is overloaded",
    "UAEX": "refused by external authorization",
}


def text(flags: int) -> str:
    """Flags as Envoy's access log prints them: comma-separated, `-` for none."""
    return ",".join(name for bit, name in NAMES.items() if flags & bit) or "-"
