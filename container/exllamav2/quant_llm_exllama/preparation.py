"""From a request's body to jobs: all that can be wrong with a request is found here."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from quant_llm_exllama.answers import Chat, Completion, Form, Writer
from quant_llm_exllama.backend import Job
from quant_llm_exllama.chat_template import ChatTemplate
from quant_llm_exllama.completion import Choice
from quant_llm_exllama.grammar import json_grammar
from quant_llm_exllama.parameters import (
    MOST_CHOICES,
    Parameters,
    Prompt,
    read_body,
    read_messages,
    read_parameters,
    read_prompts,
)
from quant_llm_exllama.text import AnswerText
from quant_llm_exllama.tokenizer import Tokenizer
from quant_llm_serving.routes import BadRequest, error_body


class ContextExceeded(BadRequest):
    """The prompt leaves no room for an answer."""

    def __init__(self, prompt_tokens: int, context_length: int, field: str) -> None:
        """`field` is the one that is too long."""
        super().__init__(
            f"the request has {prompt_tokens} tokens and leaves no room for an answer: "
            f"the context is {context_length} tokens",
            field=field,
        )
        self.prompt_tokens = prompt_tokens
        self.context_length = context_length


@dataclass(frozen=True)
class Prepared:
    """A request that can be generated."""

    parameters: Parameters
    writer: Writer
    choices: list[Choice]


class Preparation:
    """What a model needs to understand requests. Its methods may be called in any thread."""

    def __init__(self, name: str, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        """`name` is the model's to its callers."""
        self._name = name
        self._tokenizer = tokenizer
        self._template = template

    def prepare(self, body: bytes, context_length: int, *, chat: bool) -> Prepared:
        """The jobs that a body asks for. Raises BadRequest."""
        fields = read_body(body)
        parameters = read_parameters(fields, chat=chat)
        given = (
            [self._template.render(read_messages(fields))]
            if chat
            else read_prompts(fields, self._tokenizer.size)
        )
        if len(given) * parameters.choices > MOST_CHOICES:
            raise BadRequest(f"'n' times the prompts must be at most {MOST_CHOICES}", field="n")
        prompts = [self._tokens(prompt, context_length, chat=chat) for prompt in given]
        form: Form = Chat() if chat else Completion()
        writer = Writer(form, self._name, self._tokenizer, null_usage=parameters.include_usage)
        return Prepared(parameters, writer, self._choices(prompts, parameters, context_length))

    def _choices(self, prompts: list[list[int]], parameters: Parameters, context_length: int) -> list[Choice]:
        """For each prompt as many as are wanted, each with a seed of its own."""
        grammar = json_grammar(parameters.response_format, self._tokenizer)
        stop_tokens = frozenset() if parameters.ignore_eos else self._tokenizer.stop_tokens
        choices: list[Choice] = []
        for prompt in prompts:
            room = context_length - len(prompt)
            for number in range(parameters.choices):
                seed = parameters.sampling.seed
                job = Job(
                    prompt=prompt,
                    max_tokens=min(parameters.max_tokens or room, room),
                    stop_tokens=stop_tokens,
                    sampling=replace(parameters.sampling, seed=None if seed is None else seed + number),
                    top_logprobs=parameters.top_logprobs,
                    grammar=None if grammar is None else grammar.deep_copy(),
                )
                text = AnswerText(self._tokenizer.decoder(), parameters.stops)
                choices.append(Choice(len(choices), job, text))
        return choices

    def _tokens(self, prompt: Prompt, context_length: int, *, chat: bool) -> list[int]:
        """Token ids that leave room for an answer. A chat's template writes all special tokens itself."""
        field = "messages" if chat else "prompt"
        if isinstance(prompt, str):
            fewest = len(prompt) // self._tokenizer.longest
            if fewest >= context_length:  # told without minutes of work on megabytes of text
                raise ContextExceeded(fewest, context_length, field)
            try:
                prompt.encode()
            except UnicodeEncodeError as error:  # JSON can write half of a character as \ud800
                raise BadRequest(f"'{field}' is not Unicode: {error.reason}", field=field) from None
            prompt = self._tokenizer.encode(prompt, add_special_tokens=not chat)
        if not prompt:
            raise BadRequest(f"'{field}' has no tokens", field=field)
        if len(prompt) >= context_length:
            raise ContextExceeded(len(prompt), context_length, field)
        return prompt


def refusal(error: BadRequest) -> bytes:
    """The error's body, for a context that is too short with llama.cpp's numbers and OpenAI's code."""
    if not isinstance(error, ContextExceeded):
        return error_body(error.message, kind="invalid_request_error", field=error.field)
    fields = {
        "message": error.message,
        "type": "exceed_context_size_error",
        "param": error.field,
        "code": "context_length_exceeded",
        "n_prompt_tokens": error.prompt_tokens,
        "n_ctx": error.context_length,
    }
    return json.dumps({"error": fields}).encode()
