"""Keyed hashes: what stands for a person, a value or an event past the PII boundary."""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from schemas.events import FeedbackEvent


class KeyedHasher:
    """HMAC-SHA-256 under the secret `hash_key`. Without the key nobody can test a guess against a hash."""

    def __init__(self, key: str) -> None:
        self._keyed = hmac.new(key.encode(), digestmod=hashlib.sha256)

    def person(self, tenant: str, user: str) -> str:
        """32 hex digits for a person, the same in all events of a tenant, unrelated between tenants."""
        return self._hash("person", tenant, user)[:32]

    def value(self, scope: str, kind: str, value: str) -> str:
        """8 hex digits for a redacted value, the same within a scope (one interaction of a tenant) only.

        The first is a letter (`placeholders` says why): 30 bits are left, enough to tell the values of an interaction.
        """
        return _led_by_letter(self._hash("value", scope, kind, value.casefold())[:8])

    def tenant_value(self, tenant: str, kind: str, value: str) -> str:
        """Two times 8 hex digits for a redacted value, each led by a letter, the same throughout a tenant."""
        digits = self._hash("tenant value", tenant, kind, value.casefold())
        return f"{_led_by_letter(digits[:8])}.{_led_by_letter(digits[8:16])}"

    def surrogate(self, scope: str, kind: str, value: str) -> bytes:
        """32 bytes that choose a stand-in for a value, the same within a scope only."""
        return bytes.fromhex(self._hash("surrogate", scope, kind, value))

    def event(self, tenant: str, event_id: str) -> str:
        """32 hex digits for an event id, for the clear index of a dead letter."""
        return self._hash("event", tenant, event_id)[:32]

    def body(self, event: FeedbackEvent) -> str:
        """32 hex digits for what an event says, so that one id with two bodies is found out."""
        said = msgspec.structs.replace(event, tenant="", source="")
        return self._hash("body", msgspec.msgpack.encode(said).hex())[:32]

    def _hash(self, *parts: str) -> str:
        keyed = self._keyed.copy()
        keyed.update("\x00".join(parts).encode("utf-8", "surrogatepass"))
        return keyed.hexdigest()


def _led_by_letter(digits: str) -> str:
    return "abcdef"[int(digits[0], 16) % 6] + digits[1:]
