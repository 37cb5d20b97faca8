"""What a request meets at the door of its host: a broken link, and the local rate limit of the host's proxy.

* A host that refuses connections (crashed) gets nothing; one that cannot be reached hears nothing.
* Local rate limit (Envoy 1.40, local_ratelimit.cc): the bucket starts full and fills continuously; a request
  takes one token. `enabled` is the share of requests that are counted, `enforced` the share of those over
  the limit that are refused: 429, flag RL.
"""

from __future__ import annotations

from resilim.plane.luck import RATE_LIMIT_ENABLED, RATE_LIMIT_ENFORCED, uniform
from resilim.plane.machine import State, plane
from resilim.plane.records import Bucket, Host

# The link of a host to everybody else.
UP = 0
REFUSING = 1
SILENT = 2

# What becomes of a request at the door; any other number is the status of a refusal.
PASSES = 0
NOBODY_THERE = -1
NOT_HEARD = -2


@plane
def admit(S: State, host: Host, key: int, now: int) -> int:
    """Whether a request with luck `key` gets in: PASSES, why not, or the status of the refusal."""
    if host.link != UP:
        return NOT_HEARD if host.link == SILENT else NOBODY_THERE
    if host.bucket >= 0:
        return limit(S.bucket[host.bucket], key, now)
    return PASSES


@plane
def limit(bucket: Bucket, key: int, now: int) -> int:
    """Ask the rate limit: PASSES, or the status of the refusal."""
    if bucket.enabled < 1.0 and uniform(key, RATE_LIMIT_ENABLED) >= bucket.enabled:
        return PASSES
    bucket.counted += 1
    if take_token(bucket, now):
        bucket.ok += 1
        return PASSES
    bucket.limited += 1
    if bucket.enforced < 1.0 and uniform(key, RATE_LIMIT_ENFORCED) >= bucket.enforced:
        return PASSES
    bucket.refused += 1
    return bucket.code


@plane
def take_token(bucket: Bucket, now: int) -> bool:
    """Take one token, if there is a whole one; asking in vain changes nothing."""
    tokens = bucket.tokens + (now - bucket.filled_at) * bucket.fill
    if tokens > bucket.max_tokens:
        tokens = bucket.max_tokens
    if tokens < 1.0:
        return False
    bucket.filled_at = now
    bucket.tokens = tokens - 1.0
    return True
