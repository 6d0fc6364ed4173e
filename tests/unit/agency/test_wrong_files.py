"""Wrong agency files: for each the exact messages that it gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quant_llm.agency import AgencyFileError, load_agency, read_agency
from tests.unit.agency.conftest import GOOD

TOKEN = "hf_" + "aB3dE6gH9j" * 3
KEY_ID = "AKIA" + "IOSFODNN7EXAMPLE"

AGENCY_FIELDS = (
    "agency, environment, tags, permissions_boundary, network, hub, budget, alarms, quotas, quantise, models"
)
MODEL_FIELDS = (
    "name, source, engine, image, instance_type, artifact, context_length, concurrency, scaling, deployment, "
    "mode, adapters, capture, environment"
)
BOUNDARY = "arn:aws:iam::123456789012:policy/Boundary"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/llama"
CRON = "0 8 ? * MON-FRI *"
CRON_FORM = "six fields (minutes, hours, day of month, month, day of week, year), such as '0 8 ? * MON-FRI *'"
NO_FIRST_TOKEN = (
    "the field left out: no model here answers at once on llama.cpp or exllamav2, and the containers of vllm "
    "and tgi log no first token"
)
VARIABLE = '{LLAMA_ARG_FLASH_ATTN: "on"}'

# What is replaced in the good file, by what, and the messages after "agencies/moh.yaml:".
WRONG = [
    pytest.param(
        "agency: moh",
        "agency: MOH",
        "1: agency: got 'MOH', expected lower-case letters, digits and inner hyphens, such as 'mistral-7b'; "
        "did you mean 'moh'?",
        id="agency in upper case",
    ),
    pytest.param(
        "agency: moh",
        "agency: mom",
        "1: agency: got 'mom', expected the name of the file without .yaml; did you mean 'moh'?",
        id="agency is not the file's name",
    ),
    pytest.param(
        "agency: moh",
        "agnecy: moh",
        "1: agency: required field is missing\n"
        f"1: agnecy: got an unknown field, expected one of the fields {AGENCY_FIELDS}; did you mean "
        f"'agency'?",
        id="misspelt field",
    ),
    pytest.param(
        '"123456789012"\n',
        "012345678901\n",
        "3: environment.account: got 012345678901, expected 12 digits in quotes, since a number loses its "
        "leading zeros; did you mean '012345678901'?",
        id="account without quotes",
    ),
    pytest.param(
        '"123456789012"\n',
        "12345678901\n",
        "3: environment.account: got 12345678901, expected 12 digits in quotes, since a number loses its "
        "leading zeros; did you mean '012345678901'?",
        id="account that has lost its leading zero",
    ),
    pytest.param(
        '"123456789012"\n',
        '"1234-5678-9012"\n',
        "3: environment.account: got '1234-5678-9012', expected an account of 12 digits in quotes, such as "
        "\"123456789012\"; did you mean '123456789012'?",
        id="account with dashes",
    ),
    pytest.param(
        "region: us-east-1",
        "region: us-esat-1",
        "4: environment.region: got 'us-esat-1', expected an AWS region, such as us-east-1; "
        "did you mean 'us-east-1'?",
        id="misspelt region",
    ),
    pytest.param(
        "region: us-east-1",
        "region: us-gov-west-1",
        f"6: permissions_boundary: got '{BOUNDARY}', expected an ARN of the partition aws-us-gov, where "
        "us-gov-west-1 is; did you mean 'arn:aws-us-gov:iam::123456789012:policy/Boundary'?\n"
        f"19: models[0].image: got '{IMAGE}:v1', expected an image in the agency's region, "
        "123456789012.dkr.ecr.us-gov-west-1.amazonaws.com/…: SageMaker takes no other",
        id="another partition's ARN and another region's image",
    ),
    pytest.param(
        '{cost-centre: "H-1"}',
        "{cost-centre: 2024}",
        '5: tags.cost-centre: got 2024, expected text in quotes, "2024"',
        id="tag that is a number",
    ),
    pytest.param(
        '{cost-centre: "H-1"}',
        '{cost-centre: "R&D"}',
        "5: tags.cost-centre: got 'R&D', expected letters, digits, spaces and _ . : / = + - @ only, as AWS "
        "takes in tags",
        id="tag with a sign that AWS refuses",
    ),
    pytest.param(
        '{cost-centre: "H-1"}',
        "{'AWS:owner': a}",
        "5: tags['AWS:owner']: got 'AWS:owner', expected a key that doesn't start with 'aws:', which AWS "
        "keeps "
        "for itself",
        id="tag of AWS's own",
    ),
    pytest.param(
        '{cost-centre: "H-1"}',
        "{Agency: a}",
        "5: tags.Agency: got 'Agency', expected no tag that the stack sets itself",
        id="tag of the stack's own",
    ),
    pytest.param(
        '{cost-centre: "H-1"}',
        "{team: a, Team: b}",
        "5: tags.Team: got 'b', expected one tag only of 'team' and 'Team': IAM takes them for the same",
        id="tags that IAM takes for one",
    ),
    pytest.param(
        '{cost-centre: "H-1"}',
        "{" + ", ".join(f"key{number}: a" for number in range(41)) + "}",
        "5: tags: got 41 entries, expected at most 40",
        id="too many tags",
    ),
    pytest.param(
        '{cost-centre: "H-1"}',
        "{team: a, cost-centre: a, team: b}",
        "5: tags.team: given twice; it is on line 5 already",
        id="key given twice in a flow mapping",
    ),
    pytest.param(
        "models:",
        "agency: moh\nmodels:",
        "11: agency: given twice; it is on line 1 already",
        id="key given twice in a block",
    ),
    pytest.param(
        "policy/Boundary",
        "role/Boundary",
        "6: permissions_boundary: got 'arn:aws:iam::123456789012:role/Boundary', expected the ARN of an IAM "
        "policy, such as arn:aws:iam::123456789012:policy/Boundary",
        id="boundary that is a role",
    ),
    pytest.param(
        "iam::123456789012:policy",
        "iam::999999999999:policy",
        "6: permissions_boundary: got 'arn:aws:iam::999999999999:policy/Boundary', expected a policy of the "
        "agency's own account 123456789012",
        id="boundary of another account",
    ),
    pytest.param(
        "vpc-0a1b2c3d",
        "vpc-production",
        "8: network.vpc_id: got 'vpc-production', expected a VPC id, vpc- and 8 or 17 hexadecimal digits",
        id="VPC by name",
    ),
    pytest.param(
        "[subnet-0a1b2c3d, subnet-1a1b2c3d]",
        "\n    - subnet-0a1b2c3d\n    - sg-1a1b2c3d",
        "11: network.subnet_ids[1]: got 'sg-1a1b2c3d', expected a subnet id, subnet- and 8 or 17 hexadecimal "
        "digits",
        id="security group for a subnet",
    ),
    pytest.param(
        "[sg-0a1b2c3d]",
        "sg-0a1b2c3d",
        "10: network.security_group_ids: got 'sg-0a1b2c3d', expected a list",
        id="one value for a list",
    ),
    pytest.param(
        "[sg-0a1b2c3d]",
        "[]",
        "10: network.security_group_ids: got 0 entries, expected at least 1",
        id="empty list",
    ),
    pytest.param(
        "hub: owner/some-GGUF",
        "hub: https://huggingface.co/TheBloke/Mistral-7B-GGUF/tree/main",
        "14: models[0].source.hub: got 'https://huggingface.co/TheBloke/Mistral-7B-GGUF/tree/main', "
        "expected a "
        "repository of the hub as owner/name, such as 'TheBloke/Mistral-7B-Instruct-v0.2-GGUF'; "
        "did you mean 'TheBloke/Mistral-7B-GGUF'?",
        id="URL of a repository",
    ),
    pytest.param(
        "revision: main",
        "revision: 2024-06-01",
        '15: models[0].source.revision: got 2024-06-01, expected text in quotes, "2024-06-01"',
        id="revision that YAML takes for a date",
    ),
    pytest.param(
        "revision: main",
        "revision: v1..v2",
        "15: models[0].source.revision: got 'v1..v2', expected a branch, tag or commit of the repository, "
        "such "
        "as 'main'",
        id="revision that is a range",
    ),
    pytest.param(
        '["*Q4_K_M.gguf"]',
        '["../*.gguf"]',
        "16: models[0].source.files[0]: got '../*.gguf', expected a file pattern within the repository, such "
        "as '*Q4_K_M.gguf'",
        id="file pattern that leaves the repository",
    ),
    pytest.param(
        "token_secret: hf-token",
        f"token_secret: {TOKEN}",
        "17: models[0].source.token_secret: got a secret (not shown), expected the name of the secret in AWS "
        "Secrets Manager that holds the token, never the token itself",
        id="token for a secret's name",
    ),
    pytest.param(
        "token_secret: hf-token",
        "token_secret: arn:aws:secretsmanager:us-east-1:123456789012:secret:hf-token-AbCdEf",
        "17: models[0].source.token_secret: got a value (not shown), expected the name of a secret in AWS "
        "Secrets Manager, such as 'hf-token'; did you mean 'hf-token'?",
        id="ARN for a secret's name",
    ),
    pytest.param(
        "engine: llama.cpp",
        "engine: lama.cpp",
        "18: models[0].engine: got 'lama.cpp', expected one of llama.cpp, exllamav2, vllm, tgi; "
        "did you mean 'llama.cpp'?",
        id="misspelt engine",
    ),
    pytest.param(
        "engine: llama.cpp",
        "engine:",
        "18: models[0].engine: got nothing, expected a value, or the line left out",
        id="field without a value",
    ),
    pytest.param(
        "llama:v1",
        "llama",
        f"19: models[0].image: got '{IMAGE}', expected an Amazon ECR image pinned by a tag other than "
        f"latest or "
        "by a digest, <account>.dkr.ecr.<region>.amazonaws.com/<repository>@sha256:<64 hexadecimal digits>",
        id="image without a tag",
    ),
    pytest.param(
        "instance_type: ml.g4dn.xlarge",
        "instance_type: g4dn.xlarge",
        "20: models[0].instance_type: got 'g4dn.xlarge', expected auto or an instance type of SageMaker "
        "hosting "
        "(ml.…); did you mean 'ml.g4dn.xlarge'?",
        id="instance type of EC2",
    ),
    pytest.param(
        "context_length: 2048",
        'context_length: "2048"',
        "21: models[0].context_length: got '2048', expected a whole number without quotes",
        id="number in quotes",
    ),
    pytest.param(
        "context_length: 2048",
        "context_length: 8",
        "21: models[0].context_length: got 8, expected 128 or more",
        id="context length in thousands",
    ),
    pytest.param(
        "context_length: 2048",
        "context_length: 8k",
        "21: models[0].context_length: got '8k', expected a whole number; did you mean '8192'?",
        id="context length with a unit",
    ),
    pytest.param(
        "      max: 2",
        "      max: 2\n      idle_minutes: 30m",
        "26: models[0].scaling.idle_minutes: got '30m', expected a whole number; did you mean '30'?",
        id="minutes with a unit",
    ),
    pytest.param(
        "models:",
        "budget: {monthly_usd: '$6,000', notify: [ml@health.example]}\nmodels:",
        "11: budget.monthly_usd: got '$6,000', expected a number; did you mean '6000'?",
        id="dollars with their sign",
    ),
    pytest.param(
        "models:",
        "quotas: {ml.g4dn.xlarge: two}\nmodels:",
        "11: quotas['ml.g4dn.xlarge']: got 'two', expected a whole number",
        id="quota in words",
    ),
    pytest.param(
        "models:",
        "quotas: {g4dn.xlarge: 2}\nmodels:",
        "11: quotas['g4dn.xlarge']: got 'g4dn.xlarge', expected an instance type of SageMaker hosting "
        "(ml.…); did you mean 'ml.g4dn.xlarge'?",
        id="quota of a type of EC2",
    ),
    pytest.param(
        "concurrency: 4",
        "concurrency: 0",
        "22: models[0].concurrency: got 0, expected 1 or more",
        id="no concurrency",
    ),
    pytest.param(
        "concurrency: 4",
        "concurrency: 300",
        "22: models[0].concurrency: got 300, expected at most 256 with llama.cpp",
        id="more than llama.cpp can",
    ),
    pytest.param(
        "concurrency: 4",
        "concurrency: true",
        "22: models[0].concurrency: got true, expected a whole number",
        id="boolean for a number",
    ),
    pytest.param(
        "      max: 2",
        "      max: 0",
        "25: models[0].scaling.max: got 0, expected 1 or more",
        id="no instances",
    ),
    pytest.param(
        "      min: 1",
        "      min: 3",
        "25: models[0].scaling.max: got 2, expected at least min, which is 3",
        id="min over max",
    ),
    pytest.param(
        "      max: 2",
        "      max: 2\n      target_concurrency: 5",
        "26: models[0].scaling.target_concurrency: got 5, expected at most the concurrency, 4: an instance "
        "never has more at a time",
        id="target that is never reached",
    ),
    pytest.param(
        "      max: 2",
        "      max: 2\n      idle_minutes: 30",
        "26: models[0].scaling.idle_minutes: got 30, expected the field left out unless a min is 0",
        id="idle minutes without going to zero",
    ),
    pytest.param(
        "      max: 2",
        "      max: 2\n      without_zero: one",
        "26: models[0].scaling.without_zero: got 'one', expected the field left out unless a min is 0",
        id="fallback for zero without going to zero",
    ),
    pytest.param(
        "      max: 2",
        "      max: 2\n      without_zero: two",
        "26: models[0].scaling.without_zero: got 'two', expected one of refuse, one",
        id="unknown fallback for zero",
    ),
    pytest.param(
        "    concurrency: 4",
        "    concurrency: 4\n    mode: batch",
        "23: models[0].mode: got 'batch', expected one of real-time, async",
        id="unknown mode",
    ),
    pytest.param(
        "    concurrency: 4\n    scaling:\n      min: 1\n",
        "    concurrency: 4\n    mode: async\n    capture: {percent: 5}\n"
        "    scaling:\n      min: 0\n      idle_minutes: 9\n      without_zero: one\n",
        "24: models[0].capture: got a mapping, expected the field left out with mode: async, whose requests "
        "and answers are in S3 anyway\n"
        "27: models[0].scaling.idle_minutes: got 9, expected the field left out with mode: async, where the "
        "last instance goes with the queue\n"
        "28: models[0].scaling.without_zero: got 'one', expected the field left out with mode: async, where "
        "the last instance goes with the queue",
        id="asynchronous with what is for answers at once",
    ),
    pytest.param(
        "    concurrency: 4\n",
        "    concurrency: 4\n    capture: {percent: 0, keep_days: 0}\n",
        "23: models[0].capture.percent: got 0, expected 1 or more\n"
        "23: models[0].capture.keep_days: got 0, expected 1 or more",
        id="capture of nothing",
    ),
    pytest.param(
        "    concurrency: 4\n    scaling:\n      min: 1\n",
        "    concurrency: 4\n    capture: {percent: 5}\n    scaling:\n      min: 0\n",
        "23: models[0].capture: got a mapping, expected no capture where a min is 0: SageMaker's "
        "documentation has none for inference components. Take a min of 1, or mode: async",
        id="capture of an inference component",
    ),
    pytest.param(
        "    concurrency: 4",
        "    concurrency: 4\n    idle_minutes: 30",
        f"23: models[0].idle_minutes: got an unknown field, expected one of the fields {MODEL_FIELDS}; "
        "did you mean 'models[].scaling.idle_minutes'?",
        id="field of another place",
    ),
    pytest.param(
        CRON,
        "0 8 * * MON-FRI",
        f"27: models[0].scaling.schedule[0].cron: got '0 8 * * MON-FRI', expected {CRON_FORM}; it has 5",
        id="cron of Unix",
    ),
    pytest.param(
        CRON,
        f"cron({CRON})",
        f"27: models[0].scaling.schedule[0].cron: got 'cron({CRON})', expected the fields alone, such as "
        f"'{CRON}'; did you mean '{CRON}'?",
        id="cron with AWS's wrapping",
    ),
    pytest.param(
        CRON,
        "0 25 ? * MON-FRI *",
        "27: models[0].scaling.schedule[0].cron: got '0 25 ? * MON-FRI *', expected "
        f"{CRON_FORM}, with hours of 0-23 where it has '25'",
        id="cron with a 25th hour",
    ),
    pytest.param(
        CRON,
        "0 8 * * MON-FRI *",
        "27: models[0].scaling.schedule[0].cron: got '0 8 * * MON-FRI *', expected '?' for one of day of "
        "month "
        "and day of week, such as '0 8 ? * MON-FRI *'",
        id="cron with both kinds of day",
    ),
    pytest.param(
        "Asia/Singapore",
        "Asia/Singapur",
        "27: models[0].scaling.schedule[0].timezone: got 'Asia/Singapur', expected an IANA time zone, such "
        "as "
        "'Asia/Singapore'; did you mean 'Asia/Singapore'?",
        id="misspelt time zone",
    ),
    pytest.param(
        "timezone: Asia/Singapore, ",
        "",
        "27: models[0].scaling.schedule[0].timezone: required field is missing",
        id="schedule without a time zone",
    ),
    pytest.param(
        f'{{cron: "{CRON}", timezone: Asia/Singapore, min: 2, max: 4}}',
        "{cron: 0 8 ? * 2 *, timezone: UTC, min: 5,\n            max: 4}\n"
        "        - {cron: 0 8 ? * 2 *, timezone: UTC, min: 1, max: 1}",
        "28: models[0].scaling.schedule[0].max: got 4, expected at least min, which is 5\n"
        "29: models[0].scaling.schedule[1].cron: got '0 8 ? * 2 *', expected a moment of its own: "
        "schedule[0] "
        "has this one",
        id="two schedules for one moment",
    ),
    pytest.param(
        VARIABLE,
        "{LLAMA_ARG_CTX_SIZE: '8'}",
        "28: models[0].environment.LLAMA_ARG_CTX_SIZE: got 'LLAMA_ARG_CTX_SIZE', expected no variable that "
        "the "
        "stack sets itself: set `context_length`",
        id="variable of the stack's own",
    ),
    pytest.param(
        VARIABLE,
        "{SAGEMAKER_BIND_TO_PORT: '1'}",
        "28: models[0].environment.SAGEMAKER_BIND_TO_PORT: got 'SAGEMAKER_BIND_TO_PORT', expected no "
        "variable "
        "with SageMaker's own prefix SAGEMAKER_",
        id="variable of SageMaker's own",
    ),
    pytest.param(
        VARIABLE,
        "{RATIO: 0.92}",
        "28: models[0].environment.RATIO: got a value (not shown), expected text in quotes",
        id="variable that is a number",
    ),
    pytest.param(
        VARIABLE,
        "[RATIO=0.92]",
        "28: models[0].environment: got a list, expected a mapping",
        id="environment as a list",
    ),
    pytest.param(
        VARIABLE,
        f"{{A: {TOKEN}, B: 'id={KEY_ID}'}}",
        "28: models[0].environment.A: got a secret (not shown), expected no secret in the file: keep it in "
        "AWS "
        "Secrets Manager\n"
        "28: models[0].environment.B: got a secret (not shown), expected no secret in the file: keep it in "
        "AWS "
        "Secrets Manager",
        id="secrets in the environment",
    ),
    pytest.param(
        "- name: chat",
        "- name: " + "a" * 60,
        f"12: models[0].name: got '{'a' * 60}', expected a name with which the endpoint's, 'moh-{'a' * 60}', "
        "has at most 63 characters: it has 64",
        id="endpoint name too long",
    ),
    pytest.param(
        'agency: moh\nenvironment:\n  account: "123456789012"\n  region: us-east-1\n',
        "agency: moh\nenvironment: us-east-1\n",
        "2: environment: got 'us-east-1', expected a mapping with account, region",
        id="text for a mapping",
    ),
    pytest.param(
        "models:",
        'budget: {monthly_usd: "6000", notify: [ml@health.example]}\nalarms: {notify: [oncall]}\nmodels:',
        "11: budget.monthly_usd: got '6000', expected a number without quotes\n"
        "12: alarms.notify[0]: got 'oncall', expected an email address, such as ml-platform@agency.example",
        id="budget in quotes and no email address",
    ),
    pytest.param(
        "network:",
        "network: !Ref",
        "7: network: got the YAML tag '!Ref', expected plain YAML without tags",
        id="tag of CloudFormation",
    ),
    pytest.param(
        "network:",
        "network: &whole\n  inner: *whole",
        "8: network.inner: got an alias to something that contains it, expected a value",
        id="alias to its own mapping",
    ),
    pytest.param(
        "models:",
        "[a, b]: c\nmodels:",
        "1: got a list as a key, expected names as keys",
        id="list as a key",
    ),
]


WRONG += [
    pytest.param(
        "    concurrency: 4",
        "    concurrency: 4\n    deployment: canary",
        "23: models[0].deployment: got 'canary', expected one of rolling, blue-green",
        id="unknown way to deploy",
    ),
    pytest.param(
        "    concurrency: 4",
        "    concurrency: 4\n    deployment: rolling",
        "23: models[0].deployment: got 'rolling', expected blue-green, or at least 2 instances at all times, "
        "not 1: SageMaker rolls at most half of them at a time; did you mean 'blue-green'?",
        id="rolling update of one instance",
    ),
    pytest.param(
        "models:\n",
        "alarms: {notify: [ops@moh.example], p90_latency_seconds: 481}\nmodels:\n",
        "11: alarms.p90_latency_seconds: got 481, expected 480.0 or less",
        id="latency that no answer can reach",
    ),
    pytest.param(
        "models:\n  - name: chat\n",
        "alarms: {notify: [ops@moh.example], p90_first_token_seconds: 5}\n"
        "models:\n  - name: chat\n    mode: async\n",
        f"11: alarms.p90_first_token_seconds: got 5, expected {NO_FIRST_TOKEN}",
        id="first token of an answer that nobody waits for",
    ),
    pytest.param(
        "models:\n",
        "alarms: {}\nmodels:\n",
        "11: alarms.notify: required field is missing",
        id="alarms that tell nobody",
    ),
    pytest.param(
        "models:\n",
        "alarms: {notify: [ops@moh.example, ops@moh.example]}\nmodels:\n",
        "11: alarms.notify[1]: got 'ops@moh.example', expected each one once: notify[0] is this one",
        id="an address that is told twice",
    ),
    pytest.param(
        "[subnet-0a1b2c3d, subnet-1a1b2c3d]",
        "[subnet-0a1b2c3d, subnet-0a1b2c3d]",
        "9: network.subnet_ids[1]: got 'subnet-0a1b2c3d', expected each one once: subnet_ids[0] is this one",
        id="one subnet twice",
    ),
    pytest.param(
        "      max: 2",
        "      max: 9999999999",
        "25: models[0].scaling.max: got 9999999999, expected 2147483647 or less",
        id="more instances than AWS can count",
    ),
    pytest.param(
        f"image: {IMAGE}:v1",
        f"image: {IMAGE.replace('/llama', '//llama')}:v1",
        f"19: models[0].image: got '{IMAGE.replace('/llama', '//llama')}:v1', expected an Amazon ECR image "
        "pinned by a tag other than latest or by a digest, "
        "<account>.dkr.ecr.<region>.amazonaws.com/<repository>@sha256:<64 hexadecimal digits>",
        id="image with a slash too many",
    ),
    pytest.param(
        VARIABLE,
        f"{{GREETING: {'é' * 600}}}",
        "28: models[0].environment.GREETING: got a value (not shown), expected at most 1024 bytes, as "
        "SageMaker takes",
        id="variable of more bytes than characters",
    ),
    pytest.param(
        VARIABLE,
        "{" + ", ".join(f"TEXT_{number:02}: {'x' * 1000}" for number in range(40)) + "}",
        "28: models[0].environment: got a mapping, expected at most 28672 bytes of names and values, not "
        "40280: SageMaker's bound",
        id="more of an environment than a container can have",
    ),
    pytest.param(
        'tags: {cost-centre: "H-1"}',
        "tags: {until: 2026-02-30}",
        "5: tags.until: got what looks like YAML's type 'timestamp' and isn't, expected text in quotes",
        id="a day that there is not",
    ),
]


@pytest.mark.parametrize(("old", "new", "messages"), WRONG)
def test_a_wrong_file_gets_these_messages_and_no_other(
    change: Callable[[str, str], Path], old: str, new: str, messages: str
) -> None:
    with pytest.raises(AgencyFileError) as caught:
        load_agency(change(old, new))
    assert str(caught.value) == "\n".join(f"agencies/moh.yaml:{line}" for line in messages.splitlines())


def test_a_first_token_is_asked_for_only_where_some_container_logs_it(
    change: Callable[[str, str], Path],
) -> None:
    asked = "alarms: {notify: [ops@moh.example], p90_first_token_seconds: 5}\nmodels:\n"
    path = change("models:\n", asked)
    load_agency(path)  # llama.cpp
    text = path.read_text().replace("engine: llama.cpp", "engine: vllm")
    path.write_text(text)
    with pytest.raises(AgencyFileError, match=NO_FIRST_TOKEN):
        load_agency(path)
    path.write_text(text.replace(", p90_first_token_seconds: 5", ""))
    load_agency(path)  # the default is for those that have it


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "agencies/moh.yaml: is empty"),
        ("# nothing yet\n", "agencies/moh.yaml: is empty"),
        ("- agency: moh\n", f"agencies/moh.yaml:1: got a list, expected a mapping with {AGENCY_FIELDS}"),
        ("a: 1\nb: c: d\n", "agencies/moh.yaml:2: no valid YAML: mapping values are not allowed here"),
        (
            "a:\n\t- b\n",
            r"agencies/moh.yaml:2: no valid YAML: found character '\t' that cannot start any token",
        ),
        (
            "a: 1\nb: [1,\n  2\nc: 3\n",
            "agencies/moh.yaml:4: no valid YAML: expected ',' or ']', but got ':' while parsing a flow "
            "sequence "
            "that starts on line 2",
        ),
        ("a: 1\nb: \x01\n", "agencies/moh.yaml:2: no valid YAML: a control character"),
        (
            "a: 1\n---\nb: 1\n",
            "agencies/moh.yaml:2: no valid YAML: but found another document expected a single",
        ),
        (
            f"a: *{TOKEN}\n",
            "agencies/moh.yaml:1: no valid YAML: found undefined alias 'a secret (not shown)'",
        ),
        ("a: " + "[" * 3000, "agencies/moh.yaml: can't be read: it is nested too deeply"),
        (TOKEN, "agencies/moh.yaml:1: got a secret (not shown), expected a mapping with"),
    ],
)
def test_what_is_no_agency_file_at_all_says_where_it_breaks(
    write: Callable[..., Path], text: str, message: str
) -> None:
    with pytest.raises(AgencyFileError) as caught:
        load_agency(write(text))
    assert str(caught.value).startswith(message)


def test_a_file_that_is_not_there_or_no_text_is_a_problem_of_the_file(write: Callable[..., Path]) -> None:
    path = write("")
    path.write_bytes(b"agency: \xff\n")
    assert [str(one) for one in read_agency(path).problems] == [
        "agencies/moh.yaml: can't be read: it is not UTF-8 text"
    ]
    path.unlink()
    assert [str(one) for one in read_agency(path).problems] == [
        "agencies/moh.yaml: can't be read: No such file or directory"
    ]


def test_a_file_of_another_suffix_is_refused(write: Callable[..., Path], good: Path) -> None:
    path = write(good.read_text(), "agencies/moh.yml")
    assert [str(one) for one in read_agency(path).problems] == [
        "agencies/moh.yml:1: got the file name 'moh.yml', expected <agency>.yaml"
    ]


def test_one_run_tells_every_problem_in_order_of_line(change: Callable[[str, str], Path]) -> None:
    change("agency: moh", "agency: mom")
    change("region: us-east-1", "region: us-gov-west-1")
    change("engine: llama.cpp", "engine: lama.cpp")
    change("      min: 1", "      min: 3")
    path = change(VARIABLE, "{MODEL: a}")
    assert [problem.line for problem in read_agency(path).problems] == [1, 6, 18, 19, 25, 28]


def test_names_that_only_hyphens_tell_apart_are_refused(good: Path) -> None:
    text = good.read_text().replace("name: chat", "name: qwen2-5-7b")
    good.write_text(text + text[text.index("  - name") :].replace("name: qwen2-5-7b", "name: qwen25-7b"))
    assert [str(problem) for problem in read_agency(good).problems] == [
        "agencies/moh.yaml:29: models[1].name: got 'qwen25-7b', expected a name that is not only in its "
        "hyphens another than that of models[0], 'qwen2-5-7b': the keys of the stack's outputs have none"
    ]


def test_an_agency_too_long_for_the_names_of_state_machines_is_refused(write: Callable[..., Path]) -> None:
    long = "a" * 57
    path = write(GOOD.replace("agency: moh", f"agency: {long}"), f"agencies/{long}.yaml")
    assert [problem.message for problem in read_agency(path).problems] == [
        f"got '{long}', expected at most 56 characters"
    ]


def test_a_boolean_for_a_number_is_told_as_nothing_else(change: Callable[[str, str], Path]) -> None:
    change("      min: 1", "      min: false\n      target_concurrency: 3")
    file = read_agency(change("concurrency: 4", "concurrency: true"))
    assert [problem.message for problem in file.problems] == [
        "got true, expected a whole number",
        "got false, expected a whole number",
    ]


def test_a_policy_of_aws_can_be_the_boundary(change: Callable[[str, str], Path]) -> None:
    path = change("iam::123456789012:policy/Boundary", "iam::aws:policy/PowerUserAccess")
    assert read_agency(path).problems == ()


def test_two_models_of_one_name_are_told_although_another_field_is_wrong(good: Path) -> None:
    text = good.read_text()
    model = text[text.index("  - name") :].replace("context_length: 2048", "context_length: many")
    good.write_text(text + model)
    assert [str(problem) for problem in read_agency(good).problems] == [
        "agencies/moh.yaml:29: models[1].name: got 'chat', expected a name of its own: models[0] has this "
        "one",
        "agencies/moh.yaml:38: models[1].context_length: got 'many', expected a whole number",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("token_secret: hf-token", f"token_secret: {TOKEN}"),
        ("token_secret: hf-token", f"token: {TOKEN}"),
        ("token_secret: hf-token", f"{TOKEN}: hf-token"),
        ("token_secret: hf-token", 'token_secret: "p4ss w0rd"'),
        ("hub: owner/some-GGUF", f"hub: https://user:{TOKEN}@huggingface.co/owner/some-GGUF"),
        ("engine: llama.cpp", f"engine: {TOKEN}"),
        ("engine: llama.cpp", f"engine: !{TOKEN} llama.cpp"),
        ("engine: llama.cpp", f"engine: llama.cpp\n    {TOKEN}: a\n    {TOKEN}: b"),
        (VARIABLE, f"{{{TOKEN}: a}}"),
        (VARIABLE, "{PIN: 20010911}"),
        (VARIABLE, "{PASSWORD: [p4ssw0rd]}"),
    ],
)
def test_no_message_shows_a_secret(change: Callable[[str, str], Path], old: str, new: str) -> None:
    file = read_agency(change(old, new))
    assert file.problems
    assert not any(secret in repr(file.problems) for secret in (TOKEN, "p4ss", "20010911"))


def test_a_problem_has_its_parts_for_tools(change: Callable[[str, str], Path]) -> None:
    (problem,) = read_agency(change("engine: llama.cpp", "engine: lama.cpp")).problems
    assert (problem.file, problem.line, problem.column, problem.field, problem.got, problem.nearest) == (
        "agencies/moh.yaml",
        18,
        13,
        "models[0].engine",
        "'lama.cpp'",
        "llama.cpp",
    )
    assert problem.expected == "one of llama.cpp, exllamav2, vllm, tgi"


def test_a_path_inside_the_current_folder_is_shown_from_there(change: Callable[[str, str], Path]) -> None:
    path = change("agency: moh", "agency: mom").absolute()
    assert str(read_agency(path).problems[0]).startswith("agencies/moh.yaml:1: ")


ADAPTERS = """    adapters:
      - name: law
        source: {hub: owner/law}
      - name: tax
        source: {hub: owner/tax, token_secret: hf-token}
