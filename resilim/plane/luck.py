"""Luck: every random number is a pure function of who needs it and what for.

* The key of a client request is a hash of (seed, source, its number). The key of a call is a hash of
  (key of the attempt that makes it, call site); of a later attempt, of (key of its call, number).
* A draw hashes a key with the salt of its purpose, a large constant: one round of the hash does not tell
  apart keys that differ in few bits, so a small number never comes last. There are no generators and there
  is no order, so a policy that adds or removes attempts leaves the luck of everything else as it was.
* The seed belongs to the replication, never to the arm: arms are paired.
* One uniform number a draw, turned into the law by inverse transform: a sweep stays correlated too.
* Logarithm and exponential are the C library's in both engines, so both give the same bits.
"""

from __future__ import annotations

from math import exp, log, sqrt

from resilim.plane.machine import plane, scramble
from resilim.plane.records import Law

# Kinds of law, with the meaning of their parameters a and b.
CONSTANT = 0  # a: ns
UNIFORM = 1  # a: lowest, ns; b: width, ns
EXPONENTIAL = 2  # a: mean, ns
LOGNORMAL = 3  # a, b: mean and standard deviation of the logarithm of the duration in ns
PARETO = 4  # a: smallest, ns; b: -1/shape

# Purposes. Arbitrary 63-bit numbers, far apart; changing one changes every result.
ARRIVALS = 0x1F83D9ABFB41BD6B
MIXTURE = 0x5BE0CD19137E2179
HOPS = 0x3C6EF372FE94F82B
BALANCE = 0x510E527FADE682D1
SECOND_CHOICE = 0x2B05688C2B3E6C1F
BACKOFF = 0x6A09E667F3BCC908
ATTEMPT = 0x428A2F98D728AE22
FAILING = 0x7137449123EF65CD
MAKES_CALL = 0x35C0FBCFEC4D3B2F
CONNECT = 0x69B5DBA58189DBBC
HANDSHAKE = 0x3956C25BF348B538
PHASE = 0x59F111F1B605D019
WORKER = 0x123FA82A5AF194F9
RESELECT = 0x2B1C5ED5DA6D8118
DELAYS = 0x5807AA98A3030242
ABORTS = 0x12835B0145706FBE
DROPS = 0x243185BE4EE4B28C
SPLITS = 0x550C7DC3D5FFB4E2
MIRRORS = 0x72BE5D74F27B896F
RATE_LIMIT_ENABLED = 0x00DEB1FE3B1696B1
RATE_LIMIT_ENFORCED = 0x1BDC06A725C71235
THINKING = 0x419BF174CF692694
PEOPLE = 0x649B69C19EF14AD2
IDENTITY = 0x6FBE4786384F25E3
MORE_CHOICES = 0x27B70A8546D22FFC
PRIORITY = 0x2E1B21385C26C926
ZONE = 0x4D2C6DFC5AC42AED
OTHER_ZONE = 0x14292967A831C667
TURNS = 0x53380D139D95B3DF
SCHEDULE = 0x650A73548BAF63DE
LOCALITIES = 0x766A0ABB3C77B2A8
UNHASHED = 0x02C9C2E92722C85C
RING = 0x12722C851482353B
MAGLEV_OFFSET = 0x22BFE8A14CF10364
MAGLEV_STEP = 0x281A664BBC423001
SHUFFLE = 0x424B8B70D0F89791
ENFORCING = 0x4CC5D4BECB3E42B6
EJECTION_JITTER = 0x431D67C49C100D4C
SWEEP_ORDER = 0x3C9EBE0A15C9BEBC
CHECK_PHASE = 0x32CAAB7B40C72493
CHECK_START = 0x28DB77F523047D84
CHECK_RESPONSE = 0x1B710B35131C471B
CHECK_FAILING = 0x113F9804BEF90DAE
CHECK_JITTER = 0x0A637DC5A2C898A6
CHECK_JITTER_PERCENT = 0x06F067AA72176FBA

_STEP_52 = 1.0 / (1 << 52)


@plane
def uniform(key: int, purpose: int) -> float:
    """A uniform number in the open interval (0, 1), 52 bits."""
    return ((scramble(key, purpose) >> 11) + 0.5) * _STEP_52


@plane
def below(key: int, purpose: int, n: int) -> int:
    """A uniform integer in 0..n-1, n < 2^31."""
    return ((scramble(key, purpose) >> 32) * n) >> 31


@plane
def duration(law: Law, bits: int) -> int:
    """A sample of a law, whole ns, from the 63 random bits of `scramble(key, purpose)`."""
    u = ((bits >> 11) + 0.5) * _STEP_52
    if law.kind == EXPONENTIAL:
        return int(-law.a * log(1.0 - u))
    if law.kind == UNIFORM:
        return int(law.a + law.b * u)
    if law.kind == CONSTANT:
        return int(law.a)
    if law.kind == LOGNORMAL:
        return int(exp(law.a + law.b * normal_quantile(u)))
    return int(law.a * exp(law.b * log(1.0 - u)))


@plane
def other_half(bits: int) -> int:
    """The same random bits with their halves exchanged: a second draw where 31 bits are enough."""
    return (bits & 0x7FFFFFFF) << 32


# Coefficients of Wichura's three rational approximations, highest power first.
_CENTRE_TOP = (
    2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
    13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608,
)  # fmt: skip
_CENTRE_BOTTOM = (
    5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
    5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0,
)  # fmt: skip
_MIDDLE_TOP = (
    7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
    3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734,
)  # fmt: skip
_MIDDLE_BOTTOM = (
    1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
    0.14810397642748007459, 0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0,
)  # fmt: skip
_TAIL_TOP = (
    2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386,
    0.026532189526576123093, 0.29656057182849489123, 1.7848265399172913358,
    5.4637849111641143699, 6.6579046435011037772,
)  # fmt: skip
_TAIL_BOTTOM = (
    2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5,
    7.868691311456132591e-4, 0.0148753612908506148525, 0.13692988092273580531,
    0.59983220655588793769, 1.0,
)  # fmt: skip


@plane
def polynomial(coefficients: tuple[float, ...], x: float) -> float:
    """The value of a polynomial, highest power first (Horner)."""
    value = 0.0
    for coefficient in coefficients:
        value = value * x + coefficient
    return value


@plane
def normal_quantile(p: float) -> float:
    """The standard normal quantile, relative error about 1e-16 (Wichura 1988, AS 241, PPND16)."""
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * polynomial(_CENTRE_TOP, r) / polynomial(_CENTRE_BOTTOM, r)
    r = sqrt(-log(p if q < 0.0 else 1.0 - p))
    if r <= 5.0:
        r = r - 1.6
        value = polynomial(_MIDDLE_TOP, r) / polynomial(_MIDDLE_BOTTOM, r)
    else:
        r = r - 5.0
        value = polynomial(_TAIL_TOP, r) / polynomial(_TAIL_BOTTOM, r)
    return -value if q < 0.0 else value
