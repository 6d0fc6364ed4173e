"""`quantllm invoke` on a fake endpoint."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from quant_llm_tools import invoke
from quant_llm_tools.cli import main

CHAT = {"choices": [{"message": {"role": "assistant", "content": "Paris."}}], "usage": {"total_tokens": 9}}


class FakeRuntime:
    """An endpoint that answers with what it is given and keeps what it was asked."""

    def __init__(self, answer: bytes = b"", parts: Sequence[bytes | Exception] = ()) -> None:
        self.answer = answer
        self.parts = parts
        self.bodies: list[Any] = []
        self.attributes: list[str | None] = []

    def invoke_endpoint(
        self, *, EndpointName: str, ContentType: str, Body: str, CustomAttributes: str | None = None
    ) -> dict[str, Any]:
        assert (EndpointName, ContentType) == ("moh-chat", "application/json")
        self.attributes.append(CustomAttributes)
        self.bodies.append(json.loads(Body))
        return {"Body": io.BytesIO(self.answer)}

    def invoke_endpoint_with_response_stream(self, **request: str) -> dict[str, Any]:
        self.invoke_endpoint(**request)

        def events() -> Any:
            for part in self.parts:
                if isinstance(part, Exception):
                    raise part
                yield {"PayloadPart": {"Bytes": part}}

        return {"Body": events()}  # a generator has botocore's close() as well


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    fake = FakeRuntime(json.dumps(CHAT).encode())
    monkeypatch.setattr(invoke, "_client", lambda region: fake)
    return fake


def sse(*texts: str) -> bytes:
    events = [json.dumps({"choices": [{"delta": {"content": text}}]}) for text in texts]
    return "".join(f"data: {event}\n\n" for event in events).encode()


def test_prompt_becomes_a_chat_and_the_text_is_printed(
    runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--system", "Be brief.", "--max-tokens", "9", "--temperature", "0"]
    assert main(["invoke", "moh-chat", "Capital of France?", *options]) == 0
    assert capsys.readouterr().out == "Paris.\n"
    assert runtime.bodies == [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Capital of France?"},
            ],
            "max_tokens": 9,
            "temperature": 0,
        }
    ]


def test_an_adapter_is_named_in_the_body_and_insisted_on_in_the_header(runtime: FakeRuntime) -> None:
    assert main(["invoke", "moh-chat", "?", "--adapter", "law"]) == 0
    assert main(["invoke", "moh-chat", "?"]) == 0
    assert [body.get("model") for body in runtime.bodies] == ["law", None]
    assert runtime.attributes == ["adapter=law", None]


@pytest.mark.parametrize("name", ["", "law,route=/v1/completions", "a b", "a;b", "lög", "a\nb"])
def test_a_name_that_the_header_can_not_carry_is_refused(
    runtime: FakeRuntime, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with pytest.raises(SystemExit):
        main(["invoke", "moh-chat", "?", "--adapter", name])
    assert "expected an adapter's name" in capsys.readouterr().err
    assert runtime.bodies == []


@pytest.mark.usefixtures("runtime")
def test_json_is_the_whole_response(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["invoke", "moh-chat", "?", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == CHAT


def test_body_from_a_file_is_sent_as_it_is(runtime: FakeRuntime, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"prompt": "x", "temperature": 0}')
    assert main(["invoke", "moh-chat", "--body", str(body)]) == 0
    assert runtime.bodies == [{"prompt": "x", "temperature": 0}]


def test_stream_is_printed_whatever_the_parts_cut_through(
    runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    data = sse("The ", "capital ", "is ", "Zürich") + b"data: [DONE]\n\n"
    runtime.parts = [data[start : start + 7] for start in range(0, len(data), 7)]
    assert main(["invoke", "moh-chat", "?", "--stream"]) == 0
    assert capsys.readouterr().out == "The capital is Zürich\n"
    assert runtime.bodies[0]["stream"] is True


def test_stream_as_json_is_one_event_a_line(runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    runtime.parts = [sse("a", "b")]
    assert main(["invoke", "moh-chat", "?", "--stream", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [invoke.text_of(json.loads(line)) for line in lines] == ["a", "b"]


def test_a_stream_of_json_lines_is_read_as_well(
    runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    """As LMI streams vLLM's answers, with an empty line for the end."""
    lines = sse("a", "b").replace(b"data: ", b"").replace(b"\n\n", b"\n") + b"\n"
    runtime.parts = [lines[:7], lines[7:]]
    assert main(["invoke", "moh-chat", "?", "--stream"]) == 0
    assert capsys.readouterr().out == "ab\n"


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (CHAT, "Paris."),
        ({"choices": [{"text": "done"}]}, "done"),
        ({"content": "native"}, "native"),
        ({"choices": [{"delta": {"role": "assistant", "content": None}}]}, ""),
        ({"data": [0.1]}, ""),
    ],
)
def test_text_is_found_in_each_form_of_answer(response: dict[str, Any], text: str) -> None:
    assert invoke.text_of(response) == text


