"""Records of the data plane: what there is, field by field.

* Times are integer nanoseconds. An index field that points nowhere holds `NONE`.
* A default is the value of a fresh record; the planner fills in the rest.
* What a record type is, and how it becomes a numpy record: `record.py`.
"""

from __future__ import annotations

from resilim.plane.record import Record, column, record

NONE = -1
UNLIMITED = (1 << 32) - 1  # Istio's default for every integer limit


# ---------------------------------------------------------------- what is decided before a run


@record
class Law(Record):
    """A distribution of durations, sampled by inverse transform (`luck.draw`)."""

    kind: int = column("one of luck.CONSTANT, UNIFORM, ...")
    a: float = column("first parameter (ns, or log-ns)")
    b: float = column("second parameter")


@record
class Step(Record):
    """One step of an endpoint: own work, or calls made at the same time."""

    kind: int = column("WORK, CALLS_OUT or END of host.py")
    endpoint: int = column("endpoint that the step belongs to")
    law: int = column("WORK: index of the law of its duration")
    salt: int = column("WORK: the luck of this step")
    first_site: int = column("CALLS: index of the first call site")
    sites: int = column("CALLS: number of call sites; the slowest branch decides")


@record
class Site(Record):
    """One place in the code of a service from which another service is called."""

    first_step: int = column("first step of the endpoint that is called")
    route: int = column("route of the call")
    first_cluster: int = column("cluster of the caller's first host; other hosts follow")
    probability: float = column("share of passes that make the call, 0..1", 1.0)
    optional: int = column("1: a failed call does not fail the caller")
    salt: int = column("the luck of this site")


@record
class Route(Record):
    """How the proxies of one caller treat its calls to one upstream service (Envoy's route action)."""

    timeout: int = column("route timeout, ns; 0 = off")
    timeout_queue: int = column("timer queue of that duration", NONE)
    timeout_flag: int = column("response flag when it fires: UT, or DC for a client that leaves")
    timeout_code: int = column("status when it fires", 504)
    per_try_timeout: int = column("ns; 0 = off")
    per_try_queue: int = column("timer queue of that duration", NONE)
    hedges: int = column("1: a per-try timeout sends another attempt beside the slow one")
    max_stream_duration: int = column("time that one attempt may take, ns; 0 = off")
    retry_on: int = column("bit set of retry.ON_...")
    retries: int = column("retries after the first attempt")
    first_code: int = column("index of the first retriable status code")
    codes: int = column("number of retriable status codes")
    backoff: int = column("base interval of the back-off, ns")
    max_backoff: int = column("longest interval of the back-off, ns; 0 = 10 times the base")
    reselections: int = column("further picks when a retry meets a host that was tried already")
    filters: int = column("bit set of filters.HAS_...: what a call passes before the router, and beside it")
    delay_share: float = column("share of calls that the fault filter delays, 0..1")
    delay: int = column("by so much, ns")
    abort_share: float = column("share of calls that the fault filter aborts, 0..1")
    abort_code: int = column("status of an aborted call")
    drop_share: float = column("share of calls dropped for overload, 0..1")
    reply_code: int = column("status of a local reply instead of any upstream; 0 = none")
    reply_flag: int = column("its response flag: NR, NC or none")
    first_destination: int = column("index of the first of its weighted destinations")
    destinations: int = column("number of weighted destinations; 0: the route's only cluster")
    first_mirror: int = column("index of its first mirror")
    mirrors: int = column("number of mirrors")


@record
class Destination(Record):
    """One of the weighted clusters of a route, or one of its mirrors."""

    upto: float = column("destination: cumulated share, last one 1.0; mirror: share of calls copied")
    offset: int = column("its cluster, counted from the route's own cluster of the same caller host")
    route: int = column("mirror: route of the copy", NONE)
    salt: int = column("mirror: its luck")


# ---------------------------------------------------------------- what lives through a run


