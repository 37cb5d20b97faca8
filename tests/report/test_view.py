"""Which services pictures show, and from when time counts."""

from __future__ import annotations

from dataclasses import replace

from resilim.report.view import MOST, View
from resilim.study.result import Window

from .results import SERVICES, of_size, small


def test_few_services_are_all_shown_with_the_entry_first() -> None:
    view = View.of(replace(small(), entry="cart"))
    assert [SERVICES[i] for i in view.shown][:3] == ["cart", "ingress", "frontend"]
    assert len(view.shown) == len(SERVICES)


def test_of_many_services_those_that_changed_most_are_shown() -> None:
    view = View.of(of_size(100))
    assert len(view.shown) == MOST
    assert view.shown[0] == 0  # the entry
    assert {3, 4, 5} <= set(view.shown)  # the struck one and its neighbours
    assert 99 not in view.shown


def test_without_a_fault_window_time_counts_from_the_start() -> None:
    view = View.of(replace(small(), windows=(Window("before", 30.0, 300.0),)))
    assert view.zero == 0.0
    assert view.time_title == "seconds from the start of the simulation"
    assert view.window.name == "before"


def test_a_result_without_timelines_has_a_view() -> None:
    assert len(View.of(replace(of_size(100), timelines={})).shown) == MOST
