"""`python tests/integration/scheduler_process.py DATABASE BASE_URL NAME`: a scheduler, until it is killed."""

from __future__ import annotations

import sys
import time

from trainer_trigger.launchers import Scheduler, Timing
from trainer_trigger.launchers.openai import OpenAILauncher, OpenAISettings
from trainer_trigger.ledger.sql import SqlLedger

if __name__ == "__main__":
    database, base_url, name = sys.argv[1:]
    launcher = OpenAILauncher(OpenAISettings(base_url=base_url, api_key="-", settles_s=0.2, create_timeout_s=1.0))
    timing = Timing(lease_s=1.0, retry_s=0.1, poll_s=0.1)
    scheduler = Scheduler(SqlLedger(database), lambda _target: launcher, name, timing)
    print("ready", flush=True)
    while True:
        if scheduler.tick() == 0:
            time.sleep(0.02)
