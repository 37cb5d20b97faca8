"""Which hosts of a service a caller sees, and in which order."""

from __future__ import annotations

from typing import Any

from resilim.plan.seats import seats
from resilim.spec.model import System
from resilim.spec.upstream import upstream

LOCALITIES = {"eu/a": "1", "eu/b": "2", "us/a": "1", "ap/a": "1"}


def seen(caller: str, setting: dict[str, Any] | None = None, watched: bool = True) -> list[dict[str, int]]:
    """By priority: the localities that a caller sees, with their weights."""
    policy: dict[str, Any] = {"outlierDetection": {}} if watched else {}
    if setting is not None:
        policy["loadBalancer"] = {"localityLbSetting": setting}
    service = {"hosts": "5", "localities": LOCALITIES, "workers": "1", "queue": "0",
               "endpoints": {"a": {"steps": [{"work": "1ms"}]}}}  # fmt: skip
    system = System.model_validate(
        {"services": {"cart": service}, "trafficPolicies": {"cart": policy} if policy else {}}
    )
    return [
        {zone.seats[0].locality: zone.weight for zone in zones}
        for zones in seats(upstream(system, "cart"), caller)
    ]


ALL = {"eu/a": 1, "eu/b": 2, "us/a": 1, "ap/a": 1}


def test_near_hosts_come_first_when_there_is_outlier_detection() -> None:
    assert seen("eu/a") == [{"eu/a": 1}, {"eu/b": 2}, {"us/a": 1, "ap/a": 1}]
    assert seen("eu/a", watched=False) == [ALL]
    assert seen("eu/a", {"enabled": "false"}) == [ALL]
    assert seen("") == [ALL]


def test_priorities_have_no_gaps() -> None:
    assert seen("eu/c") == [{"eu/a": 1, "eu/b": 2}, {"us/a": 1, "ap/a": 1}]
    assert seen("sa/a") == [ALL]


def test_a_region_takes_over() -> None:
    failover = {"failover": [{"from": "eu", "to": "ap"}]}
    assert seen("eu/a", failover) == [{"eu/a": 1}, {"eu/b": 2}, {"ap/a": 1}, {"us/a": 1}]
    assert seen("us/a", failover) == [{"us/a": 1}, {"eu/a": 1, "eu/b": 2, "ap/a": 1}]


def test_shares_are_those_of_the_first_entry_that_holds_the_caller() -> None:
    setting = {
        "distribute": [
            {"from": "eu/a/*", "to": {"eu/a": "80", "us": "20"}},
            {"from": "eu/*", "to": {"eu/*": "70", "ap/a": "30"}},
        ]
    }
    assert seen("eu/a", setting) == [{"eu/a": 80, "us/a": 20}]
    assert seen("eu/b", setting) == [{"eu/a": 24, "eu/b": 47, "ap/a": 30}]
    assert seen("us/a", setting) == [ALL]


def test_no_hosts_are_one_empty_priority() -> None:
    service = {"hosts": "1", "workers": "1", "queue": "0", "endpoints": {"a": {"steps": [{"work": "1ms"}]}}}
    system = System.model_validate(
        {"services": {"cart": service}, "subsets": {"cart": {"none": {"version": "v9"}}}}
    )
    assert seats(upstream(system, "cart", "none"), "eu/a") == ((),)
