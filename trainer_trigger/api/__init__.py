"""The trigger's HTTP API: fire, look, approve, pause.

A request goes `app` (who, how fast, how large) → `routes` (what is asked of the desk, which is the trigger) → `audit`
(what changes something or is denied is written down) → `problems` (every error has one shape). `server` runs it.
"""
