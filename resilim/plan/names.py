"""Names, and what is made of them: salts, seeds, and what the indices of a run mean."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

CLIENT = ""  # the name of the caller outside
CLIENT_PROXY = "client"  # what the proxy of a client inside the mesh is called; hosts end in a number


@dataclass(frozen=True)
class Names:
    """What the indices of a run mean."""

    services: tuple[str, ...]
    hosts: tuple[str, ...]  # without the graveyards of crashed work, which stand behind them
    host_service: tuple[int, ...]
    endpoints: tuple[tuple[str, str], ...]  # service, endpoint
    asked: tuple[int, ...]  # endpoints that clients ask for
    # Of each cluster: host whose proxy it is in (`client`: the client's; empty: no proxy), service, subset.
    clusters: tuple[tuple[str, str, str], ...] = ()


def salt(*names: object) -> int:
    """63 bits that depend on names only."""
    digest = hashlib.blake2b("\0".join(map(str, names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def replication_seed(seed: int, replication: int, arm: str = "") -> int:
    """The luck of one replication; `arm` only when arms are to be independent."""
    return salt("replication", seed, replication, arm)
