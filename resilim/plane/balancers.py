"""The kinds of load balancer, and the groups among whose members they pick."""

from __future__ import annotations

# Kinds of balancer; from RING_HASH on, those that look at the request's hash.
ROUND_ROBIN = 0
LEAST_REQUEST = 1
RANDOM = 2
RING_HASH = 3
MAGLEV = 4

# Groups of a host set, counted from its first one.
HEALTHY = 0
DEGRADED = 1
EVERYBODY = 2
HEALTHY_LOCALITIES = 3
DEGRADED_LOCALITIES = 4
IN_LOCALITY = 5  # + 2 * number of the locality: its healthy members; then its degraded ones

# Number of groups of a set without localities.
GROUPS = 3
