"""The results of a benchmark: what `quantllm bench --output` writes, and what compare and report read.

Times are measured where the load is made. A request's clock starts when it was due: in a closed loop that is
when it was sent, in an open loop when its arrival was planned, so that a request which had to wait for the
generator counts the wait (no coordinated omission). null stands for what is unknown.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from quant_llm.catalogue.prices import Basis
from quant_llm.errors import QuantLlmError
from quant_llm.json_file import read_json_file

SCHEMA = Path(__file__).with_name("result.schema.json")
"""The JSON Schema of a result's file."""

Share = Annotated[float, Field(ge=0)]
Milliseconds = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(ge=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Environment(_Frozen):
    """What was measured, and from where.

    `endpoint` is the endpoint's name, or the URL without what may be secret in it. `slots` are requests that
    the engine works on at once. `load_generator` is the machine that asked: processor, system, Python.
    `lock_digest` names the weights, as the artifact's S3 key does.
    """

    target: Literal["sagemaker", "url", "local"]
    endpoint: str
    region: str | None = None
    instance_type: str | None = None
    instance_count: int | None = None
    gpu_model: str | None = None
    gpu_count: int | None = None
    gpu_memory_mib: float | None = None
    driver: str | None = None
    engine: str | None = None
    engine_build: str | None = None
    model: str | None = None
    quantization: str | None = None
    bits_per_weight: float | None = None
    parameters: int | None = None
    weight_bytes: int | None = None
    lock_digest: str | None = None
    context_length: int | None = None
    slots: int | None = None
    load_generator: str
    quantllm_version: str


class Workload(_Frozen):
    """What was asked, the same way each time: greedy, with this seed, `max_tokens` of output.

    `fixed_length`: the engine was told to ignore the end of text. `prompts_sha256` is of the prompts' file.
    `salt` begins each prompt, so that no engine finds it in its cache; it is new in each run.
    """

    route: Literal["completions", "chat"]
    max_tokens: int
    fixed_length: bool
    seed: int
    prompts: Count
    rounds: Count
    prompts_sha256: str
    salt: str


class Request(_Frozen):
    """One request. `due_s` and `sent_s` are seconds since the start of its point.

    The milliseconds of `first_ms` (first token) and `end_ms` (end of the answer) count from `due_s`.
    `gaps_ms` are the times between one piece of text and the next; engines mostly send a piece a token.
    Tokens are by the engine's own usage, null if it told none. `error` is its kind, one of `ERRORS`, and
    `detail` what was said.
    """

    prompt: Count
    round: Count
    due_s: Seconds
    sent_s: Seconds
    first_ms: Milliseconds | None
    end_ms: Milliseconds
    gaps_ms: tuple[Milliseconds, ...]
    prompt_tokens: Count | None
    output_tokens: Count | None
    error: str | None = None
    detail: str | None = None


ERRORS = {
    "refused": "the request was wrong (4xx)",
    "throttled": "too many requests (429 or throttling)",
    "server": "the endpoint failed (5xx)",
    "timeout": "no answer, or not all of it, in time",
    "connection": "the connection could not be made or broke",
    "stream": "the stream broke off, or was none",
    "empty": "an answer without a token",
}
"""The kinds of errors."""


class Percentiles(_Frozen):
    """By linear interpolation between the two nearest samples, as numpy's default."""

    p50: float
    p90: float
    p99: float


class Summary(_Frozen):
    """A point in numbers, all of them computed from its requests; None without a request that went well.

    `tokens_per_s`: output tokens a second of all streams together, while all of them were busy.
    `tokens_per_s_stream`: the mean over requests of output tokens / time of the whole request, as in the
    article. `decode_tokens_per_s_stream`: the same without the first token and the time to it.
    `tokens_per_s_rounds`: `tokens_per_s_stream` of each round, for the spread.
    `usd_per_million_output_tokens`: all instances' price an hour over the tokens of that hour.
    """

    requests: Count
    errors: dict[str, Count]
    output_tokens: Count
    tokens_per_s: Rate | None
    tokens_per_s_stream: Rate | None
    decode_tokens_per_s_stream: Rate | None
    tokens_per_s_rounds: tuple[Rate, ...]
    requests_per_s: Rate | None
    first_token_ms: Percentiles | None
    inter_token_ms: Percentiles | None
    end_to_end_ms: Percentiles | None
    usd_per_million_output_tokens: float | None

    @property
    def error_count(self) -> int:
        """Errors of all kinds."""
        return sum(self.errors.values())


class Point(_Frozen):
    """One load: `concurrency` streams in a closed loop, or `arrivals_per_s` in an open one.

    `full_load_s`: the seconds from the start in which the load was whole; tokens after it don't count for
    `tokens_per_s`. `generator_cpu`: processor seconds a second that the load generator took; 1 is one core.
    `complete` is false if it was interrupted.
    """

    loop: Literal["closed", "open"]
    concurrency: int | None
    arrivals_per_s: float | None
    complete: bool
    full_load_s: Seconds
    generator_cpu: Share
    gpu_memory_used_mib: float | None = None
    summary: Summary
    requests: tuple[Request, ...]


class Generator(_Frozen):
    """What the load generator can do at most on this machine, against a server that answers at once.

    `pieces_per_s` is a lower bound: the server took its share of the same processor.
    """

    streams: int
    pieces_per_s: Rate
    bottleneck: bool


class TokenCheck(_Frozen):
    """The engine's count of tokens beside two others, over `answers` answers.

    `retokenised`: the answers' text sent back as prompts, as the engine's tokenizer counts it. Both others
    may differ by a little: a text has more than one way to be cut, and pieces may hold parts of characters.
    """

    answers: Count
    usage: Count
    pieces: Count
    retokenised: Count | None
    agrees: bool


class Price(_Frozen):
    """US dollars an hour of one instance; `basis` "given" is the command line's."""

    usd_per_hour: Annotated[float, Field(gt=0)]
    instances: Annotated[int, Field(gt=0)]
    basis: Basis | Literal["given"]
    as_of: str
    note: str


class Benchmark(_Frozen):
    """Everything of one run. `article` is the protocol of one stream, `sweep` is more and more load.

    `complete` is false if the run was interrupted: then what was measured until then is here.
    """

    schema_version: Literal[1] = 1
    name: str
    complete: bool
    started: str
    finished: str
    environment: Environment
    workload: Workload
    price: Price | None
    generator: Generator | None
    token_check: TokenCheck | None
    article: Point | None
    sweep: tuple[Point, ...]
    warnings: tuple[str, ...]

    @property
    def closed(self) -> tuple[Point, ...]:
        """The sweep's closed loops, by concurrency."""
        points = (point for point in self.sweep if point.loop == "closed")
        return tuple(sorted(points, key=lambda point: point.concurrency or 0))

    @property
    def open(self) -> tuple[Point, ...]:
        """The sweep's open loops, by arrivals."""
        points = (point for point in self.sweep if point.loop == "open")
        return tuple(sorted(points, key=lambda point: point.arrivals_per_s or 0))

    @property
    def best(self) -> Point | None:
        """The point of the closed loops with the most tokens a second; None if there is none."""
        measured = [point for point in self.closed if point.summary.tokens_per_s]
        return max(measured, key=lambda point: point.summary.tokens_per_s or 0, default=None)

    @classmethod
    def read(cls, path: Path) -> Benchmark:
        """Read a file that `write` wrote; QuantLlmError when it can't be read or isn't of its form."""
        return read_json_file(cls, path, remedy="expected what `quantllm bench --output FILE` wrote")

    def write(self, path: Path) -> None:
        """Write the file in one step, so that nobody reads half of it."""
        part = path.with_name(f"{path.name}.part")
        try:
            part.write_text(self.model_dump_json() + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise QuantLlmError(f"{path}: can't be written: {error.strerror}") from None


def schema_text() -> str:
    """What `SCHEMA` must hold."""
    return json.dumps(Benchmark.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")
