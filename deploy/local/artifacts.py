"""The programs behind the local servers: what this machine has, what it lacks, and fetching the rest once.

Kafka and the schema registry come from Maven, versitygw from its Go module, Redis from the system. What is
fetched is kept under `$MILLRACE_CACHE` (default `~/.cache/millrace`), one folder an artifact and version.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import ArtifactError

KAFKA_VERSION = "4.3.0"
REGISTRY_VERSION = "2.6.13.Final"
VERSITYGW_VERSION = "v1.8.0"

# Kafka's code is bound to no logger; this one writes plain lines to stderr, which is the server's log.
SLF4J_SIMPLE_VERSION = "1.7.36"
# Pinned, because Maven takes the newest plugin otherwise.
DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

JAVA_LEAST = (17, 0)  # what Kafka 4 runs on
GO_LEAST = (1, 21)  # the first that fetches the newer toolchain a module asks for by itself

POSTGRES_FOLDER = Path("/usr/lib/postgresql")  # Debian keeps the server's programs off PATH, a folder a version

FETCH_DEADLINE_S = 900.0  # versitygw compiles for 90 s on two quiet cores
OUTPUT_TAIL_LINES = 20

log = logging.getLogger(__name__)

Which = Callable[[str], str | None]
Version = Callable[[str], tuple[int, int]]


def cache_folder() -> Path:
    """`$MILLRACE_CACHE`, or `~/.cache/millrace` where that is unset or empty."""
    return Path(os.environ.get("MILLRACE_CACHE") or "~/.cache/millrace").expanduser()


def kafka_libs(cache: Path | None = None) -> Path:
    """The folder with Kafka's jars (44 MB); fetched on first use. Raises ArtifactError."""
    return _once(_kafka_folder(cache), f"Kafka {KAFKA_VERSION} through Maven (44 MB)", _fetch_kafka)


def registry_jar(cache: Path | None = None) -> Path:
    """Apicurio's runner jar beside its `lib` folder (142 MB); fetched on first use. Raises ArtifactError."""
    folder = _once(_registry_folder(cache), f"Apicurio {REGISTRY_VERSION} through Maven (142 MB)", _fetch_registry)
    return next(folder.glob("*-runner.jar"))


def versitygw(cache: Path | None = None) -> Path:
    """The versitygw program (84 MB); compiled on first use. Raises ArtifactError."""
    label = f"versitygw {VERSITYGW_VERSION} with Go (compiles for some minutes)"
    return _once(_versitygw_folder(cache), label, _build_versitygw) / "versitygw"


def tool(name: str) -> str:
    """The path of a program of the system. Raises ArtifactError where it is not on PATH."""
    path = shutil.which(name)
    if path is None:
        raise ArtifactError(f"{name} is not on PATH")
    return path


def postgres_program(name: str, which: Which = shutil.which) -> str | None:
    """A program of PostgreSQL's server: on PATH, else in Debian's folder of the newest version, else None."""
    versions = sorted(POSTGRES_FOLDER.glob("*"), key=lambda each: int(each.name) if each.name.isdigit() else 0)
    debian = (str(each / "bin" / name) for each in reversed(versions))
    return next(filter(None, map(which, (name, *debian))), None)


