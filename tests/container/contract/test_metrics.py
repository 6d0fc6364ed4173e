"""What the container tells about itself."""

from __future__ import annotations

from tests.container.contract.endpoint import LONG, Endpoint, wait_until


def test_metrics_are_prometheus_text_of_the_container_and_its_engine(endpoint: Endpoint) -> None:
    name = 'quantllm_requests_total{route="/v1/completions",status="200"}'
    endpoint.invoke({**LONG, "max_tokens": 5})
    requests, tokens = endpoint.metric(name), endpoint.metric("quantllm_generated_tokens_total")
    first = endpoint.metric("quantllm_time_to_first_token_seconds_count")
    list(endpoint.stream({**LONG, "max_tokens": 5}))
    wait_until(lambda: endpoint.metric(name) == requests + 1, seconds=2)
    assert endpoint.metric("quantllm_generated_tokens_total") == tokens + 5
    assert endpoint.metric("quantllm_time_to_first_token_seconds_count") == first + 1
    assert endpoint.metric("quantllm_healthy") == 1
    assert endpoint.slots() > 0
    assert endpoint.metric("quantllm_requests_waiting") == 0
    _, text = endpoint.request("GET", "/metrics")
    assert all(line.startswith("#") or len(line.rsplit(" ", 1)) == 2 for line in text.splitlines())
    assert any(not line.startswith(("#", "quantllm_")) for line in text.splitlines())  # the engine's own


def test_refused_requests_are_counted(endpoint: Endpoint) -> None:
    name = 'quantllm_requests_total{route="none",status="400"}'
    endpoint.invoke(b"{")
    before = endpoint.metric(name)
    endpoint.invoke(b"{")
    assert endpoint.metric(name) == before + 1
