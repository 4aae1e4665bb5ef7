"""Millrace's own trainer: a service that speaks OpenAI's fine-tuning API and trains adapters on this machine.

A request goes `envelope` (who) → `app` (which route) → `files`, `jobs`, `models` or `chat`; `sql` remembers. The
`supervisor` moves jobs forward and runs a process for each, which `job` describes and `train` is. `server` runs the
service. Only `train` and `serving`, with what they alone import, load PyTorch.
"""