@record
class World(Record):
    """What there is one of."""

    seed: int = column("luck of this replication, 63 bits")
    started: int = column("client requests that arrived")
    ended: int = column("client requests that have their outcome")
    rows: int = column("filled rows of the outcome table")
    changes: int = column("filled rows of the change table")
    listening: int = column("1: a control-plane process waits for state changes")
    signalled: int = column("number of changes up to the first one that is still to be told; 0: none")
    code: int = column("status of the call that ended last")
    flags: int = column("its response flags")
    origin: int = column("service at which its failure began")
    shadows: int = column("mirrored calls begun")
    source: int = column("source of the client request that arrived last")


@record
class Supply(Record):
    """Book-keeping of a table whose records come and go (`lists.py`)."""

    free: int = column("head of the list of returned records", NONE)
    used: int = column("records ever in use at once: the table's high-water mark")


@record
class Source(Record):
    """A stream of client requests: open load, or one user who waits for each answer."""

    rate: float = column("open load: arrivals per ns; 0 for a user")
    even: int = column("open load, 1: equal gaps; 0: Poisson")
    burst: int = column("open load: requests that arrive at one instant", 1)
    user: int = column("1: one user, whose next request follows the answer to the last one")
    think: int = column("user: law of the pause after an answer", NONE)
    think_after_failure: int = column("user: law of the pause after a failure", NONE)
    quota: int = column("user: requests, then it stops; 0 = no limit")
    identity: int = column("user: salt of who it is, for consistent hashing")
    people: int = column("open load: distinct users, for consistent hashing; 0: every request its own")
    serial: int = column("number of the next request: its identity")
    key: int = column("salt of this source; from the first instant on, its luck")
    due: int = column("time of the next arrival, ns; NONE: none planned", NONE)
    first_mix: int = column("index of its first mix entry")
    mixes: int = column("number of mix entries")


@record
class Mix(Record):
    """One kind of request of a source."""

    upto: float = column("cumulated share, last one 1.0")
    first_step: int = column("first step of the endpoint that is asked for")
    route: int = column("the client's route for that endpoint's service")
    cluster: int = column("the client's cluster for that endpoint's service")


@record
class Host(Record):
    """One machine of a service: workers and a bounded queue before them."""

    service: int = column("index of its service")
    rank: int = column("its number within the service; NONE: the graveyard of its service's crashed work")
    workers: int = column("requests served at once")
    places: int = column("places in the queue; none left means 503")
    busy: int = column("workers in use; a synchronous caller keeps its own while it waits")
    waiting: int = column("requests in the queue")
    head: int = column("first attempt in the queue", NONE)
    tail: int = column("last attempt in the queue", NONE)
    slowdown: float = column("own work takes that many times longer (fault)", 1.0)
    failing: float = column("share of requests answered with fail_code (fault)")
    fail_code: int = column("status of such an answer, or the negative of a reset of resets.py", 503)
    gate: int = column("1: requests pass `gate.admit` first: rate limit, or a host that cannot be reached")
    bucket: int = column("rate-limit bucket of its proxy", NONE)
    link: int = column("UP, REFUSING or SILENT of gate.py (fault)")
    grave: int = column("host to which its work is moved when it crashes", NONE)
    cursor: int = column("next attempt that a crash looks at")
    refused: int = column("requests refused because the queue was full")
    wasted: int = column("answers that nobody waited for any more")
    wasted_time: int = column("time that workers spent on them, ns")


@record
class Bucket(Record):
    """The token bucket of a local rate limit, in one proxy."""

    max_tokens: float = column("most tokens; the bucket starts full")
    fill: float = column("tokens per ns")
    tokens: float = column("tokens now, as of `filled_at`")
    filled_at: int = column("ns")
    enabled: float = column("share of requests that it counts, 0..1", 1.0)
    enforced: float = column("share of the requests over the limit that it refuses, 0..1", 1.0)
    code: int = column("status of a refusal", 429)
    counted: int = column("http_local_rate_limit.enabled")
    ok: int = column("http_local_rate_limit.ok")
    limited: int = column("http_local_rate_limit.rate_limited")
    refused: int = column("http_local_rate_limit.enforced")


