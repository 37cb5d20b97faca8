"""Closed forms of queueing and retry theory, against which the simulator is tested.

* One unit of time in a call: rates are per that unit, times are in it. Probabilities are 0..1.
* `offered` load is rate * mean service time, in erlangs (dimensionless).
* A queue that would grow without bound, or an impossible parameter, is a ValueError that says why.
* No dependence on the rest of the package; scipy is imported where it is needed, because that is slow.

Sources: Kleinrock, Queueing Systems I (1975), chapters 3 and 5; Cooper, Introduction to Queueing Theory
(1981), chapter 3; Feller, An Introduction to Probability Theory and Its Applications I (1968), XIII.7.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

# Share of a law that its grid may leave out, and points of the grid over the whole sum.
_LEFT_OUT = 1e-9
_GRID_POINTS = 1 << 14


class Moments(NamedTuple):
    """Mean (a time) and variance (that time squared) of a duration."""

    mean: float
    variance: float


# ---------------------------------------------------------------- moments of durations


def constant_moments(value: float) -> Moments:
    """Moments of a duration that is always `value`."""
    return Moments(_not_negative("value", value), 0.0)


def uniform_moments(low: float, high: float) -> Moments:
    """Moments of the uniform law over `low`..`high`: (low + high) / 2 and (high - low)^2 / 12."""
    if not 0.0 <= low <= high:
        raise ValueError(f"a uniform law needs 0 <= low <= high, not {low:g} and {high:g}")
    return Moments((low + high) / 2.0, (high - low) ** 2 / 12.0)


def exponential_moments(mean: float) -> Moments:
    """Moments of the exponential law: `mean` and its square."""
    return Moments(_positive("mean", mean), mean**2)


def lognormal_moments(mean: float, sigma: float) -> Moments:
    """Moments of the lognormal law with this mean; `sigma`: standard deviation of the logarithm."""
    _not_negative("sigma", sigma)
    return Moments(_positive("mean", mean), mean**2 * math.expm1(sigma**2))


def sum_moments(parts: Iterable[Moments]) -> Moments:
    """Moments of the sum of independent durations: the hops of a chain of calls."""
    listed = list(parts)
    return Moments(math.fsum(part.mean for part in listed), math.fsum(part.variance for part in listed))


def sum_quantile(share: float, laws: Iterable[Any]) -> float:
    """The time that the sum of independent durations stays below with probability `share`.

    `laws`: frozen continuous distributions of scipy.stats (add a constant to the result). Numerically: each
    law as probabilities of the cells of one grid, convolved by fast Fourier transform. The error is about
    one cell, 1/16384 of the sum's range.
    """
    _inner_share(share)
    listed = list(laws)
    if not listed:
        raise ValueError("a sum needs at least one law")
    origin = math.fsum(float(law.ppf(0.0)) for law in listed)
    width = math.fsum(float(law.ppf(1.0 - _LEFT_OUT)) for law in listed) - origin
    step = width / _GRID_POINTS
    spectrum = np.ones(_GRID_POINTS + 1, dtype=complex)
    for law in listed:
        # cell k is centred on low + k * step, so that the centres of the parts add up to those of the sum
        edges = float(law.ppf(0.0)) + step * (np.arange(_GRID_POINTS + 1) - 0.5)
        spectrum *= np.fft.rfft(np.diff(law.cdf(edges)), 2 * _GRID_POINTS)
    below = np.cumsum(np.fft.irfft(spectrum))
    return origin + step * (float(np.interp(share, below, np.arange(len(below)))) + 0.5)


# ---------------------------------------------------------------- queues that lose nothing


def erlang_b(servers: int, offered: float) -> float:
    """Blocking probability of M/G/c/c, for any law of service (Erlang's loss formula).

    By the recursion B(c) = a B(c-1) / (c + a B(c-1)), which does not overflow.
    """
    _servers(servers)
    _not_negative("offered load", offered)
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return blocked


def erlang_c(servers: int, offered: float) -> float:
    """Probability that a request of M/M/c has to wait: B / (1 - u (1 - B)), u = offered / servers.

    ValueError when the load is not below the number of servers.
    """
    utilisation = _stable(servers, offered)
    blocked = erlang_b(servers, offered)
    return blocked / (1.0 - utilisation * (1.0 - blocked))


def mm1_mean_wait(rate: float, service: float) -> float:
    """Mean wait in the queue of M/M/1, all requests counted: u s / (1 - u)."""
    return mmc_mean_wait(rate, service, 1)


def mm1_mean_sojourn(rate: float, service: float) -> float:
    """Mean time in M/M/1, wait and service: s / (1 - u)."""
    return mmc_mean_sojourn(rate, service, 1)


def mmc_mean_wait(rate: float, service: float, servers: int) -> float:
    """Mean wait in the queue of M/M/c, all requests counted: C s / (c - a)."""
    offered = _offered(rate, service)
    return erlang_c(servers, offered) * service / (servers - offered)


def mmc_mean_sojourn(rate: float, service: float, servers: int) -> float:
    """Mean time in M/M/c, wait and service."""
    return mmc_mean_wait(rate, service, servers) + service


def mmc_wait_beyond(time: float, rate: float, service: float, servers: int) -> float:
    """Probability that the wait in M/M/c, first come first served, exceeds `time`: C exp(-(c - a) t / s)."""
    _not_negative("time", time)
    offered = _offered(rate, service)
    return erlang_c(servers, offered) * math.exp(-(servers - offered) * time / service)


def mmc_wait_quantile(share: float, rate: float, service: float, servers: int) -> float:
    """The wait in M/M/c, first come first served, that the share `share` of requests does not exceed."""
    _inner_share(share)
    offered = _offered(rate, service)
    waits = erlang_c(servers, offered)
    if 1.0 - share >= waits:
        return 0.0
    return service / (servers - offered) * math.log(waits / (1.0 - share))


def mg1_mean_wait(rate: float, service: Moments) -> float:
    """Mean wait in the queue of M/G/1 (Pollaczek and Khinchine): rate E[S^2] / (2 (1 - u))."""
    utilisation = _stable(1, _offered(rate, service.mean))
    second_moment = _not_negative("variance", service.variance) + service.mean**2
    return rate * second_moment / (2.0 * (1.0 - utilisation))


def mg1_mean_sojourn(rate: float, service: Moments) -> float:
    """Mean time in M/G/1, wait and service."""
    return mg1_mean_wait(rate, service) + service.mean


# ---------------------------------------------------------------- queues that refuse


def mmck_states(rate: float, service: float, servers: int, places: int) -> list[float]:
    """Probabilities of 0..c+q requests in M/M/c with `places` = q places in its queue; any load.

    Birth and death: p(n) = p(n-1) a / min(n, c).
    """
    offered = _offered(rate, service)
    _servers(servers)
    if places < 0:
        raise ValueError(f"the queue cannot have {places} places")
    # by logarithms: a^n overflows for large systems
    weights = [0.0]
    for count in range(1, servers + places + 1):
        weights.append(weights[-1] + math.log(offered / min(count, servers)))
    most = max(weights)
    shares = [math.exp(weight - most) for weight in weights]
    total = math.fsum(shares)
    return [share / total for share in shares]


def mmck_blocking(rate: float, service: float, servers: int, places: int) -> float:
    """Share of requests that M/M/c with `places` places in its queue refuses."""
    return mmck_states(rate, service, servers, places)[-1]


def mmck_mean_sojourn(rate: float, service: float, servers: int, places: int) -> float:
    """Mean time in M/M/c with `places` places, wait and service, of the requests accepted (Little's law)."""
    states = mmck_states(rate, service, servers, places)
    present = math.fsum(count * share for count, share in enumerate(states))
    return present / (rate * (1.0 - states[-1]))


# ---------------------------------------------------------------- retries and streaks


def expected_attempts(failing: float, attempts: int) -> float:
    """Mean attempts of a call that is tried at most `attempts` times: (1 - p^n) / (1 - p).

    `failing`: probability p that one attempt fails, independent of the others.
    """
    _probability("failing", failing)
    _attempts(attempts)
    return math.fsum(failing**made for made in range(attempts))


def failure_after(failing: float, attempts: int) -> float:
    """Probability that all of `attempts` independent attempts fail: p^n."""
    _probability("failing", failing)
    _attempts(attempts)
    return failing**attempts


def requests_until_streak(failing: float, streak: int) -> float:
    """Mean requests up to and including the end of the first `streak` failures in a row.

    (1 - p^k) / ((1 - p) p^k) for independent failures with probability p (Feller XIII.7).
    """
    _probability("failing", failing)
    if failing == 0.0:
        raise ValueError("without failures there is never a streak of them")
    if streak < 1:
        raise ValueError(f"a streak has at least 1 failure, not {streak}")
    return math.fsum(failing**-length for length in range(1, streak + 1))


def backoff_window(base: int, retry: int, widest: int = 10) -> int:
    """Width of the window of the `retry`-th back-off, in the unit of `base`: doubling, up to `widest` bases.

    The rule of Envoy's router; the delay is one of 0..width-1 whole milliseconds.
    """
    if base < 1 or retry < 1 or widest < 1:
        raise ValueError(f"base {base}, retry {retry} and widest {widest} must be at least 1")
    return int(min(base * 2 ** (retry - 1), base * widest))


def mean_backoff(base: int, retry: int, widest: int = 10) -> float:
    """Mean back-off before the `retry`-th retry, ms, with a base of `base` whole ms: (width - 1) / 2."""
    return (backoff_window(base, retry, widest) - 1) / 2.0


# ---------------------------------------------------------------- checks of parameters


def _offered(rate: float, service: float) -> float:
    return _positive("rate", rate) * _positive("service time", service)


def _stable(servers: int, offered: float) -> float:
    """The utilisation; ValueError when it is not below 1."""
    _servers(servers)
    _not_negative("offered load", offered)
    if offered >= servers:
        raise ValueError(
            f"unstable: an offered load of {offered:g} erlangs needs more than {servers} server"
            f"{'' if servers == 1 else 's'}, or the queue grows without bound"
        )
    return offered / servers


def _servers(servers: int) -> None:
    if servers < 1:
        raise ValueError(f"at least 1 server is needed, not {servers}")


def _attempts(attempts: int) -> None:
    if attempts < 1:
        raise ValueError(f"a call has at least 1 attempt, not {attempts}")


def _positive(name: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0.0):
        raise ValueError(f"the {name} must be positive and finite, not {value:g}")
    return value


def _not_negative(name: str, value: float) -> float:
    if not (math.isfinite(value) and value >= 0.0):
        raise ValueError(f"the {name} must be finite and not negative, not {value:g}")
    return value


def _probability(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is a probability, 0 to 1, not {value:g}")


def _inner_share(share: float) -> None:
    if not 0.0 < share < 1.0:
        raise ValueError(f"a share is above 0 and below 1, not {share:g}")
