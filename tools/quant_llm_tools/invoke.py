"""`quantllm invoke`: call an endpoint from the terminal, whole or as a stream."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant_llm.errors import QuantLlmError
from quant_llm_tools.number_arguments import at_least

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

Json = dict[str, Any]

_WITH_PROMPT = ("system", "adapter", "max_tokens", "temperature")

# Public reports have the first instance answer after five to ten minutes.
_TIMEOUT = 1200

# Longer than SageMaker lets a stream last, so that the error is SageMaker's and not a guess of the client's.
_READ_TIMEOUT = 500


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "invoke",
        help="send a prompt to an endpoint",
        description="Send a chat prompt, or a request body of your own, to an endpoint. One that has scaled "
        "to zero is called again until its first instance answers, which takes minutes.",
    )
    parser.add_argument("endpoint", metavar="ENDPOINT", help="the endpoint's name, <agency>-<model>")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("prompt", metavar="PROMPT", nargs="?", help="the user's message")
    what.add_argument("--body", metavar="FILE", help="a JSON request body, or - to read it from stdin")
    parser.add_argument("--system", metavar="TEXT", help="the system message, with PROMPT")
    parser.add_argument(
        "--adapter", metavar="NAME", type=_adapter, help="the model's adapter that answers, with PROMPT"
    )
    # llama.cpp takes -1 for no limit at all.
    parser.add_argument(
        "--max-tokens", metavar="N", type=at_least(1), help="at most this many tokens, with PROMPT"
    )
    parser.add_argument(
        "--temperature",
        metavar="T",
        type=_not_negative,
        help="0: always the likeliest token; the default is the engine's, with PROMPT",
    )
    parser.add_argument("--region", help="the endpoint's region (default: that of the AWS profile)")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_not_negative,
        default=_TIMEOUT,
        help=f"how long to wait for the first instance; 0: not at all (default: {_TIMEOUT})",
    )
    parser.add_argument("--stream", action="store_true", help="print the answer as it is generated")
    parser.add_argument(
        "--json", action="store_true", help="print the whole response, or each event, as JSON"
    )
    parser.set_defaults(run=run)


def _adapter(text: str) -> str:
    """A name that the header can carry."""
    if not text or not text.isascii() or not text.isprintable() or set(text) & set(" ,;"):
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected an adapter's name: no space, comma, semicolon"
        )
    return text


def _not_negative(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number of 0 or more")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Print the answer; QuantLlmError if the endpoint can't be reached or answers with an error."""
    from botocore.exceptions import BotoCoreError, ClientError, EventStreamError

    body = request_body(arguments)
    try:
        client = _client(arguments.region)
        if arguments.stream:
            call: Callable[..., Any] = client.invoke_endpoint_with_response_stream
            answer = _call(call, arguments, body)
            _print_stream(events(answer), as_json=arguments.json)
        else:
            answer = _call(client.invoke_endpoint, arguments, body)
            _print_whole(whole(arguments.endpoint, answer), as_json=arguments.json)
    except (ClientError, EventStreamError) as error:
        details = error.response["Error"]
        raise QuantLlmError(
            f"endpoint '{arguments.endpoint}' answered {details['Code']}: {details['Message']}"
        ) from error
    except BotoCoreError as error:
        raise QuantLlmError(f"endpoint '{arguments.endpoint}' was not reached: {error}") from error
    return 0