@record
class Cluster(Record):
    """One upstream service as one caller's proxy sees it: limits, gauges, Envoy's counters."""

    service: int = column("upstream service")
    first_member: int = column("its members stand together in their table")
    members: int = column("number of members")
    first_pool: int = column("its pools: worker by worker, in the order of the members")
    pool_shift: int = column("first_pool - first_member")
    workers: int = column("worker threads of the caller's proxy, each with pools of its own", 1)
    first_set: int = column("its host sets, by priority")
    sets: int = column("number of host sets (priorities)", 1)
    balancer: int = column("ROUND_ROBIN, LEAST_REQUEST, RANDOM, RING_HASH or MAGLEV of balance.py")
    choices: int = column("least request: members drawn, of which the best is taken", 2)
    source_address: int = column("what RING_HASH and MAGLEV hash; NONE: who sent the request", NONE)
    hash_balance_factor: int = column("bounded load in percent, 100 and more; 0 = off")
    table: int = column("ring hash, maglev: first entry of its first set's table", NONE)
    table_size: int = column("ring hash: least number of entries; maglev: number of entries, a prime")
    table_room: int = column("ring hash, maglev: room for entries of one set's table")
    first_group: int = column("groups of its first set (`balance_space.py`)", NONE)
    first_turn: int = column("turn of its first group and worker 0", NONE)
    first_entry: int = column("first entry of its schedules, or of what its tables are made from", NONE)
    worker_entries: int = column("entries of one worker's schedules")
    first_locality: int = column("first locality of its first set", NONE)
    lineup: int = column("members to pick from, where every pick is plain; 0: `pick_closely` decides")
    lineup_start: int = column("plain picks: place of the first of them in the lineup table")
    lineup_turn: int = column("plain picks: turn of worker 0")
    slow_start: int = column("slow-start window, ns; 0 = off")
    slow_start_aggression: float = column("1 = linear", 1.0)
    slow_start_least: float = column("least share of its weight that a new host gets, 0..1", 0.1)
    newest: int = column("slow start: when the newest healthy host became healthy, ns", NONE)
    weighted_health: int = column("1: the health of a priority is a share of weight, not of hosts")
    locality_weighted: int = column("1: localities are chosen by weight")
    zone_aware: int = column("1: members in the caller's own locality are preferred")
    zone_least: int = column("zone aware: only with so many healthy members", 6)
    zone: int = column("zone aware: number of the caller's locality in its first set; NONE: not there", NONE)
    zone_callers: int = column("zone aware: hosts of the caller's service, in all localities")
    zones: int = column("zone aware: localities that have such hosts")
    panic_threshold: int = column("percent; fewer healthy members means panic; 0 = never")
    fail_on_panic: int = column("1: in panic no host is picked")
    hop: int = column("law of the caller's sidecar hop", NONE)
    upstream_hop: int = column("law of the callee's sidecar hop", NONE)
    connect: int = column("law of the connection set-up time")
    handshake: int = column("law of the TLS handshake that follows", NONE)
    connect_timeout: int = column("ns; 0 = off")
    idle_timeout: int = column("a connection without a stream closes after so long, ns; 0 = off")
    max_connection_duration: int = column("then a connection drains, ns; 0 = off")
    key: int = column("salt of this cluster; from the first instant on, its luck")
    streams: int = column("streams of one connection: 1 for HTTP/1.1")
    multiplexed: int = column("1: HTTP/2; a reset of a stream leaves the connection open")
    requests_per_connection: int = column("then the connection closes; 0 = no limit")
    preconnect: float = column("per_upstream_preconnect_ratio, 1..3", 1.0)
    max_connections: int = column("limit", UNLIMITED)
    max_host_connections: int = column("limit for one host", UNLIMITED)
    max_pending: int = column("limit of requests without a connection", UNLIMITED)
    max_requests: int = column("limit of requests on connections", UNLIMITED)
    max_retries: int = column("limit of retries outstanding", UNLIMITED)
    max_pools: int = column("limit of connection pools", UNLIMITED)
    budget_percent: float = column("retry budget, percent of active and pending; negative: none", -1.0)
    budget_least: int = column("retry budget: so many retries are always allowed", 3)
    cx_active: int = column("connections: connecting, ready, busy, draining")
    rq_pending: int = column("requests that wait for a connection")
    rq_active: int = column("requests on a connection")
    rq_retrying: int = column("retries outstanding, back-off included")
    pools_active: int = column("pools that have a connection or a request")
    watched: int = column("1: there is an outlier detector; 2: one with an error matcher")
    splits: int = column("1: the detector tells local origin errors from external ones")
    calls_ended: int = column("calls that have their outcome; mirrored ones are not counted")
    calls_failed: int = column("of those: with a 4xx or 5xx, or left by the client")
    calls_left: int = column("of those: left by the client")
    shadows_ended: int = column("mirrored calls that have their outcome")
    rq_uncharged: int = column("calls that ended without a code for the cluster: it was not asked")
    rq_4xx: int = column("upstream_rq_4xx: outcomes, local replies of the router included")
    rq_5xx: int = column("upstream_rq_5xx")
    rq_503: int = column("upstream_rq_503")
    rq_504: int = column("upstream_rq_504")
    retried_5xx: int = column("retry.upstream_rq_5xx: answers that were retried")
    cx_total: int = column("upstream_cx_total")
    cx_overflow: int = column("upstream_cx_overflow")
    cx_pool_overflow: int = column("upstream_cx_pool_overflow")
    cx_connect_fail: int = column("upstream_cx_connect_fail")
    cx_connect_timeout: int = column("upstream_cx_connect_timeout")
    cx_destroy: int = column("upstream_cx_destroy")
    cx_destroy_local: int = column("upstream_cx_destroy_local")
    cx_destroy_remote: int = column("upstream_cx_destroy_remote")
    cx_destroy_with_active_rq: int = column("upstream_cx_destroy_with_active_rq")
    cx_destroy_local_with_active_rq: int = column("upstream_cx_destroy_local_with_active_rq")
    cx_destroy_remote_with_active_rq: int = column("upstream_cx_destroy_remote_with_active_rq")
    cx_close_notify: int = column("upstream_cx_close_notify: GOAWAY, or connection: close")
    cx_max_requests: int = column("upstream_cx_max_requests")
    cx_max_duration_reached: int = column("upstream_cx_max_duration_reached")
    cx_idle_timeout: int = column("upstream_cx_idle_timeout")
    rq_total: int = column("upstream_rq_total: attempts on a connection")
    rq_pending_total: int = column("upstream_rq_pending_total")
    rq_pending_overflow: int = column("upstream_rq_pending_overflow")
    rq_pending_failure_eject: int = column("upstream_rq_pending_failure_eject")
    rq_active_overflow: int = column("upstream_rq_active_overflow")
    rq_cancelled: int = column("upstream_rq_cancelled: left while pending")
    rq_timeout: int = column("upstream_rq_timeout")
    rq_per_try_timeout: int = column("upstream_rq_per_try_timeout")
    rq_max_duration_reached: int = column("upstream_rq_max_duration_reached")
    rq_rx_reset: int = column("upstream_rq_rx_reset")
    rq_tx_reset: int = column("upstream_rq_tx_reset")
    rq_retry: int = column("upstream_rq_retry")
    rq_retry_success: int = column("upstream_rq_retry_success")
    rq_retry_overflow: int = column("upstream_rq_retry_overflow")
    rq_retry_limit_exceeded: int = column("upstream_rq_retry_limit_exceeded")
    none_healthy: int = column("upstream_cx_none_healthy")
    healthy_panic: int = column("lb_healthy_panic")
    health_changes: int = column("membership updates of health that reached the balancer")
    merge_window: int = column("update_merge_window, ns; 0 = changes reach the balancer at once")
    delays_injected: int = column("fault.delays_injected")
    aborts_injected: int = column("fault.aborts_injected")
    active_faults: int = column("calls that the fault filter holds or held")
    dropped: int = column("upstream_rq_drop_overload")