def tool_version(path: str) -> tuple[int, int]:
    """(major, minor) that `java` or `go` at `path` tells; (0, 0) where it does not run or tells none."""
    argument = "version" if Path(path).name == "go" else "-version"
    try:
        told = subprocess.run([path, argument], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    return parse_version(told.stdout + told.stderr)


def parse_version(text: str) -> tuple[int, int]:
    """(major, minor) in the output of `java -version` or `go version`; (0, 0) where there is none.

    >>> parse_version('openjdk version "17.0.15" 2025-04-15'), parse_version("go version go1.26.8 linux")
    ((17, 0), (1, 26))
    """
    found = re.search(r'(?:version "|\bgo)(\d+)(?:\.(\d+))?', text)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def missing(which: Which = shutil.which, version: Version = tool_version, cache: Path | None = None) -> dict[str, str]:
    """What this machine cannot run, and what to install for it.

    Keys out of `kafka`, `registry`, `redis`, `postgres`, `s3`; empty where all can run. A cached artifact needs no tool
    to fetch it. `which` finds a program by its name, `version` tells (major, minor) of the one at a path.
    """

    def lacks(program: str, least: tuple[int, int]) -> bool:
        path = which(program)
        return path is None or version(path) < least

    java = ["Java 17+ (Debian: apt-get install default-jre-headless)"] if lacks("java", JAVA_LEAST) else []
    maven = ["Maven (Debian: apt-get install maven)"] if which("mvn") is None else []
    needs = {
        "kafka": java + ([] if _kafka_folder(cache).exists() else maven),
        "registry": java + ([] if _registry_folder(cache).exists() else maven),
        "redis": ["Redis (Debian: apt-get install redis-server)"] if which("redis-server") is None else [],
        "postgres": ["PostgreSQL (Debian: apt-get install postgresql)"]
        if postgres_program("postgres", which) is None
        else [],
        "s3": ["Go 1.21+"] if not _versitygw_folder(cache).exists() and lacks("go", GO_LEAST) else [],
    }
    return {name: " and ".join(lacking) for name, lacking in needs.items() if lacking}


def _kafka_folder(cache: Path | None) -> Path:
    return (cache or cache_folder()) / f"kafka-{KAFKA_VERSION}"


def _registry_folder(cache: Path | None) -> Path:
    return (cache or cache_folder()) / f"apicurio-{REGISTRY_VERSION}"


def _versitygw_folder(cache: Path | None) -> Path:
    return (cache or cache_folder()) / f"versitygw-{VERSITYGW_VERSION}"


def _once(target: Path, label: str, fetch: Callable[[Path], None]) -> Path:
    """`target`, after `fetch` has filled it: whole or not at all, and by one process at a time."""
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _exclusively(target.parent / "fetch.lock"):
        if target.exists():
            return target
        log.info("fetching %s into %s, once", label, target.parent)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as name:
            fresh = Path(name) / "fresh"
            fresh.mkdir()
            fetch(fresh)
            fresh.rename(target)
    return target


@contextmanager
def _exclusively(lock: Path) -> Iterator[None]:
    # One lock for all artifacts: two Maven processes must not fill the same local repository at a time.
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _fetch_kafka(folder: Path) -> None:
    (folder / "pom.xml").write_text(
        _pom(
            f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
            f"org.slf4j:slf4j-simple:{SLF4J_SIMPLE_VERSION}",
        )
    )
    _maven(folder, "copy-dependencies", f"-DoutputDirectory={folder}")


def _fetch_registry(folder: Path) -> None:
    artifact = f"io.apicurio:apicurio-registry-app:{REGISTRY_VERSION}:tar.gz:all"
    _maven(folder, "unpack", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}")


def _build_versitygw(folder: Path) -> None:
    module = f"github.com/versity/versitygw/cmd/versitygw@{VERSITYGW_VERSION}"
    # Without cgo no C compiler is needed; `auto` lets an older Go fetch the toolchain that the module wants.
    settings = {"GOBIN": str(folder), "CGO_ENABLED": "0", "GOTOOLCHAIN": "auto"}
    _run([tool("go"), "install", module], folder, settings)


def _maven(folder: Path, goal: str, *arguments: str) -> None:
    # In `folder`, where Maven leaves its marker files and looks for a pom.
    command = [
        tool("mvn"),
        "--batch-mode",
        "--no-transfer-progress",
        "-Dstyle.color=never",
        f"{DEPENDENCY_PLUGIN}:{goal}",
    ]
    _run([*command, *arguments], folder, {})


def _pom(*coordinates: str) -> str:
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        for group, artifact, version in (each.split(":") for each in coordinates)
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>local</groupId><artifactId>servers</artifactId>"
        f"<version>1</version><packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>\n"
    )


def _run(command: list[str], folder: Path, settings: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FETCH_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise ArtifactError(f"{Path(command[0]).name} did not end within {FETCH_DEADLINE_S:.0f} s") from exc
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-OUTPUT_TAIL_LINES:])
        raise ArtifactError(f"{Path(command[0]).name} ended with {done.returncode}:\n{tail}")
