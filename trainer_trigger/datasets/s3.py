"""Training sets on S3, credentials and endpoint from `AWS_*`; the only module that talks to it by boto3."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from trainer_trigger.datasets.errors import DatasetUnavailable

CONFIG: Final = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"total_max_attempts": 4, "mode": "standard"},
    # What a server does not know of S3's newer checksums, it refuses.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
CONFLICTS: Final = 5
"""How often a conditional put is repeated that ran into another one in flight."""

_MISSING: Final = frozenset({"NoSuchKey", "404", "NotFound"})


class S3Store:
    """See `trainer_trigger.datasets.store.Store`."""

    def __init__(self, root: str) -> None:
        self._bucket, _, prefix = root.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        with _available():
            self._client = boto3.client("s3", region_name=region, config=CONFIG)

    def names(self, prefix: str = "") -> list[str]:
        with _available():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return sorted(key.removeprefix(self._prefix) for key in keys)

    def open(self, name: str) -> BinaryIO:
        file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - whoever asked closes it
        try:
            with _available():
                self._client.download_fileobj(self._bucket, self._prefix + name, file)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def put(self, name: str, file: Path) -> None:
        with _available():
            self._client.upload_file(str(file), self._bucket, self._prefix + name)

    def create(self, name: str, data: bytes) -> bool:
        for _ in range(CONFLICTS):
            with _available():
                try:
                    self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data, IfNoneMatch="*")
                except ClientError as exc:
                    if _status(exc) == 412:
                        return False
                    if _status(exc) != 409:
                        raise
                else:
                    return True
        raise DatasetUnavailable(f"S3: other writers of {name} are in the way")

    def replace(self, name: str, data: bytes) -> None:
        with _available():
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data)

    def delete(self, name: str) -> None:
        with _available():
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def place(self, name: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{name}"


def _status(exc: ClientError) -> int:
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        code = exc.response.get("Error", {}).get("Code", "")
        if code in _MISSING:
            raise FileNotFoundError(f"S3: {code}") from exc
        raise DatasetUnavailable(f"S3: {code or _status(exc)}") from exc
    except (BotoCoreError, boto3.exceptions.Boto3Error, OSError) as exc:
        raise DatasetUnavailable(f"S3: {type(exc).__name__}: {exc}") from exc
