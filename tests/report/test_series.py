"""Series are cut to the measured windows, averaged to few enough points, and keep their gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from resilim.report.series import cut, cut_to, numbers
from resilim.report.view import View

from .results import small


def test_the_warm_up_is_cut_and_the_fault_begins_at_zero() -> None:
    result = small()
    cuts = cut(View.of(result), 1)
    assert cuts.group == 1
    assert cuts.times()[0] == pytest.approx(-59.5)
    assert cuts.times()[-1] == pytest.approx(209.5)
    bins = result.timelines["with"].bins
    assert cuts.of(bins)[0] == 31.0
    assert len(cuts.of(bins)) == len(cuts.times()) == 270


def test_points_are_means_of_the_bins_that_have_a_value() -> None:
    cuts = cut_to(View.of(small()), 40)
    assert cuts.group == 7
    values = np.arange(300.0)
    values[30] = math.nan
    values[37:44] = math.nan
    points = cuts.of(values)
    assert len(points) == len(cuts.times()) == 39
    assert points[0] == pytest.approx(np.arange(31, 37).mean())
    assert math.isnan(points[1])


def test_more_series_mean_fewer_points() -> None:
    view = View.of(small())
    assert cut(view, 300).group > cut(view, 10).group


def test_numbers_are_as_short_as_a_picture_needs() -> None:
    assert numbers([0.123456, 12.0, math.nan, 0.0]) == [0.123, 12, None, 0]
