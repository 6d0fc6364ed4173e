"""`make demo`: the main job of the product, as a platform engineer does it, on the embedded AWS.

Lock, bootstrap, deploy, call the endpoint whole and as a stream. It ends with one line of JSON. When an
embedded AWS is up already (`quantllm local up`), the demo deploys there, which is an update if the stack
exists, and leaves it running; else it starts one of its own and leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from quant_llm.agency import AgencyConfig, AgencyLock, load_agency
from quant_llm.errors import QuantLlmError
from quant_llm.names import pascal_case
from quant_llm.paths import ROOT
from quant_llm_tools.local_aws.llama_cpp_library import require_llama_cpp
from quant_llm_tools.local_aws.server import LocalAws
from quant_llm_tools.local_aws.state import running_environment

AGENCY_FILE = ROOT / "agencies" / "default.yaml"
QUESTION = "What is the capital of France?"
# SmolLM2's own default system prompt makes it babble.
MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": QUESTION},
]


@dataclass(frozen=True)
class Narrator:
    """Says what runs, with the seconds since the start."""

    started: float

    def say(self, text: str) -> None:
        """One line on stdout, behind the time."""
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", flush=True)

    def run(self, *command: str, environment: Mapping[str, str]) -> None:
        """Run a command and pass its lines on; QuantLlmError when it fails."""
        shown = " ".join(Path(part).name if part.startswith("/") else part for part in command)
        self.say(f"$ {shown}")
        with subprocess.Popen(  # noqa: S603 - commands of this module
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            for line in process.stdout or ():
                if text := readable(line):
                    self.say(f"  {text}")
        if process.returncode != 0:
            raise QuantLlmError(f"`{shown}` ended with exit code {process.returncode}: its lines say why")


def readable(line: str) -> str:
    """What a person wants to see of a line: of CloudFormation's events only each resource's end.

    >>> readable("QuantLlmStack |  7/28 | 11:35:05 PM | CREATE_COMPLETE | AWS::KMS::Key | Models/Key (Key1)")
    '7/28 CREATE_COMPLETE AWS::KMS::Key Models/Key (Key1)'
    >>> readable("QuantLlmStack |  6/28 | 11:35:05 PM | CREATE_IN_PROGRESS | AWS::KMS::Key | Models/Key")
    ''
    """
    cells = [cell.strip() for cell in line.split("|", 5)]
    if len(cells) < 6:
        publishing = re.match(r"\S+: (start|success): ", line)
        return "" if publishing else line.strip()
    _, count, _, status, kind, resource = cells
    if status.endswith(("_IN_PROGRESS", "_CLEANUP_IN_PROGRESS")):
        return ""
    return f"{count} {status} {kind} {resource}"


def tool_environment(aws: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command that must reach the embedded AWS: the user's own AWS settings go."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HF_"))}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    # With CI set, the CDK CLI prints plain lines in place of a moving bar.
    return {**kept, **nowhere, "CI": "true", "CDK_DISABLE_CLI_TELEMETRY": "true", **aws}


def clients(aws: Mapping[str, str]) -> boto3.Session:
    """A session that signs with the embedded AWS's keys whatever the user's profile is."""
    return boto3.Session(
        aws_access_key_id=aws["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
        region_name=aws["AWS_REGION"],
    )


@contextlib.contextmanager
def embedded_aws(narrator: Narrator) -> Iterator[Mapping[str, str]]:
    """The embedded AWS that is up, or one for the time of the demo."""
    running = running_environment()
    if running is not None:
        narrator.say(f"embedded AWS is up already: {running['AWS_ENDPOINT_URL']}")
        yield running
        return
    require_llama_cpp()
    with LocalAws() as aws:
        narrator.say(f"embedded AWS started: {aws.endpoint_url}, hub stand-in: {aws.hub_url}")
        yield aws.environment()
    narrator.say("embedded AWS stopped")


@contextlib.contextmanager
def following_logs(narrator: Narrator, session: boto3.Session, endpoint_url: str) -> Iterator[None]:
    """While a deploy runs, say what goes on in it: the repack's bytes and what the image build says."""
    logs = session.client("logs", endpoint_url=endpoint_url)
    since = int(time.time() * 1000)
    done = threading.Event()

    def new_messages(seen: set[str]) -> Iterator[str]:
        for group in logs.describe_log_groups()["logGroups"]:
            for part, pattern in (("RepackFunction", "repack."), ("BuildLogs", "embedded AWS")):
                if part not in group["logGroupName"]:
                    continue
                for event in logs.filter_log_events(
                    logGroupName=group["logGroupName"], startTime=since, filterPattern=f'"{pattern}"'
                )["events"]:
                    if event["eventId"] not in seen:
                        seen.add(event["eventId"])
                        yield event["message"].strip()

    def follow() -> None:
        seen: set[str] = set()
        progress = RepackProgress()
        while not done.wait(0.5):
            for message in new_messages(seen):
                if text := progress.text(message) if message.startswith("{") else f"image build: {message}":
                    narrator.say(f"  {text}")

    thread = threading.Thread(target=follow, name="following-logs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class RepackProgress:
    """Adds up what the repack's workers report, one JSON line after the other."""

    def __init__(self) -> None:
        self._total = 0
        self._done: dict[int, int] = {}

    def text(self, line: str) -> str:
        """What a person wants to hear of a line; empty for what is not worth one."""
        record = json.loads(line)
        match record["event"]:
            case "repack.planned":
                self._total = record["artifact_bytes"]
                return (
                    f"repack: {self._total:,} bytes in {record['parts']} parts, {record['workers']} workers"
                )
            case "repack.progress":
                self._done[record["item"]] = record["bytes_done"]
                done = sum(self._done.values())
                share = 100 * done / max(self._total, done)
                return f"repack: {done:,} bytes ({share:.0f} %), {record['mb_per_second']:.0f} MB/s a worker"
            case "repack.finished":
                return f"repack: {record['artifact_bytes']:,} bytes published, every sha256 is the lock's"
            case "repack.failed":
                return f"repack failed: {record['reason']}"
        return ""


def ask(runtime: Any, endpoint: str) -> dict[str, Any]:
    """Call the endpoint once and return the whole answer in OpenAI's form."""
    response = runtime.invoke_endpoint(
        EndpointName=endpoint,
        ContentType="application/json",
        Body=json.dumps({"messages": MESSAGES, "max_tokens": 32, "temperature": 0}),
    )
    answer: dict[str, Any] = json.load(response["Body"])
    return answer


def ask_streaming(runtime: Any, endpoint: str) -> Iterator[str]:
    """Call the endpoint and yield the answer's text piece by piece, as it comes."""
    response = runtime.invoke_endpoint_with_response_stream(
        EndpointName=endpoint,
        ContentType="application/json",
        Body=json.dumps({"messages": MESSAGES, "max_tokens": 32, "temperature": 0, "stream": True}),
    )
    pending = b""
    for event in response["Body"]:
        pending += event["PayloadPart"]["Bytes"]
        *lines, pending = pending.split(b"\n")
        for line in lines:
            data = line.removeprefix(b"data: ").strip()
            if not line.startswith(b"data: ") or data == b"[DONE]":
                continue
            for choice in json.loads(data)["choices"]:
                if text := choice["delta"].get("content"):
                    yield text


def served_context_length(sagemaker: Any, endpoint: str) -> int:
    """Tokens a request may have, by the environment of the Model that the endpoint runs now."""
    name = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    variant = sagemaker.describe_endpoint_config(EndpointConfigName=name)["ProductionVariants"][0]
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    environment = model["PrimaryContainer"]["Environment"]
    return int(environment["LLAMA_ARG_CTX_SIZE"]) // int(environment["LLAMA_ARG_N_PARALLEL"])


def sha256_of_artifact(s3: Any, url: str) -> str:
    """Sha256 of an object, by `s3://bucket/key`, or of all those under a prefix, one after the other."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    keys = [key]
    if key.endswith("/"):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
    digest = hashlib.sha256()
    for each in keys:
        for piece in s3.get_object(Bucket=bucket, Key=each)["Body"].iter_chunks(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def demonstrate(narrator: Narrator, agency: AgencyConfig, aws: Mapping[str, str]) -> dict[str, Any]:
    """Lock, bootstrap, deploy and call; returns what the last line says."""
    environment = tool_environment(aws)
    session, url = clients(aws), aws["AWS_ENDPOINT_URL"]
    where = f"aws://{agency.environment.account}/{agency.environment.region}"
    model = agency.models[0]

    narrator.run("quantllm", "lock", str(AGENCY_FILE.relative_to(ROOT)), environment=environment)
    narrator.run("cdk", "bootstrap", where, environment=environment)
    with following_logs(narrator, session, url):
        narrator.run(
            "cdk",
            "deploy",
            agency.stack_name,
            "--context",
            f"agency={agency.agency}",
            "--require-approval",
            "never",
            environment=environment,
        )

    cloudformation = session.client("cloudformation", endpoint_url=url)
    stack = cloudformation.describe_stacks(StackName=agency.stack_name)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    endpoint = outputs[f"{pascal_case(model.name)}EndpointName"]
    model_data_url = outputs[f"{pascal_case(model.name)}ModelDataUrl"]

    runtime = session.client("sagemaker-runtime", endpoint_url=url)
    narrator.say(f"invoke_endpoint({endpoint}): {QUESTION}")
    answer = ask(runtime, endpoint)
    narrator.say(f"  {answer['choices'][0]['message']['content'].strip()}")
    narrator.say(f"invoke_endpoint_with_response_stream({endpoint}): {QUESTION}")
    pieces = list(ask_streaming(runtime, endpoint))
    narrator.say(f"  {' | '.join(pieces)}")
    if "".join(pieces) != answer["choices"][0]["message"]["content"]:
        raise QuantLlmError("the streamed answer differs from the whole one, although both are greedy")

    lock = AgencyLock.read(AGENCY_FILE.with_suffix(".lock.json")).models[model.name]
    return {
        "demo": "ok",
        "endpoint": endpoint,
        "model_data_url": model_data_url,
        "artifact_sha256": sha256_of_artifact(session.client("s3", endpoint_url=url), model_data_url),
        "source_sha256": next(file.sha256 for file in lock.files if file.path.endswith(".gguf")),
        "completion_tokens": answer["usage"]["completion_tokens"],
        "update": stack["StackStatus"].startswith("UPDATE"),
        "context_length": served_context_length(session.client("sagemaker", endpoint_url=url), endpoint),
    }


def main() -> int:
    """Run the demo; 0 when the endpoint has answered."""
    narrator = Narrator(time.monotonic())
    try:
        agency = load_agency(AGENCY_FILE)
        with embedded_aws(narrator) as aws:
            result = demonstrate(narrator, agency, aws)
    except QuantLlmError as error:
        print(f"demo failed: {error}", file=sys.stderr)
        return 1
    print(json.dumps({**result, "seconds": round(time.monotonic() - narrator.started, 1)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
