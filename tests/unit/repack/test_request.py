"""The resource's properties: read, written, and refused with the name of what is wrong."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from quant_llm.agency.lock import ModelLock
from quant_llm_repack.errors import RequestError
from quant_llm_repack.request import ArtifactRequest, Origin, SourceFile
from tests.unit.repack.sources import COMMIT, artifact_request, source_file

REQUEST = artifact_request({"b/model.gguf": b"weights", "a.json": b"{}", "empty": b""})
ADAPTER: dict[str, Any] = {"path": "adapters/law.gguf", "size": 3, "sha256": "0" * 64}


def properties(**changes: Any) -> dict[str, Any]:
    return {
        **REQUEST.to_properties(),
        "ServiceToken": "arn:aws:lambda:…",
        "ServiceTimeout": "1200",
        **changes,
    }


def file(path: str) -> dict[str, str]:
    return {"Path": path, "Size": "1", "Sha256": "0" * 64}


def test_properties_come_back_as_the_request() -> None:
    assert ArtifactRequest.from_properties(properties()) == REQUEST
    with_token = artifact_request({"a": b"1"}, token_secret_arn="arn:aws:secretsmanager:…")
    assert ArtifactRequest.from_properties(with_token.to_properties()) == with_token


def test_a_file_of_another_repository_comes_back_with_its_origin() -> None:
    origin = Origin(repository="acme/law-lora", commit="b" * 40, path="law.gguf")
    mixed = replace(REQUEST, files=(*REQUEST.files, SourceFile(**ADAPTER, origin=origin)))
    again = ArtifactRequest.from_properties(mixed.to_properties())
    assert again == mixed
    assert {each.path: each.origin for each in again.files}["adapters/law.gguf"] == origin
    # Where the bytes come from is not what they are.
    assert mixed.digest == replace(mixed, files=(*REQUEST.files, SourceFile(**ADAPTER))).digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Repository": "a/../b"}, "Repository must be 'owner/name'"),
        ({"Commit": "main"}, "Commit must be 40 lower-case hex digits"),
        ({"Path": "../law.gguf"}, "has a segment '.' or '..'"),
        ({"More": "x"}, r"Files\[0\].Origin must have Repository, Commit and Path"),
    ],
)
def test_an_origin_that_is_none_is_refused(changes: dict[str, str], message: str) -> None:
    origin = {"Repository": "acme/law-lora", "Commit": "b" * 40, "Path": "law.gguf", **changes}
    with pytest.raises(RequestError, match=message):
        ArtifactRequest.from_properties(properties(Files=[{**file("adapters/law.gguf"), "Origin": origin}]))


def test_properties_hold_no_number() -> None:
    """CloudFormation would make them strings, and the next deploy would see a change."""

    def scalars(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [scalar for item in value.values() for scalar in scalars(item)]
        if isinstance(value, list):
            return [scalar for item in value for scalar in scalars(item)]
        return [value]

    assert {type(scalar) for scalar in scalars(REQUEST.to_properties())} == {str}


def test_files_are_sorted_by_path() -> None:
    assert [each.path for each in REQUEST.files] == ["a.json", "b/model.gguf", "empty"]


def test_the_manifest_is_beside_the_archive() -> None:
    assert REQUEST.url == "s3://models/models/chat/0123/model.tar.gz"
    assert REQUEST.manifest_key == "models/chat/0123/manifest.json"


def test_the_digest_is_the_lock_entrys() -> None:
    files = [{"path": each.path, "size": each.size, "sha256": each.sha256} for each in REQUEST.files]
    lock = ModelLock.model_validate(
        {
            "source": {"hub": "acme/model-GGUF", "revision": "main", "files": ["*"]},
            "commit": COMMIT,
            "files": files[::-1],
            "shape": {
                "format": "gguf",
                "architecture": "llama",
                "quantization": "Q4_1",
                "parameters": 1,
                "bits_per_weight": 5.0,
                "layers": 1,
                "attention_heads": 1,
                "key_value_heads": 1,
                "head_size": 1,
                "embedding_size": 1,
                "vocabulary_size": 1,
                "context_length": 1,
            },
        }
    )
    assert REQUEST.digest == lock.digest


@pytest.mark.parametrize("name", ["Repository", "Commit", "Files", "Bucket", "Key"])
def test_a_missing_property_is_named(name: str) -> None:
    given = properties()
    del given[name]
    with pytest.raises(RequestError, match=f"property '{name}' is missing"):
        ArtifactRequest.from_properties(given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"Sha": "1"},
            r"property 'Sha' is not known; known are Bucket, Commit, Files, Key, Repository, SourceP",
        ),
        ({"Bucket": ""}, "Bucket must be a text that is not empty, got ''"),
        ({"TokenSecretArn": ""}, "TokenSecretArn must be a text"),
        ({"Commit": "main"}, "Commit must be 40 lower-case hex digits, got 'main'"),
        ({"Repository": "a/../b"}, "Repository must be 'owner/name'"),
        ({"Repository": "a/.."}, "Repository must be 'owner/name'"),
        ({"Key": "models/"}, "Key must name the archive"),
        ({"Key": "models/manifest.json"}, "Key must name the archive"),
        ({"Key": "models//files/"}, "Key must name the archive"),
        ({"Key": "models/chat/files.manifest.json/"}, "Key must name the archive"),
        ({"Files": []}, "at least one file"),
        ({"Files": "a"}, "Files must be a list, got str"),
        ({"Files": [{"Path": "a"}]}, r"Files\[0\] must have Path, Size and Sha256"),
        (
            {"Files": [{**file("a"), "Size": "1.5"}]},
            r"Files\[0\].Size must be a whole number of bytes, got '1.5'",
        ),
        ({"Files": [{**file("a"), "Size": "-1"}]}, r"Files\[0\].Size must be a whole number"),
        ({"Files": [{**file("a"), "Sha256": "0" * 63}]}, "'a': sha256 must be 64 lower-case hex digits"),
        ({"Files": [{**file("a"), "Size": "0"}]}, "'a': sha256 of an empty file must be e3b0c442"),
    ],
)
def test_a_malformed_property_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        ArtifactRequest.from_properties(properties(**changes))


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/etc/passwd", "is absolute"),
        ("../a", "has a segment '.' or '..'"),
        ("a/../b", "has a segment '.' or '..'"),
        ("./a", "has a segment '.' or '..'"),
        ("a//b", "has an empty segment"),
        ("a/", "has an empty segment"),
        ("a\\b", "has a backslash"),
        ("a\nb", "has a control character"),
        ("a\0b", "has a control character"),
        ("é" * 128, "has a segment of 256 bytes, the longest allowed is 255"),
        ("\ud800", "is no valid Unicode text"),
    ],
)
def test_a_path_that_could_leave_the_model_directory_is_refused(path: str, problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        ArtifactRequest.from_properties(properties(Files=[file("fine"), file(path)]))
    assert str(caught.value) == f"file path {path!r} {problem}"


def test_the_longest_segment_is_taken() -> None:
    assert SourceFile(path="é" * 127 + "x/" + "y" * 255, size=1, sha256="0" * 64)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["a", "b", "a"], "file path 'a' is given twice"),
        (["a/b", "a"], "file path 'a' is also the directory of 'a/b'"),
        (["a/b/c", "a/b", "a-b"], "file path 'a/b' is also the directory of 'a/b/c'"),
    ],
)
def test_paths_that_clash_are_refused(paths: list[str], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        ArtifactRequest.from_properties(properties(Files=[file(path) for path in paths]))


def test_paths_that_only_look_alike_are_taken() -> None:
    request = artifact_request({"a": b"1", "A": b"2", "a.b": b"3", "ab/a": b"4"})
    assert len(request.files) == 4


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(RequestError, match="'a': size must be 0 or more, got -1"):
        SourceFile(path="a", size=-1, sha256=hashlib.sha256().hexdigest())


def test_source_file_of_content() -> None:
    assert source_file("empty", b"").size == 0
