"""/ping: only a container that can serve is healthy."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.container.conftest import Run
from tests.container.contract.endpoint import wait_until


@pytest.mark.usefixtures("model")
def test_ping_is_503_until_the_engine_has_generated_a_token(start: Run) -> None:
    container = start(STUB_LOAD_SECONDS="1")
    wait_until(lambda: container.ping() is not None, seconds=10)
    assert container.ping() == 503
    assert container.invoke({"prompt": "x"})[0] == 503
    assert container.metric("quantllm_healthy") == 0
    wait_until(lambda: container.ping() == 200, seconds=10)
    container.until_logged("ready: the first token was generated")
    assert container.invoke({"prompt": "x"})[0] == 200


@pytest.mark.usefixtures("model")
def test_ping_is_503_while_the_loaded_engine_works_on_its_first_token(start: Run) -> None:
    container = start(STUB_FIRST_TOKEN_SECONDS="2")
    wait_until(lambda: container.ping() is not None, seconds=10)
    assert wait_until(lambda: container.ping() == 200, seconds=10) > 1
    container.until_logged("ready: the first token was generated")


@pytest.mark.usefixtures("model")
def test_an_engine_that_loads_but_generates_nothing_ends_the_container(start: Run) -> None:
    container = start(STUB_TOKENS="0")
    assert container.wait_for_exit(10) == 4
    assert "the engine can't generate: POST /v1/completions answered 200" in container.entries[-1]["message"]


def test_ping_is_503_while_the_engine_hangs_and_200_when_it_answers_again(run: Run) -> None:
    container = run(SERVING_HEALTH_SECONDS="0.5")
    hang = {"prompt": "x", "stub": {"do": "hang", "seconds": 4}}
    caller = threading.Thread(target=container.invoke, args=[hang])
    caller.start()
    wait_until(lambda: container.ping() == 503, seconds=5)
    status, answer = container.invoke({"prompt": "x"})
    assert (status, answer["error"]["message"]) == (503, "the engine does not answer its health check")
    wait_until(lambda: container.ping() == 200, seconds=10)
    caller.join()
    container.until_logged("the engine left a health check unanswered for 0.5 s")
    container.until_logged("the engine answers again")


def test_an_engine_that_answers_health_checks_and_no_longer_works_ends_the_container(run: Run) -> None:
    container = run(SERVING_STALL_SECONDS="1")
    answer = container.post({"prompt": "x", "stub": {"do": "stall"}})
    assert container.wait_for_exit(10) == 4
    assert "the engine began no new step for 1 s (SERVING_STALL_SECONDS)" in container.entries[-1]["message"]
    with closing(answer):
        assert answer.getresponse().status == 502


def test_a_pause_that_is_short_enough_is_no_stall(run: Run) -> None:
    container = run(SERVING_STALL_SECONDS="4")
    assert container.invoke({"prompt": "x", "stub": {"do": "stall", "seconds": 2.5}})[0] == 200
    assert container.ping() == 200


def test_the_model_directory_is_not_written_to(run: Run, model_directory: Path) -> None:
    model_directory.chmod(0o555)
    container = run()
    assert container.invoke({"prompt": "x"})[0] == 200
    assert [path.name for path in model_directory.iterdir()] == ["m.gguf"]