@record
class Member(Record):
    """One upstream host in one cluster: what the balancer and the detector know of it."""

    host: int = column("index of the host")
    cluster: int = column("index of the cluster")
    weight: int = column("load balancing weight", 1)
    priority: int = column("0 is asked first")
    locality: int = column("number of its locality within the priority")
    identity: int = column("salt of its host, the same for all callers: consistent hashing")
    rq_active: int = column("this proxy's requests on connections to it")
    cx_active: int = column("this proxy's connections to it")
    rq_success: int = column("answers without 5xx")
    rq_error: int = column("5xx, timeouts, resets and connect failures")
    rq_timeout: int = column("timeouts")
    removed: int = column("1: no longer in the cluster")
    ejected: int = column("1 while ejected by outlier detection")
    check_failed: int = column("1 while active health checks fail")
    degraded: int = column("1: only used when too few others are healthy")
    excluded: int = column("1: in no denominator: new, and not checked yet")
    healthy_since: int = column("last moment at which active checks made it healthy, or it joined, ns")
    consecutive_5xx: int = column("errors in a row")
    consecutive_gateway: int = column("502, 503, 504 in a row")
    consecutive_local: int = column("local origin failures in a row")
    external_total: int = column("this window: answers")
    external_failed: int = column("this window: of those, 5xx")
    local_total: int = column("this window: local outcomes")
    local_failed: int = column("this window: of those, failures")
    external_rate: float = column("success rate of the last window, percent; -1: too few requests", -1.0)
    local_rate: float = column("success rate of the last window, percent; -1: too few requests", -1.0)
    multiplier: int = column("ejections that lengthen the next one")
    ejections: int = column("number of ejections")
    ejected_at: int = column("start of the last ejection, ns", NONE)
    unejected_at: int = column("end of the last ejection, ns", NONE)
    jitter: int = column("added to the running ejection, ns")
    checks_passed: int = column("active checks passed in a row")
    checks_missed: int = column("active checks failed in a row")
    checks_begun: int = column("active checks begun in this run")
    checks_done: int = column("active checks that have their result")
    check_result: int = column("what will come of the check that is under way; see health.py")


