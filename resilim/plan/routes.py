"""How the proxies of a caller treat its calls to one service."""

from __future__ import annotations

from resilim.plan.tables import Tables
from resilim.plane import filters, flags, retry, timers
from resilim.plane.records import Route
from resilim.spec.envoy import EnvoySettings
from resilim.spec.load import ResolvedArm
from resilim.spec.retry_on import RETRIABLE_STATUS_CODES
from resilim.spec.route import RESELECTIONS, FaultInjection, Retries
from resilim.spec.upstream import subset_exists, upstream

_NO_CLUSTER = 503


def mesh_route(arm: ResolvedArm, tables: Tables, service: str) -> Route:
    """The route of calls to a service from inside the mesh."""
    route, envoy = arm.route(service), arm.model.settings(service)
    record = Route(
        timeout=route.timeout or 0,
        timeout_flag=flags.UT,
        max_stream_duration=envoy.max_stream_duration or 0,
    )
    again = route.retries.retry_ignore_previous_hosts
    if again is None:
        again = upstream(arm.model, service).reselections
    _apply_retries(record, tables, route.retries, envoy, again)
    if route.fault is not None:
        _apply_fault(record, route.fault)
    if envoy.drop_overload:
        record.filters |= filters.HAS_DROP
        record.drop_share = envoy.drop_overload
    if any(not subset_exists(arm.model, service, place.subset) for place, _ in route.weighted):
        record.filters |= filters.HAS_REPLY
        record.reply_code, record.reply_flag = _NO_CLUSTER, flags.NC
    return record


def _apply_retries(
    record: Route, tables: Tables, retries: Retries, envoy: EnvoySettings, avoid_tried: bool
) -> None:
    record.per_try_timeout = retries.per_try_timeout or 0
    record.retries = retries.attempts
    record.backoff = retries.backoff
    if envoy.retry_back_off is not None:
        record.max_backoff = envoy.retry_back_off.max_interval
    if retries.attempts == 0:
        return
    record.hedges = int(envoy.hedge_on_per_try_timeout)
    record.reselections = RESELECTIONS if avoid_tried else 0
    conditions = set(retries.conditions) - {RETRIABLE_STATUS_CODES}  # the codes say it
    record.retry_on = sum(retry.TOKENS[token] for token in conditions)
    record.first_code, record.codes = tables.status_codes(retries.status_codes)


def _apply_fault(record: Route, fault: FaultInjection) -> None:
    if fault.delay is not None and fault.delay.share > 0:
        record.filters |= filters.HAS_FAULT
        record.delay_share, record.delay = fault.delay.share, fault.delay.fixed_delay
    if fault.abort is not None and fault.abort.share > 0:
        record.filters |= filters.HAS_FAULT
        record.abort_share, record.abort_code = fault.abort.share, fault.abort.http_status


def client_route(arm: ResolvedArm, tables: Tables, service: str) -> Route:
    """The route of the client: its patience, and the mesh's route if it has a sidecar."""
    client = arm.load.client
    record = mesh_route(arm, tables, service) if client.sidecar else Route(backoff=retry.MILLISECOND)
    if client.timeout and not 0 < record.timeout <= client.timeout:
        record.timeout, record.timeout_flag = client.timeout, flags.DC
    return record


def copy_route(record: Route) -> Route:
    """The route of the copies that a route sends to its mirrors."""
    timeout = record.timeout if record.timeout_flag == flags.UT else 0
    return Route(timeout=timeout, timeout_flag=flags.UT, backoff=retry.MILLISECOND)


def add_route(tables: Tables, record: Route) -> int:
    """Put down a route with its timers; its index."""
    if record.timeout:
        record.timeout_queue = tables.timer_queue(timers.ROUTE_TIMEOUT, record.timeout)
    if record.per_try_timeout:
        record.per_try_queue = tables.timer_queue(timers.PER_TRY_TIMEOUT, record.per_try_timeout)
    return tables.add("route", record)
