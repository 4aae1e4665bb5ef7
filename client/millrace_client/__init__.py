"""Sends an app's LLM interactions and their feedback to a Millrace collector, without ever blocking the app.

    from millrace_client import FeedbackClient

    client = FeedbackClient(spool_dir="/var/lib/app/feedback")  # URL and key from the environment
    answer_id = client.interaction(messages, output=answer, model="gpt-5-mini", user=user_id)
    client.score(answer_id, value="up")

No call raises or waits; `FeedbackClient` says what happens instead.
"""

from millrace_client.client import Decision, FeedbackClient, Rater, ScoreMethod
from millrace_client.stats import DropReason, Stats
from millrace_client.transport import Answer, Transport, Unreachable
from millrace_client.version import VERSION as __version__

__all__ = [
    "Answer",
    "Decision",
    "DropReason",
    "FeedbackClient",
    "Rater",
    "ScoreMethod",
    "Stats",
    "Transport",
    "Unreachable",
    "__version__",
]
