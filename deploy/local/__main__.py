"""`python -m deploy.local start|stop|status|env|fetch`: the local servers for a person.

They keep running after `start` has ended, with all they need in one folder (`.services` of the repository).
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.local import artifacts
from deploy.local.errors import LocalServerError
from deploy.local.process import Server, write_private
from deploy.local.servers import SERVERS, env_file, missing, start_all

REPOSITORY = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 1 when something asked for does not run."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    folder: Path = options.folder
    names: list[str] = options.names or list(SERVERS)
    try:
        match options.action:
            case "start":
                return _start(folder, names, require=options.require)
            case "stop":
                return _stop(folder, names)
            case "status":
                return _status(folder, names)
            case "fetch":
                return _fetch(names)
            case _:
                print(env_file(_settings(folder)), end="")
                return 0
    except LocalServerError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    parser.add_argument("action", choices=["start", "stop", "status", "env", "fetch"])
    parser.add_argument("names", nargs="*", type=_name, metavar="NAME", help=f"of {', '.join(SERVERS)}; default all")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".services", help="data, logs and ports")
    parser.add_argument("--require", action="store_true", help="start: fail when one cannot run on this machine")
    return parser


def _name(text: str) -> str:
    if text not in SERVERS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(SERVERS)}")
    return text


def _start(folder: Path, names: Sequence[str], *, require: bool) -> int:
    lacking = {name: need for name, need in missing().items() if name in names}
    for name, need in lacking.items():
        print(f"{name}: left out, this machine lacks {need}", file=sys.stderr)
    if lacking and require:
        return 1
    servers = _servers(folder, [name for name in names if name not in lacking])
    begun = time.monotonic()
    try:
        start_all(servers)
    finally:
        settings = _write_env(folder)
    for server in servers:
        print(f"{server.name:9} {server.address}  pid {server.pid}")
    print(f"ready after {time.monotonic() - begun:.1f} s; for a shell: . {folder / 'env'}\n")
    print(env_file(settings), end="")
    return 0


def _stop(folder: Path, names: Sequence[str]) -> int:
    for server in _servers(folder, names):
        if server.running:
            server.stop()
            print(f"{server.name:9} stopped")
    _write_env(folder)
    return 0


def _status(folder: Path, names: Sequence[str]) -> int:
    servers = _servers(folder, names)
    for server in servers:
        print(f"{server.name:9} {f'{server.address}  pid {server.pid}' if server.running else 'not running'}")
    return 0 if all(server.running for server in servers) else 1


def _fetch(names: Sequence[str]) -> int:
    fetchers = {"kafka": artifacts.kafka_libs, "registry": artifacts.registry_jar, "s3": artifacts.versitygw}
    for name in names:
        if name in fetchers:
            print(f"{name:9} {fetchers[name]()}")
    return 0


def _servers(folder: Path, names: Sequence[str]) -> list[Server]:
    return [SERVERS[name](folder / name) for name in names]


def _settings(folder: Path) -> dict[str, str]:
    running = (server for server in _servers(folder, list(SERVERS)) if server.running)
    return {name: value for server in running for name, value in server.settings().items()}


def _write_env(folder: Path) -> dict[str, str]:
    """Put the settings of all that runs into `folder/env`, mode 0600; without any, remove it."""
    settings = _settings(folder)
    if settings:
        write_private(folder / "env", env_file(settings))
    else:
        (folder / "env").unlink(missing_ok=True)
    return settings


if __name__ == "__main__":
    sys.exit(main())
