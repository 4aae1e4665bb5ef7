"""Kafka, a schema registry, Redis and S3 on this machine, without Docker.

`artifacts` finds or fetches the programs, `process` runs one of them, `servers` knows the four, and
`python -m deploy.local` starts and stops them for a person.
"""
