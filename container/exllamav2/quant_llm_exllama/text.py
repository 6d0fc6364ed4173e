"""An answer's text as its tokens come, up to a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quant_llm_exllama.backend import Logprob
from quant_llm_exllama.tokenizer import Decoder


@dataclass(frozen=True, slots=True)
class TokenText:
    """A generated token: where its text begins in the answer, and its log probability."""

    token: int
    offset: int
    logprob: Logprob


class AnswerText:
    """Gives out text as soon as no stop string can begin in it any more, and with it its tokens.

    Tokens are only kept if they come with log probabilities.
    """

    def __init__(self, decoder: Decoder, stops: Sequence[str]) -> None:
        """`stops` end the answer, and are no part of it."""
        self._decoder = decoder
        self._stops = stops
        self._held = ""
        self._given = 0  # characters
        self._tokens: list[TokenText] = []
        self.stopped = False

    def feed(self, tokens: Sequence[int], logprobs: Sequence[Logprob]) -> str:
        """Take tokens, and give what text is certain. After `stopped` there is no more."""
        for index, token in enumerate(tokens):
            if logprobs:
                offset = self._given + len(self._held)
                self._tokens.append(TokenText(token, offset, logprobs[index]))
            self._held += self._decoder.feed(token)
            if self._stops and self._cut():
                break
        return self._give(len(self._held) - (0 if self.stopped else self._undecided()))

    def end(self) -> str:
        """What was still held: no more tokens come."""
        return self._give(len(self._held))

    def take_tokens(self, *, last: bool) -> list[TokenText]:
        """The tokens of the text given so far, each once; all that there are if it was the `last`."""
        if last and not self.stopped:
            taken, self._tokens = self._tokens, []
            return taken
        taken = [token for token in self._tokens if token.offset < self._given]
        self._tokens = self._tokens[len(taken) :]
        return taken

    def _give(self, count: int) -> str:
        text, self._held = self._held[:count], self._held[count:]
        self._given += count
        return text

    def _cut(self) -> bool:
        """End the text before the first stop string in it."""
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self._held = self._held[: min(places)]
            self.stopped = True
        return self.stopped

    def _undecided(self) -> int:
        """How many characters at the end may be the beginning of a stop string."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(self._held)), longest, -1):
                if self._held.endswith(stop[:length]):
                    longest = length
                    break
        return longest
