"""Reading a container's log, and the table of usual causes."""

from __future__ import annotations

import pytest

from quant_llm_watchdog.causes import CAUSES, usual_causes
from quant_llm_watchdog.words import LAST_LINES, LastWords, last_words
from tests.unit.watchdog.fakes import END, SENTENCE


def test_the_last_sentence_counts_and_how_often_it_was_said() -> None:
    other = END.replace("GGUF", "safetensors")
    words = last_words([END, other, "", "  loading  ", END])
    assert (words.sentence, words.ends) == (SENTENCE, 2)
    assert words.lines == (END, other, "loading", END)


def test_errors_that_end_nothing_are_no_sentence() -> None:
    words = last_words(['{"level": "error", "message": "a request failed"}', "[1, 2]", "{", '"exit_code"'])
    assert words.sentence is None
    assert words.told.startswith("the container's log ends: ")


def test_a_long_log_is_cut_at_its_beginning_and_long_lines_at_their_end() -> None:
    words = last_words([str(number) for number in range(100)] + ["x" * 5000])
    assert len(words.lines) == LAST_LINES
    assert words.lines[0] == str(100 - LAST_LINES + 1)
    assert len(words.lines[-1]) == 300


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("ggml_cuda: cudaMalloc failed: out of memory", "GPU memory"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "GPU memory"),
        ("llama.cpp ended with status -9: it wrote nothing", "memory of the instance"),
        ("CannotStartContainerError. Please ensure the model container starts", "driver and CUDA"),
        ("CUDA driver version is insufficient for CUDA runtime version", "driver and CUDA"),
        ("OSError: [Errno 28] No space left on device", "disk"),
        ("no GGUF in /opt/ml/model, found README.md", "wrong file"),
        ("llama-server has no option LLAMA_ARG_X, did you mean LLAMA_ARG_Y", "wrong option"),
        ("The account-level service limit 'ml.g5.xlarge for endpoint usage' is 0 Instances", "quota"),
        ("Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity", "capacity"),
        ("Failed to download model data from s3://bucket/key: Access Denied", "model data"),
        ("The image '123.dkr.ecr.us-east-1.amazonaws.com/x:1' does not exist", "image"),
        (
            "Please make sure all images included in the model for the production variant AllTraffic exist, "
            "and that the execution role has permissions to access them. (not authorized to perform ...)",
            "image",
        ),
        ("The primary container did not pass the ping health check", "health check"),
    ],
)
def test_symptom_leads_to_its_cause_first(said: str, cause: str) -> None:
    assert usual_causes("", LastWords((said,)))[0].name == cause
    assert usual_causes(said, LastWords(("loading",)))[0].name == cause


def test_every_cause_is_found_by_some_symptom() -> None:
    parameters = test_symptom_leads_to_its_cause_first.pytestmark[0].args[1]  # type: ignore[attr-defined]  # pytest's
    assert {cause for _, cause in parameters} == {cause.name for cause in CAUSES}


def test_a_failed_health_check_is_no_cause_where_a_better_one_is_known() -> None:
    found = usual_causes("did not pass the ping health check", LastWords(("out of memory",)))
    assert [cause.name for cause in found] == ["GPU memory"]


def test_silence_is_a_symptom_and_plain_talk_is_none() -> None:
    assert [cause.name for cause in usual_causes("", LastWords())] == ["no log"]
    assert usual_causes("", LastWords(("loading",))) == []
