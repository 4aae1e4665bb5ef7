"""The schema registry's client against a real one."""

from __future__ import annotations

import json
import secrets
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from schemas import avro
from schemas.codec import Codec, newest_schemas
from schemas.errors import IncompatibleSchemaError, UnknownSchemaError
from schemas.events import FeedbackEvent, Score
from streams.errors import RegistryUnavailable
from streams.registry import RegistryClient
from tests.servers import Servers

EVENT = FeedbackEvent(event_id="e", interaction_id="i", scores=(Score("thumbs", value=1.0),))


@pytest.fixture
def client(servers: Servers) -> Iterator[RegistryClient]:
    with closing(RegistryClient(servers.registry.url, f"t{secrets.token_hex(4)}")) as client:
        yield client


def test_every_schema_is_registered_once_and_found_again(client: RegistryClient) -> None:
    ids = client.register()
    assert ids.keys() == newest_schemas().keys()
    assert client.register() == ids
    for subject, schema_id in ids.items():
        assert json.loads(client.text_of(schema_id)) == json.loads(avro.versions(subject)[-1].text)


def test_roles_that_register_at_the_same_moment_all_get_the_same_ids(servers: Servers) -> None:
    prefix = f"t{secrets.token_hex(4)}"
    together = threading.Barrier(4)

    def register(_: int) -> dict[str, int]:
        with closing(RegistryClient(servers.registry.url, prefix)) as client:
            together.wait()
            return client.register()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(register, range(4)))
    assert all(ids == found[0] for ids in found)


def test_an_event_framed_with_the_registry_s_id_is_read_by_another_client(
    client: RegistryClient, servers: Servers
) -> None:
    value = Codec(client).encode(EVENT)
    assert value[0] == 0
    with closing(RegistryClient(servers.registry.url)) as other:
        assert Codec(other).decode(value, FeedbackEvent) == EVENT


def test_an_unknown_id_is_unknown_and_no_outage(client: RegistryClient) -> None:
    with pytest.raises(UnknownSchemaError):
        client.text_of(987_654)


def test_an_incompatible_schema_is_refused_with_its_field_named(
    client: RegistryClient, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.register()
    changed = json.loads(newest_schemas()["feedback_event"])
    changed["fields"].append({"name": "mood", "type": "string"})
    monkeypatch.setattr("streams.registry.newest_schemas", lambda: {"feedback_event": json.dumps(changed)})
    with pytest.raises(IncompatibleSchemaError, match="mood"):
        client.register()


def test_schemas_are_held_to_backward_transitive(client: RegistryClient, servers: Servers) -> None:
    client.register()
    with urllib.request.urlopen(f"{servers.registry.url}/config/{client.name_of('outcome')}") as answer:
        assert json.load(answer)["compatibilityLevel"] == "BACKWARD_TRANSITIVE"


def test_a_registry_that_is_away_is_unavailable_and_cached_schemas_go_on(
    client: RegistryClient, servers: Servers
) -> None:
    codec = Codec(client)
    value = codec.encode(EVENT)
    assert codec.decode(value, FeedbackEvent) == EVENT
    servers.registry.stop()
    try:
        assert codec.decode(value, FeedbackEvent) == EVENT
        assert codec.encode(EVENT) == value
        with pytest.raises(RegistryUnavailable):
            codec.decode(b"\x00\x00\x00\x07\x07rest", FeedbackEvent)
    finally:
        servers.registry.start()
