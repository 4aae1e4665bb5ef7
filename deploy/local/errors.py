"""What can go wrong with a local server.

LocalServerError
├── ArtifactError      a program could not be found or fetched
└── ServerStartError   a server died, or never answered, while it started
"""

from __future__ import annotations


class LocalServerError(Exception):
    """Base of all errors of `deploy.local`."""


class ArtifactError(LocalServerError):
    """A program is missing, or fetching it failed; the message holds the last lines of the output."""


class ServerStartError(LocalServerError):
    """A server died at its start, or did not answer in time; the message holds the last lines of its log."""
