from __future__ import annotations

import pytest

from streams.collector.answers import overall


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ([202], 202),
        ([202, 202], 202),
        ([202, 400], 207),
        ([202, 413, 403], 207),
        ([400], 400),
        ([413, 413], 413),
        ([403, 403], 403),
        ([400, 413], 400),
        ([403, 413], 400),
        ([503], 503),
        ([503, 503], 503),
        ([202, 503], 503),
        ([400, 503], 503),
        ([202, 400, 503], 503),
    ],
)
def test_the_http_status_is_2xx_only_if_no_valid_event_is_left_unacknowledged(statuses: list[int], status: int) -> None:
    assert overall(statuses) == status