"""


def with_adapters(good: Path, *changes: tuple[str, str]) -> list[str]:
    text = good.read_text() + ADAPTERS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    good.write_text(text)
    return [str(problem) for problem in read_agency(good).problems]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("name: law", "name: law", None),
        (
            "engine: llama.cpp",
            "engine: tgi",
            "29: models[0].adapters: got a list, expected the field left out: of the engines here ",
        ),
        (
            "name: tax",
            "name: law",
            "32: models[0].adapters[1].name: got 'law', expected a name of its own: adapters[0] has this one",
        ),
        (
            "name: tax",
            "name: chat",
            "32: models[0].adapters[1].name: got 'chat', expected a name of its own: the model has this one",
        ),
        (
            "owner/tax, token_secret: hf-token",
            "owner/tax, token_secret: other",
            "33: models[0].adapters[1].source.token_secret: got 'other', expected 'hf-token', as the model ",
        ),
        (
            VARIABLE,
            '{LLAMA_ARG_CACHE_RAM: "2048"}',
            "28: models[0].environment.LLAMA_ARG_CACHE_RAM: got '2048', expected no LLAMA_ARG_",
        ),
        (
            "owner/law}",
            "owner/law, quantised: other}",
            "31: models[0].adapters[0].source.quantised: got 'other', expected the field left out: an ",
        ),
        (
            VARIABLE,
            "{SERVING_LORA: a.gguf}",
            "28: models[0].environment.SERVING_LORA: got 'a.gguf', expected no SERVING_LORA with adapters: ",
        ),
        (
            "name: tax",
            f"name: {'t' * 505}",
            "29: models[0].adapters: got a list, expected shorter names: the container is told all in ",
        ),
    ],
)
def test_adapters_fit_their_model(good: Path, old: str, new: str, problem: str | None) -> None:
    found = with_adapters(good, (old, new))
    if problem is None:
        assert found == []
    else:
        assert any(one.startswith(f"agencies/moh.yaml:{problem}") for one in found), found