@record
class HostSet(Record):
    """The members of one priority of a cluster, as its balancer sees them."""

    cluster: int = column("index of the cluster")
    priority: int = column("0 is asked first")
    first_member: int = column("its members stand together, locality by locality")
    members: int = column("number of members, removed ones included")
    first_locality: int = column("its localities stand together", NONE)
    localities: int = column("number of localities; 0: the balancer does not look at them")
    first_group: int = column("its groups: HEALTHY, DEGRADED, ... of groups.py", NONE)
    hosts: int = column("members that are not removed")
    counted: int = column("of those, not excluded")
    healthy: int = column("healthy members")
    degraded: int = column("degraded members")
    health: int = column("healthy share with overprovisioning, percent, at most 100")
    degraded_health: int = column("degraded share with overprovisioning, percent, at most 100")
    in_panic: int = column("1: all members are used, healthy or not")
    load: int = column("share of the picks for its healthy members, percent", 100)
    degraded_load: int = column("share of the picks for its degraded members, percent")
    zone_routing: int = column("NO_ZONES, OWN_ZONE or SPILLING of zones.py")
    zone_share: int = column("share of the picks that stay in the caller's zone, 1/100 percent")
    table_built: int = column("1: the table of its hosts is up to date")
    table_entries: int = column("entries of that table")
    table_hosts: int = column("hosts that it was made from")
    updated_at: int = column("last update that reached the balancer, ns; NONE: none yet", NONE)
    update_due: int = column("when the merged update reaches the balancer, ns; NONE: none waits", NONE)


@record
class Group(Record):
    """Members, or localities, among whom the balancer picks in turn or by deadline."""

    host_set: int = column("index of its host set")
    first: int = column("place of its first member in the lineup table")
    size: int = column("number of members, or of localities")
    weighted: int = column("1: earliest deadline first, because weights differ")
    first_turn: int = column("turn of worker 0; the other workers' follow")
    first_entry: int = column("first entry of its schedule, for worker 0")


@record
class Locality(Record):
    """The members of one locality of a host set."""

    weight: int = column("load balancing weight")
    callers: int = column("hosts of the caller's service that are in it")
    counted: int = column("members that are neither removed nor excluded")
    healthy_weight: float = column("weight by the share of its members that are healthy")
    degraded_weight: float = column("weight by the share of its members that are degraded")
    spare: int = column("capacity left for other zones, summed up to this one, 1/100 percent")


