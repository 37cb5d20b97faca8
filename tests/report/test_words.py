"""Names that anyone may have written, and the words of a judgement."""

from __future__ import annotations

import pytest

from resilim.report.words import clip, judgement, plain
from resilim.study.result import Estimate, Metric

LATENCY = Metric("latency_p99", "p99", "seconds", "lower", "")
SUCCESS = Metric("success_ratio", "success", "share", "higher", "")
CALLS = Metric("calls", "calls", "count", "", "")


def test_control_and_direction_characters_go() -> None:
    assert plain("a\x1b[31mb\x07\u202ec\u2028d\ne\t f") == "a[31mbc d e f"


def test_the_end_of_a_long_name_stays() -> None:
    short = clip("order-service-in-a-very-long-namespace-v2-canary", 20)
    assert len(short) == 20
    assert short.endswith("canary")
    assert clip("order-service", 20) == "order-service"


@pytest.mark.parametrize(
    ("figure", "metric", "word"),
    [
        (Estimate(-0.2, -0.3, -0.1), LATENCY, "better"),
        (Estimate(0.2, 0.1, 0.3), LATENCY, "worse"),
        (Estimate(0.2, 0.1, 0.3), SUCCESS, "better"),
        (Estimate(0.2, -0.1, 0.3), SUCCESS, "not clear"),
        (Estimate(0.2, 0.1, 0.3), CALLS, "differs"),
        (Estimate(0.2, None, None), SUCCESS, ""),
        (None, SUCCESS, ""),
    ],
)
def test_the_interval_judges(figure: Estimate | None, metric: Metric, word: str) -> None:
    assert judgement(figure, metric) == word
