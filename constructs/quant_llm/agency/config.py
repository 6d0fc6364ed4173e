"""An agency file's model: every field that `agencies/<agency>.yaml` can have, and what each means.

The text under a field is what editors show for it (`quantllm agencies schema`), so it says what a field
does and what happens without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    Strict,
    model_validator,
)
from pydantic_core import PydanticCustomError

from quant_llm.agency import forms
from quant_llm.agency.aws_names import (
    REGIONS_WITH_INFERENCE_COMPONENTS,
    hosting_instance_types,
    processing_instance_types,
    regions,
)
from quant_llm.agency.document import Document
from quant_llm.agency.forms import Items, Number, OneOf, Text, Whole, wrong
from quant_llm.agency.problems import Location, Problem, field_name
from quant_llm.agency.relations import relations
from quant_llm.agency.schedule import check_cron, check_time_zone

TARGET_SHARE = 0.75
"""Share of `concurrency` that scaling aims at by default: room for the minutes that a new instance takes."""

MAX_ADAPTERS = 16
"""Adapters of one model: each is loaded when the container starts, and stays."""

MAX_AGENCY_NAME = 56
"""With `QuantLlmStack-` before it and `-endpoints` behind: the 80 characters of a state machine's name."""

MAX_COUNT = 2**31 - 1
"""The greatest integer of AWS's APIs, for counts that they don't bound by themselves."""

MAX_ENVIRONMENT_BYTES = 28 * 1024
"""SageMaker takes 32 KB of names and values for a container; the rest is for the stack's own variables."""

MAX_TAGS = 40
"""AWS takes 50 tags a resource; the rest is left to the stack and to deployment tools."""

DEFAULT_IDLE_MINUTES = 30
"""Idle minutes before the last instance goes: the next call waits minutes for one, so not at each pause."""

DEFAULT_P90_LATENCY_SECONDS = 45.0
"""SageMaker gives up on an answer that is not streamed after 60 s: at three quarters of that, act."""

DEFAULT_P90_FIRST_TOKEN_SECONDS = 10.0
"""Ten seconds are about as long as a person's attention stays with a dialogue that shows nothing (Nielsen,
"Response Times: The 3 Important Limits", 1993). A stream shows nothing until its first token."""

ASYNC_P90_LATENCY_SECONDS = 675.0
"""SageMaker gives up on an asynchronous answer after 15 minutes by default: three quarters."""

AUTO = "auto"
"""The `instance_type` that leaves the choice to the sizing."""

RESERVED_ENVIRONMENT: Mapping[str, str] = {
    "MODEL": "it is the file that `quantllm lock` resolved",
    "N_GPU_LAYERS": "all layers are on the GPU",
    "ENDPOINT_NAME": "it is the endpoint's, where there are `alarms`",
    "LLAMA_ARG_CTX_SIZE": "set `context_length`",
    "LLAMA_ARG_N_PARALLEL": "set `concurrency`",
    "EXLLAMA_CONTEXT_LENGTH": "set `context_length`",
    "EXLLAMA_MAX_BATCH_SIZE": "set `concurrency`",
}
"""Variables of the container that the stack sets itself, and what to do in their place."""

RESERVED_ENVIRONMENT_PREFIX = "SAGEMAKER_"
"""Variables of this prefix are SageMaker's own."""

RESERVED_TAGS = ("agency",)
"""Tags that the stack sets itself, in lower case."""

DEFAULT_GROUP_SIZE = 128
"""Inputs of a layer that share a scale in GPTQ, where a recipe doesn't say."""

RELATION = "relation"
"""The type of the pydantic error for values that are right alone and wrong together."""

Engine = Literal["llama.cpp", "exllamav2", "vllm", "tgi"]
Artifact = Literal["model.tar.gz", "s3-prefix"]
Deployment = Literal["rolling", "blue-green"]
WithoutZero = Literal["refuse", "one"]
QuantiseMethod = Literal["gguf", "exl2", "gptq"]
Mode = Literal["real-time", "async"]


