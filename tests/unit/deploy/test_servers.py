from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import __main__ as command
from deploy.local import artifacts
from deploy.local.errors import ArtifactError, ServerStartError
from deploy.local.process import PORT_RANGE, Server, free_port, port_is_free, runs, wait_until
from deploy.local.servers import S3, SERVERS, Kafka, env_file, kafka_properties, missing

LISTEN = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    print("listening", flush=True)
    while True:
        server.accept()[0].close()
"""


class Toy(Server):
    """A server that any machine can run: it accepts connections."""

    name = "toy"
    script = LISTEN

    def prepare(self) -> None:
        """Nothing."""

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.script, str(self.port), str(self.folder)]

    def answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True

    def settings(self) -> dict[str, str]:
        return {"TOY": self.address}


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Toy]:
    server = Toy(tmp_path / "toy")
    yield server
    server.kill()


def have(*programs: str) -> artifacts.Which:
    return lambda program: f"/bin/{program}" if program in programs else None


def test_nothing_is_missing_where_all_programs_are_new_enough(tmp_path: Path) -> None:
    which = have("java", "mvn", "go", "redis-server", "postgres")
    assert missing(which, lambda path: {"/bin/java": (17, 0), "/bin/go": (1, 21)}[path], tmp_path) == {}


def test_a_bare_machine_is_told_what_to_install_for_each_server(tmp_path: Path) -> None:
    gaps = missing(have(), lambda _: (99, 0), tmp_path)
    assert list(gaps) == ["kafka", "registry", "redis", "postgres", "s3"]
    assert "Java 17+" in gaps["kafka"] and "maven" in gaps["kafka"]
    assert gaps["registry"] == gaps["kafka"]
    assert "redis-server" in gaps["redis"]
    assert "apt-get install postgresql" in gaps["postgres"]
    assert "Go 1.21+" in gaps["s3"]


def test_a_java_or_go_that_is_too_old_or_does_not_run_is_missing(tmp_path: Path) -> None:
    which = have("java", "mvn", "go", "redis-server", "postgres")
    old = missing(which, lambda path: {"/bin/java": (16, 0), "/bin/go": (1, 20)}[path], tmp_path)
    assert list(old) == ["kafka", "registry", "s3"]
    assert "maven" not in old["kafka"]
    assert list(missing(which, lambda _: (0, 0), tmp_path)) == ["kafka", "registry", "s3"]


def test_what_is_cached_needs_no_maven_and_no_go(tmp_path: Path) -> None:
    for folder in (
        f"kafka-{artifacts.KAFKA_VERSION}",
        f"apicurio-{artifacts.REGISTRY_VERSION}",
        f"versitygw-{artifacts.VERSITYGW_VERSION}",
    ):
        (tmp_path / folder).mkdir()
    assert missing(have("java", "redis-server", "postgres"), lambda _: (17, 0), tmp_path) == {}


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime', (17, 0)),
        ('openjdk version "21" 2023-09-19', (21, 0)),
        ('java version "1.8.0_392"', (1, 8)),
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("pyenv: java: command not found", (0, 0)),
    ],
)
def test_a_version_is_read_from_what_the_program_tells(told: str, version: tuple[int, int]) -> None:
    assert artifacts.parse_version(told) == version


def test_a_failed_fetch_leaves_nothing_behind_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(folder: Path) -> None:
        (folder / "half.jar").touch()
        raise ArtifactError("mvn ended with 1")

    monkeypatch.setattr(artifacts, "_fetch_kafka", half)
    with pytest.raises(ArtifactError, match="mvn ended"):
        artifacts.kafka_libs(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["fetch.lock"]

    monkeypatch.setattr(artifacts, "_fetch_kafka", lambda folder: (folder / "whole.jar").touch())
    assert [path.name for path in artifacts.kafka_libs(tmp_path).iterdir()] == ["whole.jar"]
    monkeypatch.setattr(artifacts, "_fetch_kafka", half)
    assert artifacts.kafka_libs(tmp_path).is_dir(), "what is cached is not fetched again"


def test_the_env_file_quotes_what_a_shell_would_read_otherwise() -> None:
    text = env_file({"AWS_REGION": "us-east-1", "ODD": "it's $HOME; x"})
    script = f'{text}printf "%s|%s" "$AWS_REGION" "$ODD"'
    told = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout == "us-east-1|it's $HOME; x"


def test_the_servers_tell_all_the_settings_that_millrace_needs(tmp_path: Path) -> None:
    servers = {name: server(tmp_path / name) for name, server in SERVERS.items()}
    settings = {name: value for server in servers.values() for name, value in server.settings().items()}
    ports = {name: server.port for name, server in servers.items()}
    assert settings == {
        "MILLRACE_KAFKA_BOOTSTRAP": f"127.0.0.1:{ports['kafka']}",
        "MILLRACE_SCHEMA_REGISTRY_URL": f"http://127.0.0.1:{ports['registry']}/apis/ccompat/v7",
        "MILLRACE_REDIS_URL": f"redis://127.0.0.1:{ports['redis']}/0",
        "MILLRACE_DATABASE_URL": settings["MILLRACE_DATABASE_URL"],
        "MILLRACE_LAKE": "s3://millrace/lake",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3']}",
        "AWS_ACCESS_KEY_ID": settings["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": settings["AWS_SECRET_ACCESS_KEY"],
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }


def test_s3_credentials_are_random_and_not_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.servers.versitygw", lambda: Path("versitygw"))
    first, second = S3(tmp_path / "a"), S3(tmp_path / "b")
    assert first.access_key != second.access_key and first.secret_key != second.secret_key
    assert first.secret_key not in " ".join(first.command())


def test_kafka_takes_large_events_and_no_topic_by_accident(tmp_path: Path) -> None:
    lines = kafka_properties(20_001, 20_002, tmp_path).splitlines()
    assert "auto.create.topics.enable=false" in lines
    assert "message.max.bytes=12582912" in lines
    assert f"log.dirs={tmp_path}" in lines
    kafka = Kafka(tmp_path)
    assert len(set(kafka._record.ports.values())) == 2


def test_a_free_port_lies_outside_the_ephemeral_range_and_is_not_one_of_the_taken() -> None:
    taken = range(PORT_RANGE[0], PORT_RANGE[1] - 500)
    port = free_port(taken)
    assert PORT_RANGE[0] <= port < PORT_RANGE[1] and port not in taken and port_is_free(port)


def test_a_process_is_ours_only_while_it_lives_with_our_arguments() -> None:
    line = [sys.executable, "-c", "import time; time.sleep(60)", "ours"]
    with subprocess.Popen(line) as child:
        assert runs(child.pid, line)
        assert runs(child.pid, ["another-python", *line[1:]]), "a wrapper may have replaced itself"
        assert not runs(child.pid, [*line[:-1], "theirs"])
        assert not runs(os.getpid(), line)
        child.kill()
        assert wait_until(lambda: not runs(child.pid, line), 5.0), "a zombie has ended"
    assert not runs(child.pid, line)


def test_stop_leaves_alone_a_process_that_was_given_our_old_id(toy: Toy) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        toy.folder.mkdir()
        record = {"ports": {"main": toy.port}, "pid": stranger.pid, "command": toy.command()}
        (toy.folder / "server.json").write_text(json.dumps(record))
        reused = Toy(toy.folder)
        assert not reused.running
        reused.stop()
        reused.kill()
        time.sleep(0.1)
        assert stranger.poll() is None
        stranger.kill()


def test_a_server_starts_stops_and_starts_again_on_its_port(toy: Toy) -> None:
    assert not toy.running and toy.pid is None
    port = toy.start().port
    pid = toy.pid
    assert toy.running and toy.start().pid == pid, "a second start changes nothing"
    toy.stop()
    assert not toy.running
    assert toy.start().port == port and toy.pid != pid


def test_a_second_handle_on_the_folder_finds_and_ends_the_server(toy: Toy) -> None:
    toy.start()
    other = Toy(toy.folder)
    assert (other.pid, other.port) == (toy.pid, toy.port)
    other.stop()
    assert not toy.running and not other.running


def test_a_paused_server_runs_but_does_not_answer_and_can_be_stopped(toy: Toy) -> None:
    toy.start()
    toy.pause()
    state = Path(f"/proc/{toy.pid}/stat")
    if state.exists():
        assert wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", 5.0)
    assert toy.running
    toy.resume()
    assert toy.answers()
    toy.pause()
    toy.stop(deadline_s=5.0)
    assert not toy.running


def test_a_server_deaf_to_sigterm_is_killed_after_the_deadline(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy, "script", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + LISTEN)
    toy.start()
    begun = time.monotonic()
    toy.stop(deadline_s=0.3)
    assert not toy.running and time.monotonic() - begun >= 0.3


def test_a_server_that_dies_at_its_start_shows_the_end_of_its_log(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy, "script", "raise SystemExit('no such disk')")
    with pytest.raises(ServerStartError, match="no such disk"):
        toy.start()
    assert not toy.running


def test_a_program_that_fails_before_the_start_is_said_with_what_it_printed(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy, "prepare", lambda: toy._run(["sh", "-c", "echo no space; exit 3"], "no data was made"))
    with pytest.raises(ServerStartError, match="no data was made:\nno space"):
        toy.start()


def test_a_server_that_stays_silent_is_killed_and_reported(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy, "answers", lambda: False)
    with pytest.raises(ServerStartError, match="did not answer within 0 s"):
        toy.start(deadline_s=0.2)
    assert not toy.running


def test_a_port_taken_by_another_process_is_named(toy: Toy) -> None:
    with socket.create_server(("127.0.0.1", toy.port)), pytest.raises(ServerStartError, match=str(toy.port)):
        toy.start()


def test_the_record_can_be_read_by_its_owner_only(toy: Toy) -> None:
    toy.start()
    assert stat.S_IMODE((toy.folder / "server.json").stat().st_mode) == 0o600


# The command lets go of a child that lives on, which is its purpose.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_command_starts_what_it_can_writes_env_and_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SERVERS", {"toy": Toy, "kafka": Kafka})
    monkeypatch.setattr(command, "missing", lambda: {"kafka": "Java 17+"})
    where = ["--folder", str(tmp_path)]

    assert command.main(["start", "--require", *where]) == 1
    assert "kafka: left out, this machine lacks Java 17+" in capsys.readouterr().err
    assert command.main(["status", "toy", *where]) == 1

    try:
        assert command.main(["start", *where]) == 0
        assert command.main(["status", "toy", *where]) == 0
        env = tmp_path / "env"
        assert env.read_text() == f"export TOY={Toy(tmp_path / 'toy').address}\n"
        assert stat.S_IMODE(env.stat().st_mode) == 0o600
        capsys.readouterr()
        assert command.main(["env", *where]) == 0
        assert capsys.readouterr().out == env.read_text()
    finally:
        assert command.main(["stop", *where]) == 0
    assert command.main(["status", "toy", *where]) == 1
    assert not env.exists()


def test_an_unknown_server_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["start", "mysql"])
    assert "'mysql' is none of kafka, registry, redis, postgres, s3" in capsys.readouterr().err