@record
class Entry(Record):
    """One member or locality in a schedule, or among those that a table of hashes is made from."""

    deadline: float = column("schedule: when it is due; maglev: when it is due for its next place")
    order: int = column("schedule: earlier entries come first; maglev: place that it asks for; a shuffle")
    who: int = column("index of the member, or number of the locality")
    step: int = column("maglev: distance of the places that it asks for")
    weight: float = column("its weight; of all that share a table the sum is 1")


@record
class Turn(Record):
    """The position of one worker's balancer in one group."""

    turn: int = column("round robin: number of picks so far, from a random start")
    now: float = column("earliest deadline first: deadline of the last pick")
    order: int = column("earliest deadline first: entries ever made")


@record
class Detector(Record):
    """Outlier detection of one cluster; `interval` 0 means that there is none."""

    interval: int = column("time between sweeps, ns; 0 = no detector")
    base_ejection_time: int = column("ns")
    max_ejection_time: int = column("ns")
    max_ejection_time_jitter: int = column("ns, whole ms")
    max_ejection_percent: int = column("of the cluster's members", 10)
    always_eject_one_host: int = column("1: the first ejection is allowed whatever the percentage")
    consecutive_5xx: int = column("errors in a row that eject; 0 = never", 5)
    enforcing_consecutive_5xx: int = column("percent", 100)
    consecutive_gateway_failure: int = column("502, 503, 504 in a row that eject; 0 = never", 5)
    enforcing_consecutive_gateway_failure: int = column("percent")
    split_external_local_origin_errors: int = column("1: local origin errors are counted apart")
    consecutive_local_origin_failure: int = column("local origin failures in a row that eject", 5)
    enforcing_consecutive_local_origin_failure: int = column("percent", 100)
    enforcing_success_rate: int = column("percent", 100)
    enforcing_local_origin_success_rate: int = column("percent", 100)
    success_rate_minimum_hosts: int = column("hosts with enough requests", 5)
    success_rate_request_volume: int = column("requests that are enough", 100)
    success_rate_stdev_factor: int = column("thousandths", 1900)
    failure_percentage_threshold: int = column("percent", 85)
    enforcing_failure_percentage: int = column("percent")
    enforcing_failure_percentage_local_origin: int = column("percent")
    failure_percentage_minimum_hosts: int = column("hosts with enough requests", 5)
    failure_percentage_request_volume: int = column("requests that are enough", 50)
    successful_active_health_check_uneject_host: int = column("1: a passed check ends an ejection", 1)
    first_error_code: int = column("error matcher: index of its first status code")
    error_codes: int = column("error matcher: number of status codes; only these are failures then")
    active: int = column("members ejected now")
    draws: int = column("random numbers drawn")
    external_average: float = column("mean success rate of the last window, percent; -1: not computed", -1.0)
    external_threshold: float = column("below it a host is an outlier, percent; -1: not computed", -1.0)
    local_average: float = column("mean success rate of the last window, percent; -1: not computed", -1.0)
    local_threshold: float = column("below it a host is an outlier, percent; -1: not computed", -1.0)
    overflow: int = column("ejections_overflow")
    enforced_total: int = column("ejections_enforced_total")
    total: int = column("ejections_total (deprecated)")
    detected_5xx: int = column("ejections_detected_consecutive_5xx")
    detected_gateway: int = column("ejections_detected_consecutive_gateway_failure")
    detected_local: int = column("ejections_detected_consecutive_local_origin_failure")
    detected_success_rate: int = column("ejections_detected_success_rate")
    detected_local_success_rate: int = column("ejections_detected_local_origin_success_rate")
    detected_failure_percentage: int = column("ejections_detected_failure_percentage")
    detected_local_failure_percentage: int = column("ejections_detected_local_origin_failure_percentage")
    enforced_5xx: int = column("ejections_enforced_consecutive_5xx")
    enforced_gateway: int = column("ejections_enforced_consecutive_gateway_failure")
    enforced_local: int = column("ejections_enforced_consecutive_local_origin_failure")
    enforced_success_rate: int = column("ejections_enforced_success_rate")
    enforced_local_success_rate: int = column("ejections_enforced_local_origin_success_rate")
    enforced_failure_percentage: int = column("ejections_enforced_failure_percentage")
    enforced_local_failure_percentage: int = column("ejections_enforced_local_origin_failure_percentage")


