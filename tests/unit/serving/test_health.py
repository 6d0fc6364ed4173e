"""What /ping answers."""

from __future__ import annotations

import pytest

from quant_llm_serving.health import Health


@pytest.mark.parametrize(
    ("ready", "answering", "draining", "trouble"),
    [
        (False, True, False, "the model is being loaded"),
        (True, True, False, None),
        (True, False, False, "the engine does not answer its health check"),
        (True, True, True, "the container is shutting down"),
        (False, True, True, "the container is shutting down"),
    ],
)
def test_a_container_is_healthy_only_when_nothing_is_wrong(
    ready: bool, answering: bool, draining: bool, trouble: str | None
) -> None:
    health = Health()
    assert health.trouble == "the model is being loaded"
    health.ready, health.answering, health.draining = ready, answering, draining
    assert health.trouble == trouble
