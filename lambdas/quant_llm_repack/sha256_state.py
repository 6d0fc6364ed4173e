"""sha256 whose state can be handed on: one worker hashes a file's first bytes, another goes on.

Python's hashlib keeps its state to itself. OpenSSL's own SHA256_Init, SHA256_Update and SHA256_Final work on
a plain structure that is its state, in the library that hashlib has loaded already. They are deprecated but
part of every OpenSSL up to 3.x; where they are missing or do anything unexpected, `can_hand_on` is false and
hashlib does the hashing.
https://docs.openssl.org/3.0/man3/SHA256_Init/
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import importlib
from collections.abc import Iterator
from functools import cache
from typing import Protocol

from quant_llm_lambda.log import log

# h[8], Nl, Nh, data[16], num and md_len, 4 bytes each: openssl/sha.h
_STATE_BYTES = 112
_DIGEST_BYTES = 32
_FUNCTIONS = ("SHA256_Init", "SHA256_Update", "SHA256_Final")


class PrefixHash(Protocol):
    """The sha256 of a file's bytes so far."""

    def update(self, data: bytes | memoryview) -> None:
        """Add bytes. A memoryview must be writable: the C side takes its address."""
        ...

    def hexdigest(self) -> str:
        """The sha256 so far; more bytes may follow."""
        ...

    def state(self) -> str | None:
        """What `resumed` goes on from, in hex; None where it can't be handed on."""
        ...


def new_hash() -> PrefixHash:
    """The hash of no bytes yet."""
    library = _library()
    return _HashlibSha256() if library is None else _OpensslSha256(library)


def resumed(state: str) -> PrefixHash:
    """A hash that goes on from a state; ValueError for what is none, or where none can be handed on."""
    library, content = _library(), bytes.fromhex(state)
    if library is None or len(content) != _STATE_BYTES:
        raise ValueError(f"a state must be {_STATE_BYTES} bytes of OpenSSL, got {len(content)}")
    return _OpensslSha256(library, content)


def can_hand_on() -> bool:
    """Whether states can be handed on here."""
    return _library() is not None


class _HashlibSha256:
    """Without a state to hand on."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, data: bytes | memoryview) -> None:
        self._hash.update(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def state(self) -> None:
        return None


class _OpensslSha256:
    """SHA256_CTX and the three functions on it; ctypes lets go of the interpreter's lock meanwhile."""

    def __init__(self, library: ctypes.CDLL, state: bytes | None = None) -> None:
        self._library = library
        self._context = ctypes.create_string_buffer(_STATE_BYTES)
        if state is None:
            library.SHA256_Init(self._context)
        else:
            self._context.raw = state

    def update(self, data: bytes | memoryview) -> None:
        length = len(data)
        if isinstance(data, bytes):
            self._library.SHA256_Update(self._context, data, ctypes.c_size_t(length))
        elif length:
            content = (ctypes.c_char * length).from_buffer(data)
            self._library.SHA256_Update(self._context, content, ctypes.c_size_t(length))

    def hexdigest(self) -> str:
        digest = ctypes.create_string_buffer(_DIGEST_BYTES)
        copy = ctypes.create_string_buffer(self._context.raw, _STATE_BYTES)  # SHA256_Final ends what it gets
        self._library.SHA256_Final(digest, copy)
        return digest.raw.hex()

    def state(self) -> str:
        return self._context.raw.hex()


@cache
def _library() -> ctypes.CDLL | None:
    """The first library that has the functions and hands a state on rightly."""
    for path in _candidates():
        try:
            library = ctypes.CDLL(path)
            if all(hasattr(library, name) for name in _FUNCTIONS) and _is_right(library):
                return library
        except OSError:
            continue
    log("repack.no_hash_state", consequence="each file is hashed by one worker alone")
    return None


def _candidates() -> Iterator[str]:
    try:
        # Its symbols include those of the libcrypto that it is linked with: no second library is loaded.
        path: str | None = importlib.import_module("_hashlib").__file__
    except ImportError:
        path = None
    if path:
        yield path
    if path := ctypes.util.find_library("crypto"):
        yield path


def _is_right(library: ctypes.CDLL) -> bool:
    """Whether a message hashed by way of handed on states has hashlib's sha256."""
    message = bytes(range(251)) * 3
    hash_ = _OpensslSha256(library)
    for start in range(0, len(message), 77):  # ends within and on both sides of sha256's blocks of 64 bytes
        hash_ = _OpensslSha256(library, bytes.fromhex(hash_.state()))
        hash_.update(message[start : start + 77])
        if hash_.hexdigest() != hashlib.sha256(message[: start + 77]).hexdigest():
            return False
    return True