@record
class Checker(Record):
    """Active health checking of one cluster; `interval` 0 means that there is none."""

    interval: int = column("ns; 0 = no active checks")
    timeout: int = column("ns")
    initial_jitter: int = column("ns")
    interval_jitter: int = column("ns")
    interval_jitter_percent: int = column("percent of the interval")
    unhealthy_threshold: int = column("timeouts and network errors in a row that make a host unhealthy")
    healthy_threshold: int = column("passes in a row that make it healthy again")
    unhealthy_interval: int = column("ns; 0 = interval")
    healthy_edge_interval: int = column("ns; 0 = interval")
    unhealthy_edge_interval: int = column("ns; 0 = unhealthy_interval")
    no_traffic_interval: int = column("interval while the cluster never had traffic, ns", 60_000_000_000)
    response: int = column("law of the time a host takes to answer a check", NONE)
    attempt: int = column("health_check.attempt")
    success: int = column("health_check.success")
    failure: int = column("health_check.failure")
    network_failure: int = column("health_check.network_failure")


@record
class Pool(Record):
    """Connections of one worker of a caller's proxy to one upstream host, and the requests that wait."""

    cluster: int = column("index of the cluster")
    member: int = column("index of the member")
    connections: int = column("connections of this pool")
    ready: int = column("connection that became ready last, head of a stack", NONE)
    connecting: int = column("connection that is being set up, head of a list", NONE)
    connecting_capacity: int = column("streams that connections being set up will have")
    active: int = column("streams in use")
    epoch: int = column("connections of an earlier epoch are drained")
    waiting: int = column("attempts in the pending queue")
    head: int = column("first of them", NONE)
    tail: int = column("last of them", NONE)
    serving: int = column("1: its SERVE event is on the heap")
    failed: int = column("attempts whose connection could not be made: next one to be told", NONE)
    failure: int = column("why: a reset of resets.py")
    exists: int = column("1: counts as a connection pool")


@record
class Connection(Record):
    """One upstream connection."""

    pool: int = column("index of the pool")
    state: int = column("CONNECTING, OPEN, DRAINING or CLOSED of pool.py")
    active: int = column("streams in use")
    left: int = column("requests it may still take")
    is_ready: int = column("1 while in the pool's ready stack")
    epoch: int = column("epoch of its pool when it was begun")
    serial: int = column("its number in the cluster")
    knocks: int = column("1: its host did not answer and is asked again when set-up was to end")
    since: int = column("when its set-up ends or has ended, ns")
    idle_since: int = column("when its last stream ended, ns; during set-up, when that began")
    idle_due: int = column("when its idle timer is looked at, ns; NONE: it has none", NONE)
    fails: int = column("reset of resets.py that ends its set-up, or its streams; 0: none")
    cursor: int = column("next attempt that is looked at when all its streams are reset")
    next: int = column("link of the ready stack, the connecting list, or the free list", NONE)
    prev: int = column("link of the ready stack or the connecting list", NONE)


@record
class TimerQueue(Record):
    """Running timers of one duration, oldest first: one armed event serves them all."""

    kind: int = column("ROUTE_TIMEOUT or PER_TRY_TIMEOUT of timers.py")
    duration: int = column("ns")
    armed: int = column("1: its event is on the heap")
    head: int = column("first record in the queue", NONE)
    tail: int = column("last record in the queue", NONE)


