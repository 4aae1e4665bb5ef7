"""`python tests/integration/trigger_process.py`: a trigger by the environment's settings, until it is killed."""

from __future__ import annotations

import time

from streams.settings import load
from trainer_trigger.launchers import Timing
from trainer_trigger.wiring import open_trigger

if __name__ == "__main__":
    opened = open_trigger(load(), Timing(lease_s=1.0, retry_s=0.1, poll_s=0.1))
    print("ready", flush=True)
    while True:
        opened.trigger.tick()
        time.sleep(0.05)
