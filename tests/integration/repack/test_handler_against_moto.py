"""The function's entry point with true boto3 calls: hub on loopback, S3 and Secrets Manager by moto."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from quant_llm_repack.handler import handle
from tests.integration.repack.loopback_hub import LoopbackHub, serving
from tests.unit.repack.sources import artifact_request, some_bytes

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Two parts, so that the multipart upload is one.
CONTENTS = {"config.json": b"{}", "empty": b"", "model.gguf": some_bytes(70_000_000)}
REQUEST = artifact_request(CONTENTS)
TOKEN = "hf_secret"


class Context:
    log_stream_name = "stream"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@dataclass
class World:
    """What the function reaches, and what it answered."""

    s3: S3Client
    hub: LoopbackHub
    response_url: str
    answers: list[dict[str, Any]]
    secret_arn: str

    def handle(self, kind: str = "Create", **changes: Any) -> dict[str, Any]:
        properties = {**REQUEST.to_properties(), "TokenSecretArn": self.secret_arn, **changes}
        handle(
            {
                "RequestType": kind,
                "StackId": "stack",
                "RequestId": "request",
                "LogicalResourceId": "Artifact",
                "ResponseURL": self.response_url,
                "ResourceProperties": properties,
            },
            Context(),
        )
        return self.answers.pop()

    def uploads_under_way(self) -> int:
        return len(self.s3.list_multipart_uploads(Bucket=REQUEST.bucket).get("Uploads", []))

    def keys(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=REQUEST.bucket).get("Contents", [])
        return sorted(each["Key"] for each in listed)


@pytest.fixture
def world(aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    answers: list[dict[str, Any]] = []

    class TakeAnswer(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Be silent."""

    taker = HTTPServer(("127.0.0.1", 0), TakeAnswer)
    thread = threading.Thread(target=taker.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    prefix = f"/{REQUEST.repository}/resolve/{REQUEST.commit}/"
    with serving(CONTENTS, prefix) as hub:
        for name, value in {
            "AWS_ENDPOINT_URL": aws,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
            "HF_ENDPOINT": hub.url,
        }.items():
            monkeypatch.setenv(name, value)
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=REQUEST.bucket)
        secrets = boto3.client("secretsmanager")
        arn = secrets.create_secret(Name="hf-token", SecretString=TOKEN)["ARN"]
        yield World(s3, hub, f"http://127.0.0.1:{taker.server_port}/answer", answers, arn)
        for key in [each["Key"] for each in s3.list_objects_v2(Bucket=REQUEST.bucket).get("Contents", [])]:
            s3.delete_object(Bucket=REQUEST.bucket, Key=key)
        s3.delete_bucket(Bucket=REQUEST.bucket)
        secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    taker.shutdown()
    thread.join()
    taker.server_close()


def test_a_model_becomes_an_archive_in_s3(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    result = world.handle()
    assert result["Status"] == "SUCCESS", result
    archive = world.s3.get_object(Bucket=REQUEST.bucket, Key=REQUEST.key)
    body = archive["Body"].read()
    assert result["Data"] == {"ModelDataUrl": REQUEST.url, "Bytes": str(len(body))}
    assert archive["ContentType"] == "application/gzip"
    assert "content-encoding" not in archive["ResponseMetadata"]["HTTPHeaders"]
    assert archive["Metadata"]["quantllm-files-sha256"] == REQUEST.digest
    with tarfile.open(fileobj=io.BytesIO(body), mode="r|gz") as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            assert file.read() == CONTENTS[member.name]
    manifest = json.loads(world.s3.get_object(Bucket=REQUEST.bucket, Key=REQUEST.manifest_key)["Body"].read())
    assert manifest["archive"]["bytes"] == len(body)
    assert world.uploads_under_way() == 0
    assert world.hub.authorizations == {"hub": {f"Bearer {TOKEN}"}, "cdn": {None}}
    assert TOKEN not in capfd.readouterr().out

    signatures = world.hub.signatures
    assert world.handle("Update")["Data"] == result["Data"]
    assert world.hub.signatures == signatures
    assert world.handle("Delete")["Status"] == "SUCCESS"
    assert world.keys() == sorted([REQUEST.key, REQUEST.manifest_key])


def test_a_wrong_byte_of_the_cdn_leaves_nothing_in_s3(world: World) -> None:
    wrong = bytearray(CONTENTS["model.gguf"])
    wrong[-1] ^= 1
    world.hub.cdn_contents["model.gguf"] = bytes(wrong)
    result = world.handle()
    assert result["Status"] == "FAILED"
    assert result["Reason"] == (
        f"model.gguf: the hub's file has sha256 {hashlib.sha256(wrong).hexdigest()}, expected "
        f"{hashlib.sha256(CONTENTS['model.gguf']).hexdigest()} of the lock"
    )
    assert (world.keys(), world.uploads_under_way()) == ([], 0)


def test_a_bucket_that_is_not_there_is_one_sentence(world: World) -> None:
    result = world.handle(Bucket="absent")
    assert result["Status"] == "FAILED"
    assert "s3://absent/models/chat/0123/model.tar.gz" in result["Reason"]