def _quoted_account(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        raise wrong(
            "12 digits in quotes, since a number loses its leading zeros", forms.ACCOUNT.mend(str(value))
        )
    return value


def _tag_text(value: str) -> str:
    if re.fullmatch(r"[\w .:/=+@-]*", value):
        return value
    raise wrong("letters, digits, spaces and _ . : / = + - @ only, as AWS takes in tags")


def _tag_key(value: str) -> str:
    if value.lower().startswith("aws:"):
        raise wrong("a key that doesn't start with 'aws:', which AWS keeps for itself")
    if value.lower() in RESERVED_TAGS:
        raise wrong("no tag that the stack sets itself")
    return _tag_text(value)


def _environment_name(value: str) -> str:
    if value in RESERVED_ENVIRONMENT:
        raise wrong(f"no variable that the stack sets itself: {RESERVED_ENVIRONMENT[value]}")
    if value.startswith(RESERVED_ENVIRONMENT_PREFIX):
        raise wrong(f"no variable with SageMaker's own prefix {RESERVED_ENVIRONMENT_PREFIX}")
    return value


def _environment_value(value: str) -> str:
    if len(value.encode()) > 1024:
        raise wrong("at most 1024 bytes, as SageMaker takes")
    return value


def _environment(value: dict[str, str]) -> dict[str, str]:
    size = sum(len(name.encode()) + len(text.encode()) for name, text in value.items())
    if size > MAX_ENVIRONMENT_BYTES:
        raise wrong(
            f"at most {MAX_ENVIRONMENT_BYTES} bytes of names and values, not {size}: SageMaker's bound"
        )
    return value


def _instance_types() -> tuple[str, ...]:
    return (AUTO, *hosting_instance_types())


Name = Annotated[Text, forms.NAME]
TagKey = Annotated[Text, Field(min_length=1, max_length=128), AfterValidator(_tag_key)]
TagValue = Annotated[Text, Field(max_length=256), AfterValidator(_tag_text)]
Emails = Annotated[Items[Annotated[Text, forms.EMAIL]], Field(max_length=10)]
InstanceTypeName = Annotated[
    Text, OneOf(hosting_instance_types, "an instance type of SageMaker hosting (ml.…)")
]
EnvironmentName = Annotated[
    Text, Field(max_length=1024), forms.ENVIRONMENT_NAME, AfterValidator(_environment_name)
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DeploymentEnvironment(_Frozen):
    """The AWS account and region that an agency's stack is deployed to."""

    account: Annotated[Text, BeforeValidator(_quoted_account), forms.ACCOUNT]
    """AWS account, 12 digits in quotes."""

    region: Annotated[Text, OneOf(lambda: tuple(regions()), "an AWS region, such as us-east-1")]
    """AWS region, such as `us-east-1`. It decides the partition as well."""


class NetworkConfig(_Frozen):
    """The VPC that the endpoint's containers are attached to."""

    vpc_id: Annotated[Text, forms.VPC_ID]
    """The VPC of the subnets and security groups."""

    subnet_ids: Annotated[Items[Annotated[Text, forms.SUBNET_ID]], Field(max_length=16)]
    """1 to 16 subnets; take several availability zones."""

    security_group_ids: Annotated[Items[Annotated[Text, forms.GROUP_ID]], Field(max_length=5)]
    """1 to 5 security groups."""


class HubConfig(_Frozen):
    """How the repack of a deploy reaches the hub, for agencies that may not reach huggingface.co."""

    endpoint: Annotated[Text, forms.HUB] | None = None
    """Address of a mirror that speaks the hub's HTTP API. Default: https://huggingface.co."""

    proxy: Annotated[Text, forms.PROXY] | None = None
    """Proxy on the way to the hub; calls of AWS don't take it. Default: none."""

    in_network: Annotated[bool, Strict()] = False
    """Whether the function that reads the hub is attached to the subnets and security groups of `network`,
    which then need a way to S3, KMS, Step Functions and CloudWatch Logs. Default: false."""


class BudgetConfig(_Frozen):
    """A monthly budget for everything that carries the agency's tags."""

    monthly_usd: Annotated[Number, Field(gt=0)]
    """US dollars a month."""

    notify: Emails
    """Email addresses, at most 10, that hear when the budget is about to be used up."""


class AlarmsConfig(_Frozen):
    """Alarms of each endpoint, who hears of them, and a dashboard of the agency."""

    notify: Emails
    """Email addresses, at most 10. Each gets a message to confirm first."""

    p90_latency_seconds: Annotated[Number, Field(gt=0, le=480)] = DEFAULT_P90_LATENCY_SECONDS
    """Seconds that nine of ten answers must not take longer than. Default: 45, three quarters of the 60 s
    after which SageMaker gives up on an answer that is not streamed. Asynchronous answers have 675 s."""

    p90_first_token_seconds: Annotated[Number, Field(gt=0, le=480)] | None = None
    """Seconds within which nine of ten answers must begin. For llama.cpp and exllamav2, whose containers log
    it; not for asynchronous answers. Default: 10, about as long as people look at nothing."""

    @property
    def first_token_seconds(self) -> float:
        """Seconds within which nine of ten answers must begin."""
        if self.p90_first_token_seconds is None:
            return DEFAULT_P90_FIRST_TOKEN_SECONDS
        return self.p90_first_token_seconds


class SourceConfig(_Frozen):
    """Where the weights come from."""

    hub: Annotated[Text, forms.REPOSITORY]
    """Repository of the Hugging Face hub, `owner/name`."""

    revision: Annotated[Text, forms.REVISION] = "main"
    """Branch, tag or commit; `quantllm lock` resolves it to a commit. Default: main."""

    files: tuple[Annotated[Text, forms.FILE_PATTERN], ...] = ()
    """Patterns of the files to take; `*` also matches `/`. For llama.cpp they must match one GGUF or one set
    of shards. Default: for llama.cpp the repository's one GGUF or set of shards; for the other engines the
    safetensors weights, the configuration and the tokenizer in the repository's root."""

    token_secret: Annotated[Text, forms.SECRET_NAME] | None = None
    """Name of the secret in AWS Secrets Manager that holds the hub's token, never the token itself.
    Default: none, for public repositories."""

    quantised: Annotated[Name | None, Field(exclude_if=lambda name: name is None)] = None
    """Name of the entry under `quantise` whose result is served in place of the repository's own files.
    `hub` and `revision` are then that entry's. Default: none."""


class QuantiseConfig(_Frozen):
    """A recipe: quantised weights that `quantllm quantise` makes of a repository's own, by a job in AWS."""

    name: Name
    """What models refer to. A recipe that a model uses is not changed: add another one beside it."""

    source: SourceConfig
    """The repository and revision of the unquantised weights (safetensors)."""

    method: Annotated[QuantiseMethod, OneOf(lambda: get_args(QuantiseMethod))]
    """gguf for llama.cpp, by its own tools; exl2 for exllamav2, by its converter, on a GPU; gptq for
    exllamav2 and vllm, by GPTQModel, on a GPU."""

    type: Annotated[Text, forms.GGUF_TYPE] | None = None
    """Of `method: gguf` alone: the type that llama-quantize makes, such as `Q4_K_M`."""

    bits: Annotated[Number, Field(ge=2, le=8)] | None = None
    """Of `exl2` and `gptq`: bits a weight. 2 to 8 on average for `exl2`, whose head has 6; 4 for `gptq`,
    whose head is not quantised."""

    group_size: Annotated[Whole, Field(ge=32, le=128)] | None = None
    """Of `gptq`: how many inputs of a layer share a scale: 32, 64 or 128. Fewer are more exact, and larger:
    0.5, 0.25 or 0.125 bits a weight more. The model's dimensions must be multiples of it. Default: 128."""

    seed: Annotated[Whole, Field(ge=0, lt=2**31)] | None = None
    """Of `gptq`: chooses and orders the parts of the text that it calibrates on. Default: 0."""

    calibration: Annotated[Text, forms.TEXT_FILE] | None = None
    """A text file, by its path from the agency file, from which a method learns which weights matter. `gptq`
    must have one, `gguf` can; `exl2` brings texts of its own. Default: none."""

    evaluation: Annotated[Text, forms.TEXT_FILE] | None = None
    """A text file on which the perplexity is taken before and after.
    Default: none, and no report of quality."""

    instance_type: Annotated[
        Text, OneOf(processing_instance_types, "an instance type of SageMaker processing (ml.…)")
    ]
    """Instance type of the job. `gguf` needs no GPU, and memory for the unquantised weights."""

    hours: Annotated[Whole, Field(ge=1, le=120)] = 24
    """Hours after which the job is stopped. Default: 24."""

    @property
    def engine(self) -> Engine:
        """The engine whose files the unquantised weights are: safetensors, configuration, tokenizer."""
        return "vllm"

    @property
    def settings(self) -> dict[str, Any]:
        """What decides beside the texts what the method makes, with its defaults; None for what it lacks."""
        of_gptq = self.method == "gptq"
        return {
            "type": self.type,
            "bits": self.bits,
            "group_size": self.group_size or DEFAULT_GROUP_SIZE if of_gptq else None,
            "seed": self.seed or 0 if of_gptq else None,
        }

    @property
    def token_secret(self) -> str | None:
        """The secret with the hub's token for the unquantised weights."""
        return self.source.token_secret

    @property
    def artifact(self) -> Artifact:
        """How the unquantised weights lie in S3: as files, which is how the job is given them."""
        return "s3-prefix"


class AdapterConfig(_Frozen):
    """A LoRA adapter of a model, which a request chooses by its name in the field `model`."""

    name: Annotated[Name, Field(max_length=63)]
    """What requests call it, and part of its file's name: never change it."""

    source: SourceConfig
    """Where the adapter comes from: for llama.cpp a GGUF of the type adapter, for vllm PEFT's
    adapter_config.json and adapter_model.safetensors. `files` must match one adapter; the default takes the
    repository's only one. A `token_secret` must be the same for the model and all of its adapters."""


class ScheduleConfig(_Frozen):
    """Other limits for the number of instances from a moment on, until another entry changes them."""

    cron: Annotated[Text, AfterValidator(check_cron)]
    """Six fields: minutes, hours, day of month, month, day of week, year; `?` for one of the two days.
    For example `0 8 ? * MON-FRI *`."""

    timezone: Annotated[Text, AfterValidator(check_time_zone)]
    """IANA time zone in which `cron` is read, such as `Asia/Singapore`."""

    min: Annotated[Whole, Field(ge=0)]
    """Least number of instances from then on."""

    max: Annotated[Whole, Field(ge=1, le=MAX_COUNT)]
    """Greatest number of instances from then on."""


class ScalingConfig(_Frozen):
    """How many instances serve a model."""

    min: Annotated[Whole, Field(ge=0)]
    """Least number of instances; 0 lets the last one go when nobody calls. The endpoint then has an inference
    component of its own name, which callers name too."""

    max: Annotated[Whole, Field(ge=1, le=MAX_COUNT)]
    """Greatest number of instances. Equal to `min`: the number is fixed."""

    target_concurrency: Annotated[Number, Field(gt=0)] | None = None
    """Requests at a time per instance that scaling aims at; at most `concurrency`.
    Default: 0.75 x `concurrency`."""

    idle_minutes: Annotated[Whole, Field(ge=1, le=1440)] | None = None
    """Minutes without a call after which the last instance goes. Only where a `min` is 0. Default: 30."""

    without_zero: Annotated[WithoutZero, OneOf(lambda: get_args(WithoutZero))] = "refuse"
    """What a `min` of 0 is in a region without inference components, which it takes: a refusal of the file,
    or one instance in its place. Default: refuse."""

    schedule: tuple[ScheduleConfig, ...] = ()
    """Changes of `min` and `max` by the clock. Default: none."""

    @property
    def least(self) -> int:
        """The number of instances that there always are, whatever the schedule says."""
        return min([self.min, *(entry.min for entry in self.schedule)])

    @property
    def idle(self) -> int:
        """Minutes without a call after which the last instance goes, where it may."""
        return DEFAULT_IDLE_MINUTES if self.idle_minutes is None else self.idle_minutes

    def at_least(self, count: int) -> Self:
        """The same with no `min` below `count`."""
        schedule = tuple(entry.model_copy(update={"min": max(count, entry.min)}) for entry in self.schedule)
        return self.model_copy(update={"min": max(count, self.min), "schedule": schedule})

    def target(self, concurrency: int) -> float:
        """Requests at a time per instance to aim at, for a model that serves `concurrency` of them."""
        return TARGET_SHARE * concurrency if self.target_concurrency is None else self.target_concurrency


class CaptureConfig(_Frozen):
    """Requests and answers that are kept in S3, under the agency's key: they hold what callers ask."""

    percent: Annotated[Whole, Field(ge=1, le=100)]
    """Share of the requests that is kept, in per cent."""

    keep_days: Annotated[Whole, Field(ge=1, le=3650)] = 30
    """Days after which they are deleted. Default: 30."""


class ModelConfig(_Frozen):
    """One model: its weights, its engine and the endpoint that serves it."""

    name: Name
    """Part of the endpoint's name, `<agency>-<name>`, which clients hold: never change it."""

    source: SourceConfig
    """The repository, revision and files of the weights."""

    engine: Annotated[Engine, OneOf(lambda: get_args(Engine))]
    """What runs the model: llama.cpp for GGUF; exllamav2 for EXL2 and GPTQ; vllm for AWQ, GPTQ, FP8 and BF16;
    tgi for the same as vllm, to compare with."""

    image: Annotated[Text, forms.ECR_IMAGE] | None = None
    """An image that exists in Amazon ECR, in the agency's region, pinned by tag or digest.
    Default: the image that the stack builds for llama.cpp and exllamav2; AWS's own for vllm and tgi."""

    instance_type: Annotated[
        Text, OneOf(_instance_types, "auto or an instance type of SageMaker hosting (ml.…)")
    ]
    """Instance type, such as `ml.g4dn.xlarge`; `auto` takes the cheapest of the region that fits."""

    artifact: Annotated[Artifact, OneOf(lambda: get_args(Artifact))] = "model.tar.gz"
    """How the weights lie in S3: one archive, or files under a prefix, which needs half the disk and no
    unpacking. Default: model.tar.gz."""

    context_length: Annotated[Whole, Field(ge=128, le=16_777_216)]
    """Tokens, prompt and answer together, that each request can have."""

    concurrency: Annotated[Whole, Field(ge=1, le=1024)]
    """Requests that one instance serves at a time, each with the whole `context_length`; at most 256 with
    llama.cpp."""

    scaling: ScalingConfig = ScalingConfig(min=1, max=1)
    """How many instances. Default: one, always."""

    deployment: Annotated[Deployment, OneOf(lambda: get_args(Deployment))] | None = None
    """How an update replaces the instances: rolling, half of them at a time, which needs at least two at all
    times, or a `min` of 0; or blue-green, all of the new ones beside the old ones, which needs one at all
    times. Default: rolling where it can be, else blue-green, which for one instance is the same."""

    mode: Annotated[Mode, OneOf(lambda: get_args(Mode))] = "real-time"
    """real-time: callers wait for the answer. async: they leave requests in S3 and are answered there,
    however long that takes; nothing else can call the endpoint. Default: real-time."""

    adapters: Annotated[tuple[AdapterConfig, ...], Field(max_length=MAX_ADAPTERS)] = ()
    """LoRA adapters that lie beside the model and take memory with it, at most 16. Only for llama.cpp
    and vllm. Default: none."""

    capture: CaptureConfig | None = None
    """Requests and answers that are kept. Only with `mode: real-time` and a `min` of 1 or more.
    Default: none."""

    environment: Annotated[
        dict[EnvironmentName, Annotated[Text, Field(max_length=1024), AfterValidator(_environment_value)]],
        Field(max_length=80),
        AfterValidator(_environment),
    ] = {}
    """Further variables of the container, in the engine's own names: text, never a secret. Default: none."""

    @property
    def token_secret(self) -> str | None:
        """The one secret that the model and its adapters name; None where none does."""
        sources = (self.source, *(adapter.source for adapter in self.adapters))
        return next((source.token_secret for source in sources if source.token_secret is not None), None)

    @property
    def is_async(self) -> bool:
        """Whether callers leave their requests in S3."""
        return self.mode == "async"

    @property
    def is_component(self) -> bool:
        """Whether it is an inference component: what answers at once, and may have no instance, must be one.

        An asynchronous endpoint goes down to no instance by itself: requests wait in its queue.
        """
        return not self.is_async and self.scaling.least == 0


class AgencyConfig(_Frozen):
    """Everything that an agency says about its endpoints: one file, one stack."""

    agency: Annotated[Name, Field(max_length=MAX_AGENCY_NAME)]
    """The agency's name, the same as the file's; part of the names of the stack and of the endpoints."""

    environment: DeploymentEnvironment
    """Account and region of the stack."""

    tags: Annotated[dict[TagKey, TagValue], Field(max_length=MAX_TAGS)] = {}
    """Tags on everything in the stack that takes them. Default: none."""

    permissions_boundary: Annotated[Text, forms.BOUNDARY_ARN] | None = None
    """ARN of the IAM policy that bounds every role of the stack. Default: none."""

    network: NetworkConfig | None = None
    """VPC attachment. Default: none; the containers are isolated from the network either way."""

    hub: HubConfig | None = None
    """The way to the hub. Default: huggingface.co, straight."""

    budget: BudgetConfig | None = None
    """Monthly budget with notices. Default: none."""

    alarms: AlarmsConfig | None = None
    """Alarms of the endpoints with notices, and a dashboard. Default: none; the alarms that take a bad update
    back are there either way."""

    quotas: dict[InstanceTypeName, Annotated[Whole, Field(ge=0)]] = {}
    """Instances of each type that the account may have for endpoints, by AWS Service Quotas: more are refused
    before a deploy. Default: nothing is checked."""

    quantise: tuple[QuantiseConfig, ...] = ()
    """Quantised weights that the agency makes itself. Default: none."""

    models: Items[ModelConfig]
    """The agency's models, one endpoint each."""

    _document: Document = PrivateAttr(default_factory=lambda: Document("agency"))

    @model_validator(mode="after")
    def _check_relations(self) -> Self:
        found = list(relations(self.model_dump(mode="json", exclude_none=True)))
        if found:
            text = "; ".join(f"{field_name(one.location)}: expected {one.expected}" for one in found)
            raise PydanticCustomError(RELATION, "{text}", {"text": text})
        return self

    @classmethod
    def from_document(cls, document: Document) -> Self:
        """The configuration of a file that has been read; pydantic's ValidationError when it is wrong."""
        config = cls.model_validate(document.data)
        config._document = document
        return config

    @property
    def file(self) -> str:
        """The file that the configuration was read from, as messages name it."""
        return self._document.file

    @property
    def stack_name(self) -> str:
        """`QuantLlmStack` for the agency `default`, else `QuantLlmStack-<agency>`."""
        return "QuantLlmStack" if self.agency == "default" else f"QuantLlmStack-{self.agency}"

    def endpoint_name(self, model: ModelConfig) -> str:
        """`<agency>-<model name>`, the name that clients call."""
        return f"{self.agency}-{model.name}"

    def p90_latency_seconds(self, model: ModelConfig) -> float:
        """Seconds that nine of ten of a model's answers must not take longer than."""
        if model.is_async:
            return ASYNC_P90_LATENCY_SECONDS
        return DEFAULT_P90_LATENCY_SECONDS if self.alarms is None else self.alarms.p90_latency_seconds

    def deployed(self, model: ModelConfig) -> ModelConfig:
        """The model as the region can have it: one instance for none where `without_zero` says so."""
        if model.is_async or self.environment.region in REGIONS_WITH_INFERENCE_COMPONENTS:
            return model
        return model.model_copy(update={"scaling": model.scaling.at_least(1)})

    def recipe(self, name: str) -> QuantiseConfig:
        """The recipe of this name; KeyError when there is none."""
        return {recipe.name: recipe for recipe in self.quantise}[name]

    def problem(self, location: Location, message: str) -> Problem:
        """A problem with the value at a location, with its line when a file was read."""
        return self._document.problem(location, message)

    def wrong(
        self, location: Location, got: object, expected: str, *, nearest: str | None = None, hint: str = ""
    ) -> Problem:
        """A problem that reads 'got …, expected …; <hint>'."""
        return self._document.wrong(location, expected, nearest, got=repr(got), hint=hint)
