"""The model's tokenizer (`tokenizer.json`), and what its other files say about special tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from llguidance import LLTokenizer
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers.decoders import DecodeStream

from quant_llm_serving.errors import ModelError

_FILE = "tokenizer.json"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Tokenizer:
    """Text to token ids and back, as `transformers` does it with the same files.

    `size` is how many tokens there are, `longest` the most characters that one of them stands for.
    """

    def __init__(self, directory: Path) -> None:
        """Read the files of `directory`. Raises ModelError."""
        path = directory / _FILE
        if not path.is_file():
            raise ModelError(f"no {_FILE} in {directory}, which ExLlama needs (no tokenizer.model will do)")
        try:
            self._tokenizer = HuggingFaceTokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing more precise
            raise ModelError(f"{path} can't be read: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self.longest = max(map(len, self._tokenizer.get_vocab(with_added_tokens=True)), default=1)
        self.config = read_json(directory / "tokenizer_config.json")
        self.special = _special_tokens(self.config)
        self.stop_tokens = self._stop_tokens(directory)

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids; with `add_special_tokens` those that the model expects around a text, such as BOS."""
        # Unlike `encode`, the batch lets other threads run; "fast" leaves out the places in the text.
        (encoding,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=add_special_tokens)
        return list(encoding.ids)

    def decoder(self) -> Decoder:
        """Text from tokens as they come."""
        return Decoder(self._tokenizer)

    def piece(self, token: int) -> tuple[str, list[int] | None]:
        """A token's own text and its bytes; no bytes are known of a part of a character."""
        text = self._tokenizer.decode([token], skip_special_tokens=False)
        return text, None if _REPLACEMENT in text else list(text.encode())

    @cached_property
    def for_grammars(self) -> LLTokenizer:
        """The vocabulary as llguidance needs it: takes a second for a large one."""
        ends = sorted(self.stop_tokens)
        return LLTokenizer(self._tokenizer.to_str(), eos_token=ends or None)

    def _stop_tokens(self, directory: Path) -> frozenset[int]:
        """All tokens that end an answer. Which file lists them all differs from model to model."""
        found = (
            {self._tokenizer.token_to_id(self.special["eos_token"])} if "eos_token" in self.special else set()
        )
        for name in ("generation_config.json", "config.json"):
            ids = read_json(directory / name).get("eos_token_id")
            found.update(ids if isinstance(ids, list) else [ids])
        return frozenset(token for token in found if isinstance(token, int) and 0 <= token < self.size)


class Decoder:
    """Text from one answer's tokens as they come: whole characters only, special tokens left out."""

    def __init__(self, tokenizer: HuggingFaceTokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def feed(self, token: int) -> str:
        """The text that the token completes."""
        return self._stream.step(self._tokenizer, token) or ""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file, empty if there is no such file. Raises ModelError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} can't be read: {error}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} must hold an object")
    return value


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """`bos_token` and the like, which chat templates use by these names."""
    found = {}
    for name in ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"):
        token = config.get(name)
        text = token.get("content") if isinstance(token, dict) else token
        if isinstance(text, str):
            found[name] = text
    return found
