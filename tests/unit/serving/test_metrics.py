"""The container's metrics in Prometheus' text format."""

from __future__ import annotations

from quant_llm_serving.metrics import Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    text = metrics.text(slots=4, running=3, waiting=2, healthy=True).decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_what_is_so_now() -> None:
    found = samples(Metrics())
    assert found["quantllm_healthy"] == 1
    assert found["quantllm_slots"] == 4
    assert found["quantllm_requests_running"] == 3
    assert found["quantllm_requests_waiting"] == 2


def test_what_was_served_and_refused() -> None:
    metrics = Metrics()
    metrics.refused(429)
    for first, generated in ((0.03, 7), (0.05, None), (None, 5), (1000.0, 1)):
        metrics.served(
            route="/v1/completions",
            status=200,
            seconds=2.0,
            first_token_seconds=first,
            prompt_tokens=10,
            generated_tokens=generated,
        )
    found = samples(metrics)
    assert found['quantllm_requests_total{route="none",status="429"}'] == 1
    assert found['quantllm_requests_total{route="/v1/completions",status="200"}'] == 4
    assert found["quantllm_prompt_tokens_total"] == 40
    assert found["quantllm_generated_tokens_total"] == 13
    name = "quantllm_time_to_first_token_seconds"
    assert found[f'{name}_bucket{{le="0.025"}}'] == 0
    assert found[f'{name}_bucket{{le="0.05"}}'] == 2  # a bound is inside its bucket
    assert found[f'{name}_bucket{{le="480.0"}}'] == 2
    assert found[f'{name}_bucket{{le="+Inf"}}'] == found[f"{name}_count"] == 3
    assert found["quantllm_request_seconds_sum"] == 8


def test_every_metric_has_its_help_and_type() -> None:
    text = Metrics().text(slots=1, running=0, waiting=0, healthy=False).decode()
    helps = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    types = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert len(helps) == 9
    assert helps == types