def request_body(arguments: argparse.Namespace) -> Json:
    """The request: the file's, or a chat of the system message and the prompt."""
    if arguments.body is not None:
        for name in _WITH_PROMPT:
            if getattr(arguments, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise QuantLlmError(f"{option} goes with PROMPT, not with --body, which says all by itself")
        body = _read_body(arguments.body)
    else:
        system = [] if arguments.system is None else [{"role": "system", "content": arguments.system}]
        body = {"messages": [*system, {"role": "user", "content": arguments.prompt}]}
        if arguments.adapter is not None:
            body["model"] = arguments.adapter
        if arguments.max_tokens is not None:
            body["max_tokens"] = arguments.max_tokens
        if arguments.temperature is not None:
            body["temperature"] = arguments.temperature
    return {**body, "stream": True} if arguments.stream else body


def _read_body(path: str) -> Json:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        body = json.loads(text)
    except OSError as error:
        raise QuantLlmError(f"request body {path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise QuantLlmError(f"request body {path} is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise QuantLlmError(f"request body {path} must be a JSON object, got {type(body).__name__}")
    return body


def _client(region: str | None) -> SageMakerRuntimeClient:
    import boto3
    from botocore.config import Config

    session = boto3.Session(region_name=region)
    if session.region_name is None:
        raise QuantLlmError("no AWS region, expected --region, AWS_DEFAULT_REGION or one in the AWS profile")
    client: SageMakerRuntimeClient = session.client(
        "sagemaker-runtime", config=Config(read_timeout=_READ_TIMEOUT)
    )
    return client


def _call(call: Callable[..., Any], arguments: argparse.Namespace, body: Json) -> Json:
    """What the call answers; while the endpoint has no instance, say so and call again."""
    from quant_llm_tools.client import call_when_ready

    def waiting(seconds: float) -> None:
        since = f" since {seconds:.0f} s" if seconds >= 1 else ""
        print(f"endpoint '{arguments.endpoint}' has no instance{since}: waiting for one", file=sys.stderr)

    request: Json = {"ContentType": "application/json", "Body": json.dumps(body)}
    if arguments.adapter is not None:  # a model without adapters takes any `model`
        request["CustomAttributes"] = f"adapter={arguments.adapter}"
    answer: Json = call_when_ready(
        call, arguments.endpoint, timeout=arguments.timeout, waiting=waiting, **request
    )
    return answer


def whole(endpoint: str, answer: Json) -> Json:
    """The response in the answer of `invoke_endpoint`."""
    text = answer["Body"].read()
    try:
        response = json.loads(text)
    except ValueError:
        response = None
    if not isinstance(response, dict):
        raise QuantLlmError(f"endpoint '{endpoint}' answered with something that is no JSON: {text[:200]!r}")
    return response


def events(answer: Json) -> Iterator[Json]:
    """The events of a streamed response as they come."""
    with contextlib.closing(answer["Body"]) as stream:
        parts = (event["PayloadPart"]["Bytes"] for event in stream if "PayloadPart" in event)
        yield from server_sent_events(parts)


def server_sent_events(parts: Iterable[bytes]) -> Iterator[Json]:
    """The JSON events in a stream whose parts begin and end anywhere: `data: {…}`, or one a line, as of LMI.

    An endpoint that can't stream what it is asked, as embeddings, answers with one object and no line end.
    Raises QuantLlmError for what is no JSON.

    >>> list(server_sent_events([b'data: {"a"', b': 1}\\n\\nda', b'ta: [DONE]\\n\\n']))
    [{'a': 1}]
    """
    rest = b""
    for part in itertools.chain(parts, [b"\n"]):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            data = line.removeprefix(b"data:").strip()
            if line.startswith((b"data:", b"{")) and data != b"[DONE]":
                try:
                    event = json.loads(data)
                except ValueError as error:
                    raise QuantLlmError(f"the stream has an event that is no JSON: {data[:80]!r}") from error
                if isinstance(event, dict):  # llama.cpp has a null before the answer to another prompt
                    yield event


def text_of(response: Json) -> str:
    """The text in a response or an event: chat, completion, or llama.cpp's own form; "" if it has none.

    Of several answers it is the first one's.
    """
    choices = response.get("choices")
    if not choices:
        return str(response.get("content") or "")
    if choices[0].get("index"):
        return ""
    message = choices[0].get("delta") or choices[0].get("message") or {}
    return str(message.get("content") or choices[0].get("text") or "")


def _print_whole(response: Json, *, as_json: bool) -> None:
    text = text_of(response)
    print(json.dumps(response) if as_json or not text else text)


def _print_stream(stream: Iterable[Json], *, as_json: bool) -> None:
    silent = True
    for event in stream:
        if "error" in event:
            raise QuantLlmError(f"the stream ended with an error: {json.dumps(event['error'])}")
        if as_json:
            print(json.dumps(event), flush=True)
        else:
            text = text_of(event)
            silent = silent and not text
            print(text, end="", flush=True)
    if not as_json:
        print()
        if silent:
            print("the stream had no text, --json shows its events", file=sys.stderr)