@record
class Call(Record):
    """One call of a service, or of the client, from its start to its outcome; one attempt or more."""

    parent: int = column("attempt on whose behalf it is made; or CLIENT or SHADOW of proxy.py")
    source: int = column("client's call: the source it came from")
    route: int = column("index of the route")
    cluster: int = column("index of the cluster")
    worker: int = column("worker thread of the caller's proxy")
    first_step: int = column("first step of the endpoint that is called")
    optional: int = column("1: a failure does not fail the caller")
    key: int = column("luck of this call")
    started: int = column("ns")
    attempt: int = column("attempt in flight, the newest one", NONE)
    attempts: int = column("attempts made")
    tried: int = column("members tried: head of a list", NONE)
    retried: int = column("retries decided on, those refused for overflow included")
    sent: int = column("1: an attempt got as far as a connection")
    retrying: int = column("1: holds one of the cluster's retry places")
    forwarded: int = column("1: its caller has a 1xx answer already")
    soiled: int = column(
        "1: some of retried, sent, forwarded, tried, flags, faulted is not in its first state"
    )
    scheduled: int = column("1: an event of this call is on the heap")
    ended: int = column("1: has its outcome, and is kept only until its event")
    flags: int = column("response flags so far: DI")
    faulted: int = column("1: counts as an active fault")
    timer: int = column("timer queue in which its route timer runs", NONE)
    deadline: int = column("of its route timeout, ns")
    timer_next: int = column("link of the timer queue", NONE)
    timer_prev: int = column("link of the timer queue", NONE)
    next: int = column("link of the free list", NONE)


@record
class Attempt(Record):
    """One try of a call: first at the caller's proxy, then at the host that serves it."""

    call: int = column("its call; NONE when the caller gave up", NONE)
    member: int = column("member that was picked")
    pool: int = column("pool that it asked")
    connection: int = column("connection it is bound to", NONE)
    host: int = column("host that serves it")
    key: int = column("luck of this attempt")
    way_back: int = column("time the answer takes through both proxies, ns")
    begun: int = column("when it got a worker, ns")
    step: int = column("index of the step that comes next")
    awaiting: int = column("calls it waits for")
    code: int = column("status of the answer, negative: a reset of resets.py; 0 while there is none")
    flags: int = column("response flags of the failure that caused it")
    origin: int = column("service at which that failure began", NONE)
    deadline: int = column("of its per-try timeout, ns")
    timed: int = column("1: its per-try timer is running")
    stream_end: int = column("when the maximum stream duration is over, ns")
    hedged: int = column("TIMED_OUT or HEDGED of outcome.py once its per-try timeout is over and it goes on")
    older: int = column("attempt of the same call that is still in flight (hedging)", NONE)
    timer_next: int = column("link of the timer queue", NONE)
    timer_prev: int = column("link of the timer queue", NONE)
    next: int = column("link of the pool's or the host's queue, or of the free list", NONE)
    prev: int = column("link of the pool's queue", NONE)


@record
class Tried(Record):
    """A member that a call has tried already."""

    member: int = column("index of the member")
    next: int = column("link of the call's list, or of the free list", NONE)


# ---------------------------------------------------------------- what is recorded


@record
class Row(Record):
    """The outcome of one client request."""

    arrived: int = column("ns")
    latency: int = column("ns, from arrival to outcome")
    endpoint: int = column("endpoint that was asked for")
    code: int = column("HTTP status; 0 when the client left")
    flags: int = column("response flags of the failure at its origin, bit set of flags.py")
    origin: int = column("service at which the failure began; NONE for a success", NONE)
    attempts: int = column("attempts of the client's own call")


@record
class Change(Record):
    """A state change that people ask about."""

    at: int = column("ns")
    kind: int = column("one of kinds.py")
    who: int = column("index: a member for an ejection, a fault for a fault")
    why: int = column("ejection, or one that was not made: detector of ejection.py that fired; else 0")


@record
class Gauge(Record):
    """One service at one moment: counters run from the start, gauges are of now."""

    calls_ended: int = column("calls to it that have their outcome")
    calls_failed: int = column("of those, failed")
    attempts: int = column("attempts that got a connection")
    refused_by_pool: int = column("requests that its callers' proxies refused (UO)")
    refused_by_host: int = column("requests that its hosts refused (queue full)")
    wasted: int = column("answers that nobody waited for")
    wasted_time: int = column("worker time spent on them, ns")
    busy: int = column("workers in use")
    waiting: int = column("requests in its hosts' queues")
    pending: int = column("requests in its callers' pools without a connection")
    active: int = column("requests on connections to it")
    connections: int = column("connections to it")
    ejected: int = column("members ejected, over all callers' detectors")
