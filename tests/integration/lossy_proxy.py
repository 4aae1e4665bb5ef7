"""Stands between a client and S3 and loses the answer to every n-th table commit, after S3 has carried it out.

`python -m tests.integration.lossy_proxy TARGET_PORT EVERY` listens on a port of its own and prints it.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import sys
import threading

COMMIT = re.compile(rb"^PUT \S+/_delta_log/\d{20}\.json")


def main() -> None:
    target, every = int(sys.argv[1]), int(sys.argv[2])
    commits = itertools.count(1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            client, _ = listening.accept()
            threading.Thread(target=relay, args=(client, target, commits, every), daemon=True).start()


def relay(client: socket.socket, target: int, commits: itertools.count[int], every: int) -> None:
    """Carry bytes both ways until either side ends; a request comes in one piece, as small ones do."""
    server = socket.create_connection(("127.0.0.1", target))
    lose = threading.Event()

    def answers() -> None:
        try:
            while (data := server.recv(65536)) and not lose.is_set():
                client.sendall(data)
        except OSError:
            pass
        finally:
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=answers, daemon=True).start()
    try:
        while data := client.recv(65536):
            if COMMIT.match(data) and next(commits) % every == 0:
                lose.set()
            server.sendall(data)
    except OSError:
        pass


if __name__ == "__main__":
    main()
