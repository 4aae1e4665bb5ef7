"""`python -m trainer_trigger.launchers.supervise FOLDER COMMAND…`: run the command of a run folder, once.

It leaves its parent at once, so that it outlives the scheduler and is nobody's zombie.

1. Take the folder's lock; another supervisor has it and has started: end.
2. Make `started`; it is there already: end. The command runs at most once, whoever asks.
3. Run the command; close stdout, which tells the launcher that it may go on.
4. Write `result.json` while the lock is held.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from trainer_trigger.launchers.command import CANCELLED, write_whole

POLL_S = 0.2
SOON_S = 0.01
GRACE_S = 10.0
NOT_STARTED = 127


def main(arguments: Sequence[str]) -> int:
    """Returns 0; what became of the command stands in the folder."""
    if os.fork():
        os._exit(0)
    folder, command = Path(arguments[0]), list(arguments[1:])
    with (folder / "lock").open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # 1
                (folder / "started").touch(exist_ok=False)  # 2
                break
            except FileExistsError:
                return 0
            except BlockingIOError:
                if (folder / "started").exists():
                    return 0
                time.sleep(SOON_S)
        status = _run(folder, command)  # 3
        write_whole(folder / "result.json", json.dumps({"status": status}).encode())  # 4
    return 0


def _run(folder: Path, command: Sequence[str]) -> int:
    with (
        (folder / "manifest.json").open("rb") as manifest,
        (folder / "events.ndjson").open("ab") as out,
        (folder / "stderr.log").open("ab") as errors,
    ):
        environment = {**os.environ, "MILLRACE_LAUNCH_KEY": folder.name, "MILLRACE_RUN": str(folder)}
        try:
            child = subprocess.Popen(command, stdin=manifest, stdout=out, stderr=errors, cwd=folder, env=environment)
        except OSError as exc:
            errors.write(f"{exc}\n".encode())
            return NOT_STARTED
        finally:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        while True:
            try:
                return child.wait(POLL_S)
            except subprocess.TimeoutExpired:
                if (folder / CANCELLED).exists():
                    return _end(child)


def _end(child: subprocess.Popen[bytes]) -> int:
    child.terminate()
    try:
        return child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
