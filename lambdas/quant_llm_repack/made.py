"""Reads byte ranges of files that a quantise job has left in the agency's own bucket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from quant_llm_repack.deadline import Deadline
from quant_llm_repack.errors import MismatchError, StoreError, StoreUnavailableError
from quant_llm_repack.request import SourceFile

if TYPE_CHECKING:  # not in the function's runtime
    from mypy_boto3_s3 import S3Client

_CHUNK_BYTES = 256 * 1024
_REFUSED = ("NoSuchKey", "404", "AccessDenied", "403")


class MadeFiles:
    """The files under a prefix of a bucket: a `Source` of their bytes.

    What broke off is read again by the state machine, whose tasks are tried again after
    StoreUnavailableError.
    """

    def __init__(self, s3: S3Client, bucket: str, prefix: str, deadline: Deadline) -> None:
        """Read what is under `prefix`, which ends in a slash."""
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix
        self._deadline = deadline

    def check(self, files: Iterable[SourceFile]) -> None:
        """Ask S3 for every file before any is read: StoreError or MismatchError for one that can't be had."""
        for file in files:
            try:
                found = self._s3.head_object(Bucket=self._bucket, Key=self._key(file))
            except (ClientError, BotoCoreError) as error:
                raise self._explained(file, error) from None
            if (size := found["ContentLength"]) != file.size:
                raise MismatchError(f"{self._name(file)}: got {size} bytes, expected {file.size} of the lock")

    def read(self, file: SourceFile, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop` (exclusive) of `file`, in chunks of at most 256 KiB."""
        if start == stop:
            return
        missing = stop - start
        try:
            answer = self._s3.get_object(
                Bucket=self._bucket, Key=self._key(file), Range=f"bytes={start}-{stop - 1}"
            )
            with closing(answer["Body"]) as body:
                for chunk in body.iter_chunks(_CHUNK_BYTES):
                    self._deadline.check()
                    yield chunk
                    missing -= len(chunk)
        except (ClientError, BotoCoreError) as error:
            raise self._explained(file, error) from None
        if missing:
            raise StoreUnavailableError(f"{self._name(file)}: the body ended {missing} bytes early")

    def _key(self, file: SourceFile) -> str:
        return f"{self._prefix}{file.path}"

    def _name(self, file: SourceFile) -> str:
        return f"s3://{self._bucket}/{self._key(file)}"

    def _explained(self, file: SourceFile, error: ClientError | BotoCoreError) -> StoreError:
        code = error.response["Error"].get("Code", "") if isinstance(error, ClientError) else ""
        kind = StoreError if code in _REFUSED else StoreUnavailableError
        return kind(f"{self._name(file)}, which a quantise job made, can't be read: {error}")
