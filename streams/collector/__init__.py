"""The HTTP collector: JSON events in, Kafka's acknowledgement out.

`app` wires the routes; a request goes `keys` (who) → `body` (bounded bytes) → `batches` (one text an event) → `limits`
(how fast) → `verdicts` (which events are good) → `publisher` (Kafka) → `answers` (a status for each event).
`server` runs it as a process.
"""
