"""The keyed hashes that decide who is held out."""

from __future__ import annotations

import hashlib
import hmac

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer_trigger.datasets.keyed import define, keyed, subkey


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.sampled_from(["holdout", "choice"])
)
@settings(max_examples=30, deadline=None)
def test_duckdb_and_python_compute_the_same_hmac(name: str, domain: str) -> None:
    secret = subkey("k" * 32)
    with duckdb.connect() as connection:
        define(connection, secret)
        found = connection.execute("SELECT keyed(?, ?)", [domain, name]).fetchall()[0][0]
    expected = hmac.new(secret, f"{domain}:{name}".encode(), hashlib.sha256).hexdigest()
    assert found == keyed(secret, domain, name) == expected


def test_points_are_even_and_another_key_or_domain_gives_others() -> None:
    points = {}
    for key in ("k" * 32, "l" * 32):
        with duckdb.connect() as connection:
            define(connection, subkey(key))
            for domain in ("holdout", "validation"):
                query = f"SELECT point(keyed('{domain}', 't/' || i)) FROM range(5000) r(i) ORDER BY i"
                points[key, domain] = [row[0] for row in connection.execute(query).fetchall()]
    for found in points.values():
        assert all(0 <= point < 1 for point in found)
        for tenth in range(10):
            assert 400 < sum(tenth / 10 <= point < (tenth + 1) / 10 for point in found) < 600
    assert len({tuple(found) for found in points.values()}) == 4
    both = sum(one < 0.1 and other < 0.1 for one, other in zip(*list(points.values())[:2], strict=True))
    assert both < 100  # 50 if one choice says nothing of the other
