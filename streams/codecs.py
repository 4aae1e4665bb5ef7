"""The codec that the settings ask for."""

from __future__ import annotations

import logging
from typing import Final

from schemas.codec import Codec
from streams.metrics import Health
from streams.settings import Settings
from streams.waiting import await_answer

LOGGER: Final = logging.getLogger("millrace.codecs")


def codec_of(settings: Settings, health: Health | None = None) -> Codec:
    """With a registry its schemas are registered and checked first, which waits for one that is away.

    Raises `IncompatibleSchemaError` where it refuses a schema.
    """
    if not settings.schema_registry_url:
        return Codec()
    from streams.registry import RegistryClient  # takes some 0.4 s to load

    client = RegistryClient(settings.schema_registry_url, settings.topic_prefix)
    await_answer(client.register, "the schema registry", health, LOGGER)
    return Codec(client)
