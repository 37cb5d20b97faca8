"""Ordinary SimPy programs for the benchmarks: generator processes and `simpy.Resource`.

They know the same mechanisms as the benchmark's model, and nothing of resilim. Times in seconds.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

Steps = Generator[simpy.Event, Any, Any]


@dataclass
class Host:
    """A host with workers, and what its callers know of it."""

    env: simpy.Environment
    workers: int
    resource: simpy.Resource = field(init=False)

    def __post_init__(self) -> None:
        self.resource = simpy.Resource(self.env, self.workers)


class Proxy:
    """A caller's sidecar towards one service: pool, round robin, outlier detection."""

    def __init__(self, env: simpy.Environment, hosts: list[Host], draw: random.Random) -> None:
        self.env = env
        self.hosts = hosts
        self.draw = draw
        self.pool = simpy.Resource(env, 100)
        self.turn = draw.randrange(len(hosts))
        self.errors = [0] * len(hosts)
        self.ejected_until = [0.0] * len(hosts)

    def pick(self) -> int:
        """The next host in turn that is not ejected."""
        for _ in self.hosts:
            self.turn = (self.turn + 1) % len(self.hosts)
            if self.ejected_until[self.turn] <= self.env.now:
                return self.turn
        return self.turn

    def call(self, chain: Chain, depth: int) -> Steps:
        """One call through this proxy; true when it succeeds."""
        if len(self.pool.queue) >= 100:
            return False
        deadline = self.env.timeout(1.0)
        with self.pool.request() as connection:
            yield connection | deadline
            if not connection.triggered:
                return False
            host = self.pick()
            served = self.env.process(chain.serve(self.hosts[host], depth, self.draw))
            outcome = yield served | deadline
            ok = served in outcome and bool(served.value)
            self.report(host, ok)
            return ok

    def report(self, host: int, ok: bool) -> None:
        """Count an answer; five errors in a row eject."""
        if ok:
            self.errors[host] = 0
            return
        self.errors[host] += 1
        if self.errors[host] >= 5:
            self.errors[host] = 0
            self.ejected_until[host] = self.env.now + 30.0


class Chain:
    """Services in a row; every host of one calls the next through its own proxy."""

    def __init__(self, seed: int, depth: int = 4) -> None:
        self.env = simpy.Environment()
        self.draw = random.Random(seed)
        self.depth = depth
        self.hosts = [[Host(self.env, 16) for _ in range(3)] for _ in range(depth)]
        self.client = Proxy(self.env, self.hosts[0], self.draw)
        self.proxies = {
            id(host): Proxy(self.env, self.hosts[level + 1], self.draw)
            for level in range(depth - 1)
            for host in self.hosts[level]
        }
        self.latencies: list[float] = []
        self.failed = 0

    def serve(self, host: Host, depth: int, draw: random.Random) -> Steps:
        """One request at a host, through both sidecars there and back."""
        caller, callee = draw.uniform(0.001, 0.003), draw.uniform(0.001, 0.003)
        yield self.env.timeout(caller / 2)
        yield self.env.timeout(callee / 2)
        with host.resource.request() as worker:
            yield worker
            yield self.env.timeout(draw.expovariate(1 / 0.005))
            ok = True
            if depth + 1 < self.depth:
                ok = yield from self.proxies[id(host)].call(self, depth + 1)
        yield self.env.timeout(callee / 2)
        yield self.env.timeout(caller / 2)
        return ok

    def request(self) -> Steps:
        """One client request."""
        start = self.env.now
        ok = yield from self.client.call(self, 0)
        if ok:
            self.latencies.append(self.env.now - start)
        else:
            self.failed += 1

    def load(self, requests: int, rate: float) -> Steps:
        """Poisson arrivals."""
        for _ in range(requests):
            yield self.env.timeout(self.draw.expovariate(rate))
            self.env.process(self.request())

    def run(self, requests: int, rate: float = 1000.0) -> None:
        """Run until every request has its outcome."""
        self.env.process(self.load(requests, rate))
        self.env.run()


class Queue:
    """M/M/c."""

    def __init__(self, seed: int, servers: int, rate: float, mean: float) -> None:
        self.env = simpy.Environment()
        self.draw = random.Random(seed)
        self.servers = simpy.Resource(self.env, servers)
        self.rate, self.mean = rate, mean
        self.latencies: list[float] = []

    def customer(self) -> Steps:
        """One customer."""
        start = self.env.now
        with self.servers.request() as server:
            yield server
            yield self.env.timeout(self.draw.expovariate(1 / self.mean))
        self.latencies.append(self.env.now - start)

    def load(self, customers: int) -> Steps:
        """Poisson arrivals."""
        for _ in range(customers):
            yield self.env.timeout(self.draw.expovariate(self.rate))
            self.env.process(self.customer())

    def run(self, customers: int) -> None:
        """Run until every customer has left."""
        self.env.process(self.load(customers))
        self.env.run()
