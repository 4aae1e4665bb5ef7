"""Events, records and requests of every kind, each field that a person may have written with a mark in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from schemas.codec import Codec
from schemas.events import FeedbackEvent, Score
from schemas.intake import event_to_json
from schemas.reasons import Reason
from tests.events import interaction
from tests.marked import Marks

Header = tuple[str, str | bytes | None]


class Produced(NamedTuple):
    """A record of a raw topic (logical name); `reason` is that of its dead letter, None where it is an event."""

    topic: str
    value: bytes
    reason: Reason | None
    key: bytes | None = None
    headers: list[Header] | None = None


class Refused(NamedTuple):
    """A body that the collector must refuse, and with which status."""

    status: int
    body: bytes


EVENT_IDS = frozenset(
    {"whole", "edited", "approved", "withdrawn", "gone", "late", "score-of-long", "keyed", "tenanted"}
)
"""Those of all events that come to the lake."""


def accepted(marks: Marks, longest_text: int) -> list[dict[str, Any]]:
    """What the collector takes: an interaction with everything in it, each other kind, one that cannot be redacted
    with a score of its own, and an id that comes twice with different bodies."""
    return [
        {"event_id": "whole", "interaction_id": "chat-1", "source": "web", "interaction": _chat(marks), "scores": [
            {"method": "thumbs", "value": "up"},
            {"method": "comment", "text": f"write to {marks.email('comment')}, card {marks.card('comment card')}"},
            {"method": "demonstration", "text": f"Say: call {marks.phone('demonstration')} at once."},
            {"method": "correction", "text": f"Your IBAN is {marks.iban('correction')}, is it not?"},
        ]},
        {"event_id": "edited", "interaction_id": "chat-1", "review": {
            "decision": "edit", "reviewer": marks.email("reviewer"),
            "output": f"It went to {marks.email('review output')}.",
            "comment": f"asked {marks.phone('review comment')}",
        }},
        {"event_id": "approved", "interaction_id": "chat-2", "review": {
            "decision": "approve", "reviewer": marks.ssn("other reviewer"), "comment": marks.card("only a card"),
        }},
        {"event_id": "withdrawn", "consent": {"granted": False, "user": marks.email("consent user")}},
        {"event_id": "gone", "erasure": {"user": marks.email("erasure user")}},
        {"event_id": "late", "interaction_id": "chat-2", "score": {
            "method": "comment", "text": f"My key is {marks.api_key('late comment')}, from {marks.ip('late ip')}",
        }},
        {"event_id": "long", "interaction_id": "chat-3", "interaction": {
            "instruction": f"Card {marks.card('long text')}. ".ljust(longest_text + 1, "x"),
            "output": f"Thanks, {marks.email('answer to a long text')}",
        }},
        {"event_id": "score-of-long", "interaction_id": "chat-3", "score": {
            "method": "correction", "text": f"Better: {marks.email('score of long')}",
        }},
        {"event_id": "whole", "interaction_id": "chat-1", "score": {
            "method": "comment", "text": f"the same id, other words: {marks.email('id conflict')}",
        }},
    ]  # fmt: skip


def _chat(marks: Marks) -> dict[str, Any]:
    arguments = {
        "to": [marks.email("argument")],
        "nested": {"deep": [{"card": marks.card("nested argument")}, None, True]},
        "number": marks.card_number("argument as a number"),
        marks.email("argument key"): "as a key",
        "json in json": json.dumps({"ssn": f"SSN {marks.ssn('json in json')}"}),
    }
    escaped = marks.email("escaped argument").replace("@", "\\u0040")
    return {
        "messages": [
            {"role": "system", "content": f"The customer is {marks.email('system')}, SSN: {marks.ssn('system ssn')}."},
            {"role": "user", "name": marks.email("message name"), "content": [
                {"type": "text", "text": f"Call me: {marks.phone('text part')}, or\n{marks.email('text part mail')}"},
                {"type": "image_url", "image_url": {"url": f"https://x.com/?to={marks.email('image')}&size=1"}},
                {"type": "file", "file": {
                    "filename": f"cv {marks.phone('file name')}.pdf", "of": marks.iban("file data"),
                }},
            ]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "call-1", "type": "function", "function": {
                    "name": "send_mail", "arguments": json.dumps(arguments),
                }},
                {"id": "call-2", "type": "function", "function": {
                    "name": f"ask {marks.email('tool name')}", "arguments": f'{{"to": "{escaped}"}}',
                }},
                {"id": "call-3", "type": "function", "function": {
                    "name": "log_in", "arguments": f"no JSON: key {marks.api_key('broken arguments')}",
                }},
            ]},
            {"role": "tool", "tool_call_id": "call-1", "content": json.dumps({"ip": marks.ip("tool result")})},
            {"role": "user", "content": f"And {marks.card('content')} or {marks.iban('content iban')}?"},
            {"role": "assistant", "content": f"Sent to {marks.email('answer')} from {marks.ip('answer ip')}."},
        ],
        "tools": [{"type": "function", "function": {
            "name": "send_mail", "description": f"Sends as {marks.email('tool description')}",
            "parameters": {"properties": {"to": {"default": marks.phone("tool default")}}},
        }}],
        "model": "m-1", "role": "support", "consent": True,
        "task_type": f"mail to {marks.email('task type')}",
        "intent": f"pay with {marks.card('intent')}",
        "user": marks.email("user"),
        "tags": [marks.email("tag"), f"from {marks.ip('tag ip')}"],
    }  # fmt: skip


def refused(stray: Marks, longest_event: int) -> list[Refused]:
    """What is no event, with marks where an error might quote what is wrong."""

    def event(**parts: object) -> bytes:
        return json.dumps({"event_id": "refused", "interaction_id": "chat-9", **parts}).encode()

    def score(**fields: object) -> bytes:
        return event(score={"method": "comment", "text": "fine", **fields})

    def messages(*said: object) -> bytes:
        return event(interaction={"messages": [{"role": "user", "content": "?"}, *said]})

    wrong: list[Callable[[str], bytes]] = [
        lambda value: b'{"event_id": "broken", "interaction_id": "' + value.encode() + b'\x01"}',
        lambda value: b'{"event_id": "broken", ' + value.encode() + b"}",
        lambda value: event(**{value: "an unknown part"}),
        lambda value: score(method=value),
        lambda value: score(rater=value),
        lambda value: score(method="thumbs", value=value),
        lambda value: score(method="stars", value=value),
        lambda value: score(text=[value]),
        lambda value: score(method="numeric", value=1, minimum=value),
        lambda value: messages({"role": value, "content": "hm"}),
        lambda value: messages(value),
        lambda value: messages({"role": "user", "content": {value: value}}),
        lambda value: event(interaction={"messages": [{"role": "user", "content": "?"}], "latency_ms": value}),
        lambda value: event(review={"decision": value}),
        lambda value: event(consent={"granted": value}),
        lambda value: event(occurred_at=value, retraction={"of": "x"}),
        lambda value: event(source=value, retraction={"of": "x"}),
        lambda value: event(retraction={"of": f"{value}\x00"}),
        lambda value: event(interaction_id=f"{value}\x00", retraction={"of": "x"}),
    ]
    bodies = [Refused(400, make(stray.email(f"refused {number}"))) for number, make in enumerate(wrong)]
    return [*bodies, Refused(413, score(text=stray.email("refused for its size").ljust(longest_event, "x")))]


def produced(marks: Marks, longest_event: int) -> list[Produced]:
    """Records of producers of their own: events with marks beside their value, and poison of every kind."""
    codec = Codec()

    def said(event_id: str, text: str, tenant: str = "") -> FeedbackEvent:
        return FeedbackEvent(
            event_id=event_id, interaction_id="chat-4", tenant=tenant, scores=(Score("comment", text=text),)
        )

    chat = msgspec.structs.replace(
        said("keyed", ""), scores=(), interaction=interaction(f"Mail {marks.email('keyed')}", "Done.")
    )
    beside: list[Header] = [
        ("trace", marks.email("header").encode()),
        (marks.email("header name"), b"1"),
        ("phone", marks.phone("other header")),
    ]
    cut = codec.encode(said("cut", marks.email("cut record")))[:-2]
    stars = FeedbackEvent(
        event_id="stars",
        interaction_id="chat-4",
        scores=(Score("stars", value=11, text=marks.email("stars out of range")),),
    )
    bad_tenant = said("bad-tenant", "hello", tenant=marks.email("tenant that cannot be one"))
    return [
        Produced("acme", codec.encode(chat), None, marks.email("key").encode(), beside),
        Produced("acme", event_to_json(said("tenanted", "hello", "ignored")).replace(
            b"{", b'{"tenant": "' + marks.email("tenant that is ignored").encode() + b'", ', 1), None),
        Produced("acme", cut, Reason.UNDECODABLE, marks.phone("key of a cut record").encode()),
        Produced("acme", b"\xff\xfe" + marks.email("no wire form").encode(), Reason.UNDECODABLE),
        Produced("acme", marks.email("plain text").encode(), Reason.UNDECODABLE),
        Produced("acme", b"\x00" + marks.ssn("as a schema id").encode(), Reason.UNKNOWN_SCHEMA),
        Produced("acme", b"\xc3\x01" + marks.ssn("as a fingerprint").encode(), Reason.UNKNOWN_SCHEMA),
        Produced("acme", b'{"event_id": "' + marks.email("broken JSON").encode(), Reason.INVALID_EVENT),
        Produced("acme", b'{"event_id": "m", "interaction_id": "i", "score": {"method": "' +
            marks.email("method").encode() + b'"}}', Reason.INVALID_EVENT),
        Produced("acme", codec.encode(stars), Reason.INVALID_EVENT),
        Produced("acme", event_to_json(said("big", marks.email("oversize").ljust(longest_event, "x"))),
            Reason.OVERSIZE, marks.card("key of an oversize record").encode()),
        Produced("events", codec.encode(bad_tenant), Reason.UNKNOWN_TENANT),
    ]  # fmt: skip
