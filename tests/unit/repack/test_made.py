"""Files that a quantise job has made, as the repack reads them from the agency's own bucket."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from quant_llm_repack.deadline import Deadline
from quant_llm_repack.edges import Edges
from quant_llm_repack.errors import MismatchError, RequestError, StoreError, StoreUnavailableError
from quant_llm_repack.made import MadeFiles
from quant_llm_repack.manifest import manifest_json
from quant_llm_repack.plan import plan_of
from quant_llm_repack.request import ArtifactRequest, SourceFile
from tests.unit.repack.fake_s3 import client_error

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONTENT = bytes(range(256)) * 4096
FILE = SourceFile(path="own.gguf", size=len(CONTENT), sha256="a" * 64)


class Bucket:
    """One object, whose body may break off."""

    def __init__(self, *, fails: ClientError | None = None, cut: int = 0) -> None:
        self.fails = fails
        self.cut = cut
        self.asked: list[tuple[str, str]] = []

    def head_object(self, **of: str) -> dict[str, Any]:
        self.asked.append((of["Bucket"], of["Key"]))
        if self.fails is not None:
            raise self.fails
        return {"ContentLength": len(CONTENT)}

    def get_object(self, **of: str) -> dict[str, Any]:
        self.asked.append((of["Bucket"], of["Key"]))
        if self.fails is not None:
            raise self.fails
        start, _, last = of["Range"].removeprefix("bytes=").partition("-")
        body = CONTENT[int(start) : int(last) + 1 - self.cut]
        return {"Body": StreamingBody(io.BytesIO(body), len(body))}


def made(bucket: Bucket) -> MadeFiles:
    return MadeFiles(cast("S3Client", bucket), "models", "quantised/own/1/files/", Deadline())


def test_a_range_is_read_exactly_and_in_chunks() -> None:
    bucket = Bucket()
    chunks = list(made(bucket).read(FILE, 10, 700_000))
    assert b"".join(chunks) == CONTENT[10:700_000]
    assert max(map(len, chunks)) <= 256 * 1024
    assert bucket.asked == [("models", "quantised/own/1/files/own.gguf")]


def test_a_body_that_ends_early_is_tried_again_later() -> None:
    with pytest.raises(StoreUnavailableError, match="ended 7 bytes early"):
        list(made(Bucket(cut=7)).read(FILE, 0, 1000))


@pytest.mark.parametrize(
    ("code", "kind"),
    [("NoSuchKey", StoreError), ("AccessDenied", StoreError), ("SlowDown", StoreUnavailableError)],
)
def test_a_refusal_ends_the_repack_and_a_hiccup_does_not(code: str, kind: type[StoreError]) -> None:
    with pytest.raises(StoreError, match="which a quantise job made, can't be read") as caught:
        list(made(Bucket(fails=client_error("GetObject", code))).read(FILE, 0, 1))
    assert type(caught.value) is kind
    with pytest.raises(kind):
        made(Bucket(fails=client_error("HeadObject", code))).check([FILE])


def test_another_size_than_the_locks_is_found_before_a_byte_is_copied() -> None:
    with pytest.raises(MismatchError, match="expected 5 of the lock"):
        made(Bucket()).check([SourceFile(path="own.gguf", size=5, sha256="a" * 64)])


def request(**more: Any) -> ArtifactRequest:
    fields = {"repository": "o/n", "commit": "c" * 40, "bucket": "b", "key": "models/own/1/model.tar.gz"}
    return ArtifactRequest(**fields, files=(FILE,), **more)


def test_the_prefix_goes_through_the_template_and_back() -> None:
    asked = request(source_prefix="quantised/own/1/files/")
    assert ArtifactRequest.from_properties(asked.to_properties()) == asked
    assert "SourcePrefix" not in request().to_properties()


def test_the_hub_is_not_asked_for_what_a_job_has_made() -> None:
    bucket = Bucket()
    edges = Edges(s3=lambda: cast("S3Client", bucket), environment={})
    edges.hub(request(source_prefix="quantised/own/1/files/"), Deadline()).check([FILE])
    assert bucket.asked == [("b", "quantised/own/1/files/own.gguf")]


def test_the_manifest_says_that_the_files_are_not_the_repositorys_own() -> None:
    def source(asked: ArtifactRequest) -> dict[str, str]:
        found: dict[str, str] = json.loads(manifest_json(asked, plan_of(asked), tar_crc32=0))["source"]
        return found

    made_at = "quantised/own/1/files/"
    assert source(request(source_prefix=made_at)) == {**source(request()), "made_at": made_at}


@pytest.mark.parametrize("prefix", ["quantised/own", "/quantised/", "quantised/../models/", "a//"])
def test_a_prefix_that_is_no_folder_is_refused(prefix: str) -> None:
    with pytest.raises(RequestError, match="SourcePrefix must be a folder"):
        request(source_prefix=prefix)
