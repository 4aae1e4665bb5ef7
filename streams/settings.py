"""Settings: environment (`MILLRACE_…`) over `millrace.toml` over defaults; `MILLRACE_…_FILE` reads one from a file."""

from __future__ import annotations

import os
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.events import Tenant
from streams.errors import SettingError

PREFIX: Final = "MILLRACE_"

Positive = Annotated[int, Meta(gt=0)]
Seconds = Annotated[float, Meta(gt=0)]


def _says(text: str) -> Any:
    return Meta(description=text)


class Settings(Struct, frozen=True, kw_only=True):
    """Every setting of every role. Field `kafka_bootstrap` is `MILLRACE_KAFKA_BOOTSTRAP` and so on.

    Units are in the names: `_s` seconds, `_bytes`, `_days`. Lists are comma-separated in the environment.
    """

    kafka_bootstrap: Annotated[str, _says("Kafka's host:port, several by comma")] = "localhost:9092"
    kafka_security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], _says("TLS and SASL towards Kafka")
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], _says("with SASL_*: the mechanism")
    ] = "SCRAM-SHA-512"
    kafka_sasl_username: Annotated[str, _says("with SASL_*: the user")] = ""
    kafka_sasl_password: Annotated[str, _says("with SASL_*: the password (secret)")] = ""
    kafka_ssl_ca: Annotated[str, _says("with *SSL: the CA's PEM file; empty is the system's")] = ""
    kafka_ssl_certificate: Annotated[str, _says("with *SSL: the client certificate's PEM file")] = ""
    kafka_ssl_key: Annotated[str, _says("with *SSL: the client key's PEM file")] = ""
    topic_prefix: Annotated[str, _says("all topics begin with it")] = "feedback"
    topic_partitions: Annotated[
        Positive, _says("partitions of every topic, fixed at creation: more than you will ever run processes")
    ] = 12
    topic_replication: Annotated[Positive, _says("replicas of every topic")] = 1
    sources: Annotated[
        tuple[str, ...],
        _says("raw topics to read: `topic=tenant` for a producer's own; a bare one must be the collector's"),
    ] = ("feedback.events",)
    schema_registry_url: Annotated[
        str, _says("a registry with Confluent's API; empty is Avro single-object encoding")
    ] = ""
    redis_url: Annotated[str, _says("state of the join and dedup; rediss:// is TLS")] = "redis://localhost:6379/0"
    state_file: Annotated[str, _says("state in this SQLite file instead of Redis; for one worker process")] = ""
    curation: Annotated[
        str, _says("YAML file that says what makes a sample: scores, gates, near duplicates; empty is the built-in one")
    ] = ""
    state_days: Annotated[Positive, _says("days for which an interaction waits for feedback in the state")] = 90
    lake: Annotated[str, _says("folder or s3://bucket/path of the tables; S3 credentials as AWS_*")] = "lake"
    lake_commit_s: Annotated[Seconds, _says("at least this often waiting rows are committed")] = 5.0
    lake_commit_rows: Annotated[Positive, _says("that many waiting rows are committed at once")] = 20_000
    hash_key: Annotated[str, _says("secret of ≥ 32 characters under which users and placeholders are hashed")] = ""
    deadletter_public_keys: Annotated[
        tuple[str, ...], _says("base64 X25519 public keys to which dead letters are sealed")
    ] = ()
    deadletter_days: Annotated[
        Positive, _says("days for which dead letters are kept, in Kafka and by `millrace deadletter purge` in the lake")
    ] = 30
    batch_events: Annotated[Positive, _says("events that an agent takes at once")] = 500
    batch_bytes: Annotated[
        Positive, _says("bytes of events that an agent takes at once; as much again may wait for it")
    ] = 4_194_304
    batch_wait_s: Annotated[Seconds, _says("how long an agent waits for a batch to fill")] = 0.1
    hot_share: Annotated[
        float,
        Meta(gt=0, le=1),
        _says("a tenant or interaction with more than this share of a backlog goes to the overflow lane; 1 is never"),
    ] = 0.5
    stall_s: Annotated[
        Seconds, _says("a role without progress for half as long is not ready, for as long ends and is started again")
    ] = 120.0
    drain_s: Annotated[Seconds, _says("how long a role that shall stop may take to end what is in hand")] = 25.0
    max_text_chars: Annotated[Positive, _says("longest text that is redacted; a longer one is dead-lettered")] = 100_000
    redaction_audit_share: Annotated[
        float, Meta(ge=0, le=1), _says("share of events that the leak audit reads after redaction")
    ] = 0.01
    redaction_names: Annotated[
        str, _says("who finds names: `bundled`, `off`, `spacy:MODEL` (installed), `presidio:FILE.yaml`")
    ] = "bundled"
    redaction_recognizers: Annotated[
        tuple[str, ...], _says("Presidio recognizers of your own: YAML files, or `module:attribute` in Python")
    ] = ()
    redaction_policy: Annotated[
        tuple[str, ...],
        _says("`TYPE=action`, `*` for the rest: `redact`, `surrogate`, `mask`, `hash`, `keep`, `drop` (no sample)"),
    ] = ()
    redaction_min_score: Annotated[
        float, Meta(ge=0, le=1), _says("findings of patterns below this score are no findings")
    ] = 0.35
    redaction_memo_texts: Annotated[Positive, _says("texts whose findings are remembered, by hash")] = 50_000
    max_event_bytes: Annotated[Positive, _says("largest event, from HTTP or Kafka")] = 1_048_576
    collector_host: Annotated[str, _says("address to listen on")] = "127.0.0.1"
    collector_port: Annotated[int, Meta(ge=0, le=65535), _says("port to listen on")] = 8080
    collector_keys_file: Annotated[str, _says("API keys, hashed; written by `millrace keys`")] = "millrace-keys.json"
    collector_ack_s: Annotated[Seconds, _says("how long Kafka may take to acknowledge before the answer is 503")] = 5.0
    collector_max_body_bytes: Annotated[Positive, _says("largest request body as sent")] = 8_388_608
    collector_max_decompressed_bytes: Annotated[Positive, _says("largest request body after gzip")] = 33_554_432
    collector_max_batch_events: Annotated[Positive, _says("most events in a request")] = 1_000
    collector_events_per_s: Annotated[Positive, _says("events a second that one key may send, on average")] = 5_000
    collector_cors_origins: Annotated[
        tuple[str, ...], _says("web origins that may send with a write-only key; * is any")
    ] = ()
    database_url: Annotated[
        str, _says("what the trigger remembers, as SQLAlchemy's URL; for several machines postgresql+psycopg://…")
    ] = "sqlite:///millrace-trigger.sqlite"
    targets: Annotated[str, _says("YAML file of the tuning targets: when to train, on what, by whom")] = ""
    datasets: Annotated[str, _says("folder or s3://bucket/path of the training sets")] = "datasets"
    trigger_every_s: Annotated[Seconds, _says("how often the trigger looks at the lake and at its launches")] = 60.0
    trigger_host: Annotated[str, _says("address to listen on")] = "127.0.0.1"
    trigger_port: Annotated[int, Meta(ge=0, le=65535), _says("port of the trigger's API; 0 is none")] = 8081
    trigger_keys_file: Annotated[str, _says("API keys, hashed; written by `millrace keys`")] = (
        "millrace-trigger-keys.json"
    )
    trainer_home: Annotated[str, _says("folder of the trainer's files, jobs and adapters")] = "trainer"
    trainer_models: Annotated[str, _says("folder of base models, a folder each: safetensors only")] = "models"
    trainer_key: Annotated[str, _says("key that the trainer asks for; may be empty on loopback only (secret)")] = ""
    trainer_host: Annotated[str, _says("address to listen on")] = "127.0.0.1"
    trainer_port: Annotated[int, Meta(ge=0, le=65535), _says("port to listen on")] = 8090
    trainer_jobs: Annotated[Positive, _says("jobs that train at once")] = 1
    trainer_threads: Annotated[Positive, _says("threads of a training on the CPU")] = 1
    metrics_host: Annotated[str, _says("address of a role's /metrics, /healthz and /readyz")] = "127.0.0.1"
    metrics_port: Annotated[int, Meta(ge=0, le=65535), _says("port of a role's /metrics; 0 is none")] = 0
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], _says("what is logged")] = "INFO"
    embedded_topic_ids: Annotated[
        tuple[str, ...], _says("set by the embedded run: `topic=id` where the broker has no topic ids")
    ] = ()

    def topic(self, name: str) -> str:
        """The full name of the topic `events`, `reentry`, `redacted`, `replay`, `curated` or `deadletter`."""
        return f"{self.topic_prefix}.{name}"

    @property
    def tenant_of_source(self) -> Mapping[str, str | None]:
        """Raw topic → its tenant; None where the record itself says it, because only the collector writes there."""
        pairs = (source.partition("=") for source in self.sources)
        return {topic: tenant or None for topic, _, tenant in pairs}

    def require(self, *names: str) -> None:
        """Raise `SettingError` for the first of the named settings that is empty."""
        for name in names:
            if not getattr(self, name):
                raise SettingError(PREFIX + name.upper(), getattr(self, name), f"is required: {described()[name]}")