def test_error_of_the_endpoint_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(FakeRuntime):
        def invoke_endpoint(self, **_: str | None) -> dict[str, Any]:
            raise ClientError(
                {"Error": {"Code": "ModelError", "Message": "out of context"}}, "InvokeEndpoint"
            )

    monkeypatch.setattr(invoke, "_client", lambda region: Broken())
    assert main(["invoke", "moh-chat", "?"]) == 1
    assert capsys.readouterr().err == "endpoint 'moh-chat' answered ModelError: out of context\n"


def test_stream_that_breaks_off_is_an_error_after_its_text(
    runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = EventStreamError({"Error": {"Code": "ModelStreamError", "Message": "gone"}}, "Stream")
    runtime.parts = [sse("The "), broken]
    assert main(["invoke", "moh-chat", "?", "--stream"]) == 1
    output = capsys.readouterr()
    assert output.out == "The "
    assert "ModelStreamError: gone" in output.err


def test_a_stream_without_text_says_so(runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    """Embeddings can't be streamed: one object comes, with no line end."""
    runtime.parts = [b'{"data": [{"embedding"', b": [0.1]}]}"]
    assert main(["invoke", "moh-chat", "?", "--stream"]) == 0
    assert "--json" in capsys.readouterr().err
    assert main(["invoke", "moh-chat", "?", "--stream", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"data": [{"embedding": [0.1]}]}


def test_of_several_answers_the_first_is_printed(
    runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    choices = [{"index": index, "text": text} for index, text in ((0, "a"), (1, "x"), (0, "b"), (1, "y"))]
    events = [json.dumps({"choices": [choice]}) for choice in choices]
    runtime.parts = ["".join(f"data: {event}\n\n" for event in ["null", *events]).encode()]
    assert main(["invoke", "moh-chat", "?", "--stream"]) == 0
    assert capsys.readouterr().out == "ab\n"


def test_event_that_is_no_json_is_an_error(runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    runtime.parts = [b'{\n  "data": []\n}\n']
    assert main(["invoke", "moh-chat", "?", "--stream"]) == 1
    assert "no JSON" in capsys.readouterr().err


def test_options_of_a_prompt_are_not_lost_beside_a_body(
    runtime: FakeRuntime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"prompt": "x"}')
    assert main(["invoke", "moh-chat", "--body", str(body), "--max-tokens", "5"]) == 1
    assert capsys.readouterr().err.startswith("--max-tokens goes with PROMPT")
    assert runtime.bodies == []


def test_error_event_of_the_engine_ends_the_stream(
    runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime.parts = [sse("The "), b'data: {"error": {"code": 500, "message": "slot lost"}}\n\n']
    assert main(["invoke", "moh-chat", "?", "--stream"]) == 1
    assert "slot lost" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("{", "is not JSON"), ("[1]", "must be a JSON object, got list"), (None, "can't be read")],
)
def test_wrong_body_file_is_an_error(
    runtime: FakeRuntime,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    complaint: str,
) -> None:
    body = tmp_path / "body.json"
    if content is not None:
        body.write_text(content)
    assert main(["invoke", "moh-chat", "--body", str(body)]) == 1
    assert complaint in capsys.readouterr().err
    assert runtime.bodies == []


def test_answer_that_is_no_json_is_an_error(runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    runtime.answer = b"<html>"
    assert main(["invoke", "moh-chat", "?"]) == 1
    assert "no JSON" in capsys.readouterr().err


def test_missing_region_is_an_error_that_says_where_to_give_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    assert main(["invoke", "moh-chat", "?"]) == 1
    assert "expected --region" in capsys.readouterr().err
