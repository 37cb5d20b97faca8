"""Services become hosts; their endpoints get indices.

* A rate limit gives every host of its service a bucket, and makes requests pass the gate.
* What crashes on a host goes on in the graveyard of its service, a host behind all the others that nobody
  calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from resilim.plan.names import salt
from resilim.plan.tables import Tables
from resilim.plane.records import NONE, UNLIMITED, Bucket, Host
from resilim.spec.model import Model, Service


@dataclass
class Fleet:
    """The services of a model: indices of their hosts and endpoints, by name."""

    model: Model
    tables: Tables
    services: dict[str, int] = field(default_factory=dict)
    endpoints: dict[tuple[str, str], int] = field(default_factory=dict)
    first_step: dict[tuple[str, str], int] = field(default_factory=dict)
    first_host: dict[str, int] = field(default_factory=dict)
    host_names: list[str] = field(default_factory=list)
    host_salts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        steps = 0
        for name, service in self.model.services.items():
            self.services[name] = len(self.services)
            self._add_hosts(name, service)
            for endpoint, body in service.endpoints.items():
                self.endpoints[name, endpoint] = len(self.endpoints)
                self.first_step[name, endpoint] = steps
                steps += len(body.steps) + 1  # the last one is END

    def _add_hosts(self, name: str, service: Service) -> None:
        self.first_host[name] = self.tables.size("host")
        seen: dict[str, int] = {}
        for rank, version in enumerate(service.host_versions):
            number = seen[version] = seen.get(version, -1) + 1
            self.host_salts.append(salt("host", name, rank))
            self.host_names.append("-".join(part for part in (name, version, str(number)) if part))
            record = Host(
                service=self.services[name], rank=rank, workers=service.workers, places=service.queue
            )
            self._add_bucket(name, record)
            self.tables.add("host", record)

    def _add_bucket(self, name: str, host: Host) -> None:
        limit = self.model.settings(name).local_rate_limit
        if limit is None:
            return
        bucket = limit.token_bucket
        host.gate = 1
        host.bucket = self.tables.add(
            "bucket",
            Bucket(
                max_tokens=bucket.max_tokens,
                fill=bucket.tokens_per_fill / bucket.fill_interval,
                enabled=limit.filter_enabled,
                enforced=limit.filter_enforced,
                code=limit.status_code,
            ),
        )

    def hosts_of(self, service: str) -> range:
        """Indices of the hosts of a service."""
        first = self.first_host[service]
        return range(first, first + len(self.model.services[service].host_versions))

    def add_graveyard(self, service: str) -> None:
        """Put down the graveyard of a service, once; only when all hosts are there."""
        hosts = self.tables.records["host"]
        if hosts[self.first_host[service]].grave != NONE:
            return
        record = Host(service=self.services[service], rank=NONE, workers=UNLIMITED)
        grave = self.tables.add("host", record)
        for index in self.hosts_of(service):
            hosts[index].grave = grave