def load(environ: Mapping[str, str] | None = None, toml: Path | None = None) -> Settings:
    """Read the settings. `toml` defaults to `millrace.toml` in the working folder, if there.

    Raises `SettingError` naming the variable, its value and the mend, also for a variable that nothing reads.
    """
    environ = os.environ if environ is None else environ
    toml = Path("millrace.toml") if toml is None else toml
    values = _from_toml(toml) if toml.exists() else {}
    for variable, given in environ.items():
        if variable.startswith(PREFIX):
            name, text = _named(variable, given)
            if name is not None:
                values[name] = text
    hints = typing.get_type_hints(Settings, include_extras=True)
    parsed = {name: _convert(name, value, hints[name]) for name, value in values.items()}
    settings = Settings(**parsed)
    for topic, tenant in settings.tenant_of_source.items():
        if tenant is not None:
            check_tenant(f"{PREFIX}SOURCES", tenant)
        if not topic:
            raise SettingError(f"{PREFIX}SOURCES", ",".join(settings.sources), "a topic has no name")
    if settings.hash_key and len(settings.hash_key) < 32:
        raise SettingError("MILLRACE_HASH_KEY", "…", "must have at least 32 characters, e.g. `openssl rand -hex 32`")
    return settings


def check_tenant(variable: str, tenant: str) -> None:
    """Raise `SettingError` naming where it came from unless this can be a tenant's name."""
    try:
        msgspec.convert(tenant, Tenant)
    except msgspec.ValidationError as exc:
        raise SettingError(variable, tenant, "a tenant has 1 to 64 letters, digits, dots, dashes, underscores") from exc


def environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, so that a child process reads the same; defaults are left out."""
    variables = {}
    for field in msgspec.structs.fields(Settings):
        value = getattr(settings, field.name)
        if value != field.default:
            variables[PREFIX + field.name.upper()] = ",".join(value) if isinstance(value, tuple) else str(value)
    return variables


def described() -> dict[str, str]:
    """Setting → what it is for, in one line."""
    hints = typing.get_type_hints(Settings, include_extras=True)
    return {name: _description(hint) for name, hint in hints.items()}


# Variables that begin like settings but belong to the tests, the local servers and the compose file; and the private
# key, which is no setting, so that no role is handed it.
_NOT_SETTINGS: Final = frozenset(
    {
        "CACHE",
        "REQUIRE_SERVICES",
        "TEST_DATA",
        "TEST_FINE_TUNING_URL",
        "TEST_FINE_TUNING_KEY",
        "TEST_FINE_TUNING_MODEL",
        "API_KEY",
        "COLLECTOR_URL",
        "DEADLETTER_PRIVATE_KEY_FILE",
    }
)


def _named(variable: str, text: str) -> tuple[str | None, str]:
    name = variable.removeprefix(PREFIX)
    known = {field.name.upper() for field in msgspec.structs.fields(Settings)}
    if name in known:
        return name.lower(), text
    if name.removesuffix("_FILE") in known:
        try:
            return name.removesuffix("_FILE").lower(), Path(text).read_text().strip()
        except OSError as exc:
            raise SettingError(variable, text, f"cannot be read: {exc.strerror}") from exc
    if name in _NOT_SETTINGS:
        return None, text
    raise SettingError(variable, text, "is no setting; `millrace doctor` lists them all")


def _from_toml(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as exc:
        raise SettingError(str(path), "", f"cannot be read: {exc}") from exc
    known = {field.name for field in msgspec.structs.fields(Settings)}
    for name in values:
        if name not in known:
            raise SettingError(f"{path}: {name}", values[name], "is no setting; `millrace doctor` lists them all")
    return values


def _convert(name: str, value: Any, hint: Any) -> Any:
    if isinstance(value, str) and typing.get_origin(typing.get_args(hint)[0]) is tuple:
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, hint, strict=False)
    except msgspec.ValidationError as exc:
        shown = "…" if any(word in name for word in ("password", "hash_key", "trainer_key", "database_url")) else value
        raise SettingError(PREFIX + name.upper(), shown, f"{exc} ({_description(hint)})") from exc


def _description(hint: Any) -> str:
    texts = [meta.description for meta in typing.get_args(hint)[1:] if isinstance(meta, Meta) and meta.description]
    return texts[-1] if texts else ""
