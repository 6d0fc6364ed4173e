"""What the workers tell each other and the finisher: one small S3 object per part, under `work/`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field

from quant_llm_repack.errors import StoreError
from quant_llm_repack.plan import Plan
from quant_llm_repack.store import ArtifactStore

WORK_PREFIX = "work/"


@dataclass(frozen=True, kw_only=True, slots=True)
class PartRecord:
    """What was seen of one part's bytes, written when they have been hashed.

    `crc32` is that of the part as S3 stores it, `payload_crc32` that of its payload. `before` is the
    sha256 of the bytes before this part of the file that goes over its start, `after` the same for the file
    that goes over its end, and `state` what another worker goes on hashing from. `sha256` is by path, for the
    files that end in this part.
    """

    number: int
    crc32: int
    payload_crc32: int
    before: str | None = None
    after: str | None = None
    state: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)


def work_prefix(key: str) -> str:
    """Where all that is kept while the artifact of `key` is made lies; empty again afterwards."""
    return f"{WORK_PREFIX}{key.removesuffix('/')}/"


class Records:
    """The records of the uploads of one plan: those of other uploads must never be taken for them."""

    def __init__(self, store: ArtifactStore, key: str, plan: Plan, upload_ids: Sequence[str | None]) -> None:
        """Keep the records for the artifact `key`; `upload_ids` are those of the plan's objects."""
        self._store = store
        self._plan = plan
        # A part's record belongs to its object's upload, which a later execution may go on with among others.
        self._folders = {
            of.name: f"{work_prefix(key)}{_short_hash([id_])}/"
            for of, id_ in zip(plan.objects, upload_ids, strict=True)
        }
        self._items = f"{work_prefix(key)}items/{_short_hash(upload_ids)}/"

    def get(self, number: int) -> PartRecord | None:
        """The record of a part; None when there is none yet."""
        body = self._store.read(self._key(number))
        if body is None:
            return None
        try:
            return PartRecord(**json.loads(body))
        except (TypeError, ValueError) as error:
            url = self._store.url(self._key(number))
            raise StoreError(f"{url} is no record of a part: {error}") from None

    def put(self, record: PartRecord) -> None:
        """Write a part's record; two workers that make the same part write the same."""
        self._store.write(self._key(record.number), json.dumps(asdict(record)).encode())

    def put_item(self, records: Sequence[PartRecord]) -> None:
        """Write an item's records once more, as one object: the finisher then reads few."""
        if records:
            body = json.dumps([asdict(record) for record in records]).encode()
            self._store.write(f"{self._items}{records[0].number:05}.json", body)

    def of_items(self, executor: Executor) -> dict[int, PartRecord]:
        """The records of the parts of all items that are done, by part."""
        keys = self._store.keys(self._items)
        bodies = executor.map(self._store.read, keys)
        records = [PartRecord(**each) for body in bodies if body for each in json.loads(body)]
        return {record.number: record for record in records}

    def _key(self, number: int) -> str:
        return f"{self._folders[self._plan.object_of(number).name]}{number:05}.json"


def _short_hash(upload_ids: Sequence[str | None]) -> str:
    return hashlib.sha256(json.dumps(upload_ids).encode()).hexdigest()[:16]
