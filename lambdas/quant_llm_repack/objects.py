"""A plan's objects in S3: which are there, and the uploads of those that are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor

from quant_llm_repack.errors import StoreError, StoreUnavailableError
from quant_llm_repack.manifest import object_metadata
from quant_llm_repack.plan import Plan, PlannedObject
from quant_llm_repack.request import ArtifactRequest
from quant_llm_repack.store import ArtifactStore, Upload

THREADS = 16  # requests at a time: a prefix may have thousands of objects

Uploads = Mapping[str, Upload]
"""Uploads under way, by the name of the object."""

_ARCHIVE_TYPE = "application/gzip"  # and no ContentEncoding: clients would unpack it on the way
_FILE_TYPE = "application/octet-stream"


class ArtifactObjects:
    """The objects of a request. One that is there was verified: nothing else ever makes it visible."""

    def __init__(
        self,
        store: ArtifactStore,
        request: ArtifactRequest,
        plan: Plan,
        *,
        executor: Callable[[int], Executor],
    ) -> None:
        """Look after the objects of `plan` in `store`; `executor` gives threads for many requests."""
        self._store = store
        self._request = request
        self._plan = plan
        self._executor = executor
        self._content_type = _FILE_TYPE if request.is_prefix else _ARCHIVE_TYPE

    def key(self, of: PlannedObject) -> str:
        """The object's key."""
        return f"{self._request.key}{of.name}"

    def url(self, of: PlannedObject) -> str:
        """The object's address, `s3://bucket/key`."""
        return self._store.url(self.key(of))

    def is_there(self, of: PlannedObject) -> bool:
        """Whether the object is visible; StoreError when something else has its key."""
        return self._store.holds(self.key(of), length=of.length, metadata=self._metadata(of))

    def missing(self) -> list[PlannedObject]:
        """The objects that are not there; StoreError when something else is in their place or among them.

        All that is under a prefix becomes part of the model.
        """
        objects = self._plan.objects
        if self._request.is_prefix:
            there = set(self._store.keys(self._request.key))
            if foreign := sorted(there - {self.key(each) for each in objects}):
                raise StoreError(
                    f"{self._store.url(foreign[0])} is in the way: it is no file of the lock, and an "
                    "endpoint would load all that is under the prefix"
                )
            known = [each for each in objects if self.key(each) in there]
        else:
            known = list(objects)
        with self._executor(THREADS) as asking:
            are_there = list(asking.map(self.is_there, known))
        held = {each.name for each, is_there in zip(known, are_there, strict=True) if is_there}
        return [each for each in objects if each.name not in held]

    def shared_uploads(self, missing: Sequence[PlannedObject]) -> list[str | None]:
        """The id of each object's upload, None for one that needs none.

        All deploys of this artifact share them: the oldest of a key, begun if there is none. The key names
        the files by their digest, so whatever another deploy has uploaded there is the same.
        """
        wanted = [each for each in missing if each.parts]
        under_way = self._store.uploads(self._request.key)
        begun = [each for each in wanted if self.key(each) not in under_way]
        if begun:
            try:
                with self._executor(THREADS) as asking:
                    own = list(asking.map(self.begin, begun))
            except StoreUnavailableError:
                # S3 may have begun one whose answer was lost, and where the execution was stopped meanwhile
                # nobody would end it. A deploy that began one just now, and loses it here, plans again.
                self._end(begun)
                raise
            now = self._store.uploads(self._request.key)
            for of, upload in zip(begun, own, strict=True):
                oldest = now.get(self.key(of), [upload.id])[0]
                if oldest != upload.id:  # another deploy began at the same time
                    upload.abort()
                under_way[self.key(of)] = [oldest]
        ids = {each.name: under_way[self.key(each)][0] for each in wanted}
        return [ids.get(each.name) for each in self._plan.objects]

    def begin(self, of: PlannedObject) -> Upload:
        """A new upload of an object."""
        return self._store.upload(
            self.key(of), length=of.length, metadata=self._metadata(of), content_type=self._content_type
        )

    def uploads(self, ids: Sequence[str | None]) -> Uploads:
        """The uploads that `shared_uploads` named, wherever they were begun."""
        return {
            of.name: self._store.resumed(self.key(of), id_, length=of.length, metadata=self._metadata(of))
            for of, id_ in zip(self._plan.objects, ids, strict=True)
            if id_ is not None
        }

    def put_empty(self, of: PlannedObject) -> None:
        """Make an object of no bytes visible, unless it is there."""
        self._store.put_if_absent(
            self.key(of), b"", content_type=self._content_type, metadata=self._metadata(of)
        )

    def end_uploads(self) -> None:
        """Abort every upload under way; StoreError when one may still be there."""
        self._end(self._plan.objects)

    def _end(self, objects: Sequence[PlannedObject]) -> None:
        under_way = self._store.uploads(self._request.key)
        keys = [self.key(each) for each in objects]
        ids = [(key, upload_id) for key in keys for upload_id in under_way.get(key, [])]
        with self._executor(THREADS) as ending:
            for ended in [ending.submit(self._store.abort, key, upload_id) for key, upload_id in ids]:
                ended.result()

    def _metadata(self, of: PlannedObject) -> dict[str, str]:
        return object_metadata(self._request, of)
