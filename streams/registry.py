"""The schema registry, through confluent-kafka's client: registers our schemas, reads other people's."""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.codec import newest_schemas
from schemas.errors import IncompatibleSchemaError, UnknownSchemaError
from streams.errors import RegistryUnavailable

COMPATIBILITY: Final = "BACKWARD_TRANSITIVE"
_CONFLICT: Final = 409
_RACES: Final = 3
_RACE_S: Final = 0.3
_NOT_FOUND: Final = frozenset({404, 40401, 40403})


class RegistryClient:
    """`schemas.codec.SchemaIds` on a registry with Confluent's API. Ids and texts are cached for good.

    Subjects are `{topic_prefix}.{record}-value`, which several topics share.
    """

    def __init__(self, url: str, prefix: str = "feedback") -> None:
        self._client = SchemaRegistryClient({"url": url, "timeout": 10})
        self._prefix = prefix
        self._ids: dict[str, int] = {}
        self._texts: dict[int, str] = {}

    def register(self) -> dict[str, int]:
        """Register the newest schema of every record and hold the registry to compatibility; subject → id.

        Raises `IncompatibleSchemaError` with the registry's reason, `RegistryUnavailable`.
        """
        for subject, text in newest_schemas().items():
            name = self.name_of(subject)
            try:
                self._ids[subject] = self._registered(name, Schema(text, "AVRO"))
            except SchemaRegistryError as exc:
                if exc.http_status_code in (_CONFLICT, 422):
                    raise IncompatibleSchemaError(f"{name}: {exc.error_message}") from exc
                raise RegistryUnavailable(f"the registry answered {exc.http_status_code}") from exc
            except Exception as exc:
                raise RegistryUnavailable(type(exc).__name__) from exc
        return dict(self._ids)

    def _registered(self, name: str, schema: Schema) -> int:
        """Register a schema under BACKWARD_TRANSITIVE. A 409 may also mean that another role did so in this moment."""
        for _ in range(_RACES):
            try:
                return self._register(name, schema)
            except SchemaRegistryError as exc:
                if exc.http_status_code != _CONFLICT:
                    raise
            time.sleep(_RACE_S)
        return self._register(name, schema)

    def _register(self, name: str, schema: Schema) -> int:
        self._client.set_compatibility(name, level=COMPATIBILITY)
        return int(self._client.register_schema(name, schema))

    def id_of(self, subject: str) -> int:
        """See `SchemaIds.id_of`. Registers what is not registered yet."""
        if subject not in self._ids:
            self.register()
        return self._ids[subject]

    def text_of(self, schema_id: int) -> str:
        """See `SchemaIds.text_of`. Raises `RegistryUnavailable` when there is no answer."""
        if schema_id not in self._texts:
            try:
                self._texts[schema_id] = str(self._client.get_schema(schema_id).schema_str)
            except SchemaRegistryError as exc:
                if exc.http_status_code == 404 or exc.error_code in _NOT_FOUND:
                    raise UnknownSchemaError(f"schema id {schema_id}") from exc
                raise RegistryUnavailable(f"the registry answered {exc.http_status_code}") from exc
            except Exception as exc:
                raise RegistryUnavailable(type(exc).__name__) from exc
        return self._texts[schema_id]

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def name_of(self, subject: str) -> str:
        """The registry's subject for one of ours."""
        return f"{self._prefix}.{subject}-value"
