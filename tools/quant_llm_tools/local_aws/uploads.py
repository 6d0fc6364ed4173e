"""Multipart uploads that are over: completed, or aborted by somebody else."""

from __future__ import annotations

from typing import NoReturn

from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import MultipartDict

from quant_llm_tools.local_aws.cloud import Seam


def seams() -> list[Seam]:
    """moto answers a part of an upload that is over, or its completion, with a 500, which is tried again."""

    def missing(uploads: MultipartDict, upload_id: str) -> NoReturn:
        raise NoSuchUpload(upload_id=upload_id)

    return [(MultipartDict, "__missing__", missing)]
