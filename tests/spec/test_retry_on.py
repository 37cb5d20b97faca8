"""What Envoy reads in the lists that say when to try again."""

from __future__ import annotations

import pytest

from resilim.plane.retry import TOKENS
from resilim.spec.retry_on import (
    GRPC_STATUS,
    HTTP_TOKENS,
    RETRIABLE_STATUS_CODES,
    conditions,
    parse_retry_grpc_on,
    parse_retry_on,
    parse_status_codes,
    status_codes,
)


@pytest.mark.parametrize(
    ("text", "tokens", "all_valid"),
    [
        ("5xx,gateway-error,connect-failure", ("5xx", "gateway-error", "connect-failure"), True),
        (" 5xx , reset ", ("5xx", "reset"), True),
        ("5 xx,reset", ("reset",), False),
        ("reset,,", ("reset",), True),
        ("retriable-headers,cancelled", ("retriable-headers",), False),
        ("", (), True),
    ],
)
def test_conditions_are_trimmed_and_unknown_ones_skipped(
    text: str, tokens: tuple[str, ...], all_valid: bool
) -> None:
    assert parse_retry_on(text) == (tokens, all_valid)


@pytest.mark.parametrize(
    ("text", "tokens", "all_valid"),
    [
        ("cancelled,unavailable", ("cancelled", "unavailable"), True),
        ("  cancelled ,  resource- exhausted", ("cancelled",), False),
        ("5xx", (), False),
    ],
)
def test_grpc_conditions(text: str, tokens: tuple[str, ...], all_valid: bool) -> None:
    assert parse_retry_grpc_on(text) == (tokens, all_valid)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("200", (200,)),
        ("418,200", (418, 200)),
        (" 503 ,", (503,)),
        ("418 junk,200", (200,)),
        ("418 junk,xxx200", ()),
        ("-5,2e2,+404", (404,)),
    ],
)
def test_status_codes_are_whole_numbers_only(text: str, codes: tuple[int, ...]) -> None:
    assert parse_status_codes(text) == codes


def test_istio_list_is_conditions_and_status_codes() -> None:
    text = "connect-failure,503,retriable-status-codes,cancelled,409"
    assert conditions(text) == ("connect-failure", "retriable-status-codes", "cancelled")
    assert status_codes(text) == (503, 409)


def test_everything_that_may_be_named_is_known_to_the_proxy() -> None:
    assert set(TOKENS) == {*HTTP_TOKENS, *GRPC_STATUS} - {RETRIABLE_STATUS_CODES}
