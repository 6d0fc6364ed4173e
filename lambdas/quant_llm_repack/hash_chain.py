"""Hashes the files while their parts go by, in whatever worker: the state is handed on from part to part."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from quant_llm_repack.deadline import Deadline
from quant_llm_repack.errors import RepackError
from quant_llm_repack.plan import Part, Plan, SourceRange
from quant_llm_repack.records import PartRecord, Records
from quant_llm_repack.render import RenderedPart, Source, payload_slices
from quant_llm_repack.sha256_state import PrefixHash, can_hand_on, new_hash, resumed
from quant_llm_repack.verify import require_sha256

# A part that nobody has hashed so long is hashed here: its worker may be dead, or not be running yet.
PATIENCE_SECONDS = 30.0
# A file is hashed no faster than its state is handed on. Who has waited long may look less often.
_LEAST_WAIT_SECONDS = 0.02
_WAIT_SHARE = 0.05


class HashChain:
    """The hashes of one worker's parts.

    Where a file goes over a part's start, its hash goes on from the state in the record of the part before.
    That record is waited for; when it does not come, the file's bytes since the last known state are read
    again for hashing alone. So no worker depends on another one's life, and the finisher compares what both
    sides of every part's start have seen.
    """

    def __init__(
        self,
        plan: Plan,
        records: Records,
        source: Source,
        *,
        deadline: Deadline,
        patience_seconds: float = PATIENCE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Hash parts of `plan`; `source` is for bytes that must be read again."""
        self._plan = plan
        self._records = records
        self._source = source
        self._deadline = deadline
        self._patience_seconds = patience_seconds
        self._sleep = sleep
        self._clock = clock
        self._stopped = threading.Event()
        self._last: tuple[int, PrefixHash | None] = (0, None)

    def stop(self) -> None:
        """End a wait that is under way in another thread."""
        self._stopped.set()

    def add(self, part: Part, rendered: RenderedPart) -> PartRecord:
        """Hash a part's bytes and record what was seen.

        MismatchError when a file that ends in the part is not the lock's, OutOfTimeError at the deadline.
        """
        going_on = self._state_before(part)
        before = going_on.hexdigest() if going_on else None
        sha256: dict[str, str] = {}
        payload = 0
        with rendered.body.getbuffer() as view:
            for piece in part.pieces:
                if not isinstance(piece, SourceRange):
                    payload += len(piece)
                    continue
                hash_ = going_on if going_on and piece.start else new_hash()
                stop = payload + piece.stop - piece.start
                for data in payload_slices(part, view, payload, stop):
                    hash_.update(data)
                payload = stop
                going_on = None
                if piece.stop == piece.file.size:
                    sha256[piece.file.path] = hash_.hexdigest()
                    require_sha256(piece.file, sha256[piece.file.path])
                else:
                    going_on = hash_
        record = PartRecord(
            number=part.number,
            crc32=rendered.crc32,
            payload_crc32=rendered.payload_crc32,
            before=before,
            after=going_on.hexdigest() if going_on else None,
            state=going_on.state() if going_on else None,
            sha256=sha256,
        )
        self._records.put(record)
        self._last = (part.number, going_on)
        return record

    def _state_before(self, part: Part) -> PrefixHash | None:
        """The hash of the bytes before this part of the file that goes over its start."""
        range_ = part.continued
        if range_ is None:
            return None
        number, hash_ = self._last
        if number == part.number - 1 and hash_ is not None:
            return hash_
        begun_in = self._plan.begun_in(part.number)
        hash_ = self._recorded(part.number - 1)
        if hash_ is None and begun_in == part.number - 1:
            hash_ = new_hash()
            self._read_again(range_, 0, hash_)
        return hash_ or self._awaited(part, range_, begun_in or part.number)

    def _awaited(self, part: Part, range_: SourceRange, begun_in: int) -> PrefixHash:
        """Wait for the record of the part before, the longer the more parts must come before that."""
        began = self._clock()
        patience = self._patience_seconds if can_hand_on() else 0.0
        while True:
            if (hash_ := self._recorded(part.number - 1)) is not None:
                return hash_
            waited = self._clock() - began
            if waited >= patience:
                known, hash_ = self._latest(part.number - 1, begun_in)
                if waited >= patience * (part.number - 1 - known):
                    self._read_again(range_, self._file_position(range_, part, known), hash_)
                    return hash_
            self._deadline.check()
            if self._stopped.is_set():
                raise RepackError("another part of the same worker failed")
            self._sleep(max(_LEAST_WAIT_SECONDS, waited * _WAIT_SHARE))

    def _latest(self, before: int, begun_in: int) -> tuple[int, PrefixHash]:
        """The last part before `before` whose state is known; the one before the file's first at worst."""
        if can_hand_on():
            for number in range(before - 1, begun_in - 1, -1):
                if (hash_ := self._recorded(number)) is not None:
                    return number, hash_
        return begun_in - 1, new_hash()

    def _file_position(self, range_: SourceRange, part: Part, known: int) -> int:
        """The file's bytes up to the end of part `known`."""
        return max(0, range_.start - (part.payload_start - self._plan.payload_stop(known)))

    def _recorded(self, number: int) -> PrefixHash | None:
        record = self._records.get(number)
        if record is None or record.state is None or not can_hand_on():
            return None
        hash_ = resumed(record.state)
        if hash_.hexdigest() != record.after:
            raise RepackError(f"the record of part {number} contradicts itself: its hash state is another")
        return hash_

    def _read_again(self, range_: SourceRange, start: int, hash_: PrefixHash) -> None:
        for chunk in self._source.read(range_.file, start, range_.start):
            hash_.update(chunk)
