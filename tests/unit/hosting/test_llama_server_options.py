"""Options and variables mean what they mean to llama.cpp."""

from __future__ import annotations

from typing import Any

import pytest
import xllamacpp  # type: ignore[import-untyped] # a compiled module that ships no types

from quant_llm_tools.local_aws.llama_server_options import OPTIONS, UsageError, parse


def parsed(*arguments: str, **environment: str) -> Any:
    parameters = xllamacpp.CommonParams()
    parse(parameters, arguments, environment)
    return parameters


def test_options_the_container_uses() -> None:
    line = "--model /m.gguf --host 127.0.0.1 --port 4711 -ngl 999 --metrics --no-ui"
    parameters = parsed(*line.split())
    assert parameters.model.path == "/m.gguf"
    assert parameters.hostnames == ["127.0.0.1"]
    assert (parameters.port, parameters.n_gpu_layers) == (4711, 999)
    assert parameters.endpoint_metrics
    assert not parameters.ui


def test_defaults_are_the_servers_not_the_librarys() -> None:
    parameters = parsed()
    assert parameters.n_parallel == -1  # llama.cpp then makes four slots with a unified cache
    assert parameters.port == 8080
    assert parameters.default_template_kwargs == {"preserve_reasoning": "true"}


def test_variables_of_the_stack() -> None:
    parameters = parsed(
        LLAMA_ARG_CTX_SIZE="8192",
        LLAMA_ARG_N_PARALLEL="4",
        LLAMA_ARG_THREADS="1",
        LLAMA_ARG_FLASH_ATTN="on",
        LLAMA_ARG_CACHE_TYPE_K="q8_0",
        LLAMA_ARG_ENDPOINT_METRICS="true",
        LLAMA_ARG_NO_CONT_BATCHING="whatever",
        UNRELATED="x",
    )
    assert (parameters.n_ctx, parameters.n_parallel, parameters.cpuparams.n_threads) == (8192, 4, 1)
    assert parameters.flash_attn_type == xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    assert parameters.cache_type_k == xllamacpp.ggml_type.GGML_TYPE_Q8_0
    assert parameters.endpoint_metrics
    assert not parameters.cont_batching


def test_files_beside_the_model_and_what_is_done_with_them() -> None:
    parameters = parsed(
        "--lora",
        "/m/a.gguf,/m/b.gguf",
        LLAMA_ARG_SPEC_DRAFT_MODEL="/m/small.gguf",
        LLAMA_ARG_SPEC_DRAFT_N_MAX="8",
        LLAMA_ARG_SPEC_TYPE="draft-simple",
        LLAMA_ARG_EMBEDDINGS="1",
        LLAMA_ARG_POOLING="mean",
    )
    assert [(one.path, one.scale) for one in parameters.lora_adapters] == [("/m/a.gguf", 1), ("/m/b.gguf", 1)]
    assert parameters.speculative.draft.mparams.path == "/m/small.gguf"
    assert parameters.speculative.draft.n_max == 8
    draft = xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE
    assert draft in parameters.speculative.types
    assert parameters.embedding
    assert parameters.pooling_type == xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    with pytest.raises(UsageError, match="unknown speculative type: guess"):
        parsed("--spec-type", "guess")


def test_command_line_wins_over_the_environment() -> None:
    assert parsed("--ctx-size", "512", LLAMA_ARG_CTX_SIZE="8192").n_ctx == 512


def test_underscores_are_hyphens_as_in_llama_cpp() -> None:
    assert parsed("--ctx_size", "512").n_ctx == 512


def test_context_of_the_model_is_not_shrunk_to_fit() -> None:
    parameters = parsed("-c", "0")
    assert (parameters.n_ctx, parameters.fit_params_min_ctx) == (0, -1)


def test_sampling_default_is_marked_as_the_users() -> None:
    parameters = parsed("--temp", "0.5")
    assert parameters.sampling.temp == 0.5
    temperature = xllamacpp.common_params_sampling_config.COMMON_PARAMS_SAMPLING_CONFIG_TEMP
    assert parameters.sampling.user_sampling_config & temperature


def test_template_arguments_are_json_by_name() -> None:
    parameters = parsed("--chat-template-kwargs", '{"enable_thinking": false}')
    assert parameters.default_template_kwargs == {"enable_thinking": "false", "preserve_reasoning": "true"}


@pytest.mark.parametrize(
    ("arguments", "environment", "complaint"),
    [
        (["--no-such-option"], {}, "error: invalid argument: --no-such-option"),
        (["--mod", "x"], {}, "error: invalid argument: --mod"),
        (["--model"], {}, 'argument "--model": expected value'),
        (["--ctx-size", "many"], {}, 'argument "--ctx-size": invalid literal'),
        (["--parallel", "0"], {}, "invalid value for n_parallel"),
        (["--cache-type-k", "q9"], {}, "expected one of f32, f16"),
        (["--chat-template-kwargs", "[1]"], {}, "expected a JSON object"),
        ([], {"LLAMA_ARG_CTX_SIZE": "many"}, 'variable "LLAMA_ARG_CTX_SIZE"'),
        ([], {"LLAMA_ARG_ENDPOINT_METRICS": "yes"}, "invalid boolean value"),
        ([], {"LLAMA_ARG_CTXSIZE": "1"}, "does not know the environment variable LLAMA_ARG_CTXSIZE"),
    ],
)
def test_wrong_usage_is_an_error(arguments: list[str], environment: dict[str, str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parsed(*arguments, **environment)


def test_no_name_is_taken_twice() -> None:
    names = [name for option in OPTIONS for name in (*option.names, *option.negative)]
    variables = [option.environment for option in OPTIONS if option.environment]
    assert len(names) == len(set(names))
    assert len(variables) == len(set(variables))


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.switch], ids=lambda o: o.names[0])
def test_every_switch_sets_a_parameter_that_exists(option: Any) -> None:
    parsed(option.names[0])
    for name in option.negative:
        parsed(name)
