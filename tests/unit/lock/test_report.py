"""What `quantllm lock` tells people and tools."""

from __future__ import annotations

from typing import Any

import pytest

from quant_llm.agency import LockedFile, LockedSource, ModelLock, ModelShape
from quant_llm_tools.lock.agency import AgencyOutcome
from quant_llm_tools.lock.report import differences, document, text

OLD, NEW = "a" * 40, "b" * 40


def lock(commit: str = OLD, quantization: str = "Q4_1", **files: int) -> ModelLock:
    return ModelLock(
        source=LockedSource(hub="owner/name", revision="main", files=["*.gguf"]),
        commit=commit,
        files=[
            LockedFile(path=f"{path}.gguf", size=size, sha256=f"{size:064x}") for path, size in files.items()
        ],
        shape=ModelShape(
            format="gguf",
            architecture="llama",
            quantization=quantization,
            parameters=134_515_008,
            bits_per_weight=5.8499,
            layers=30,
            attention_heads=9,
            key_value_heads=3,
            head_size=64,
            embedding_size=576,
            vocabulary_size=49152,
            context_length=8192,
        ),
    )


def outcome(before: dict[str, ModelLock], after: dict[str, ModelLock], **more: Any) -> AgencyOutcome:
    changed = before != after
    return AgencyOutcome("moh.yaml", "moh.lock.json", "moh", before, after, changed=changed, **more)


def test_differences_name_the_fields_of_the_lock() -> None:
    found = differences(lock(OLD, a=1, b=2), lock(NEW, quantization="Q8_0", b=3, c=4))
    assert [(one.field, one.before, one.after) for one in found] == [
        ("commit", OLD, NEW),
        ("files.a.gguf", {"size": 1, "sha256": f"{1:064x}"}, None),
        ("files.b.gguf", {"size": 2, "sha256": f"{2:064x}"}, {"size": 3, "sha256": f"{3:064x}"}),
        ("shape.quantization", "Q4_1", "Q8_0"),
        ("files.c.gguf", None, {"size": 4, "sha256": f"{4:064x}"}),
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            {},
            {"m": lock(a=98_362_432)},
            [
                "moh.lock.json: written",
                "  m: new, commit aaaaaaaaaaaa, 1 file, 98.4 MB, llama 134.5 M, Q4_1, 5.85 bits per weight",
            ],
        ),
        (
            {"m": lock(a=1)},
            {"m": lock(a=1)},
            [
                "moh.lock.json: up to date",
                "  m: same, commit aaaaaaaaaaaa, 1 file, 1 bytes, llama 134.5 M, Q4_1, 5.85 bits per weight",
            ],
        ),
        (
            {"m": lock(a=1), "gone": lock(a=1)},
            {"m": lock(NEW, a=1)},
            [
                "moh.lock.json: written",
                "  m: changed, the same weights, commit bbbbbbbbbbbb, 1 file, 1 bytes, llama 134.5 M, Q4_1, "
                "5.85 bits per weight",
                "    commit: aaaaaaaaaaaa -> bbbbbbbbbbbb",
                "  gone: removed",
            ],
        ),
        (
            {"m": lock(a=10**9, b=1)},
            {"m": lock(a=2 * 10**9)},
            [
                "moh.lock.json: written",
                "  m: changed, other weights, commit aaaaaaaaaaaa, 1 file, 2.0 GB, llama 134.5 M, Q4_1, "
                "5.85 bits per weight",
                "    files.a.gguf: 1.0 GB sha256 000000000000 -> 2.0 GB sha256 000000000000",
                "    files.b.gguf: 1 bytes sha256 000000000000 -> none",
            ],
        ),
    ],
)
def test_text_has_a_line_for_each_model_and_difference(
    before: dict[str, ModelLock], after: dict[str, ModelLock], expected: list[str]
) -> None:
    assert text([outcome(before, after)]).splitlines() == expected


def test_agency_with_errors_is_left_as_it_is() -> None:
    failed = AgencyOutcome("moh.yaml", "moh.lock.json", "moh", {"m": lock(a=1)}, errors=("one", "two"))
    assert text([failed]) == "moh.lock.json: left as it is, 2 errors"
    assert document([failed]) == {
        "agencies": [
            {
                "agency": "moh",
                "file": "moh.yaml",
                "lock": "moh.lock.json",
                "changed": False,
                "models": [],
                "errors": ["one", "two"],
            }
        ],
        "ok": False,
    }


def test_document_has_each_model_with_state_and_differences() -> None:
    after = lock(NEW, a=1, b=2)
    result = document([outcome({"m": lock(a=1), "gone": lock(a=1)}, {"m": after, "n": after})])
    assert result["ok"] is True
    assert result["agencies"][0]["models"] == [
        {
            "name": "m",
            "state": "changed",
            "commit": NEW,
            "files": 2,
            "bytes": 3,
            "digest": after.digest,
            "differences": [
                {"field": "commit", "before": OLD, "after": NEW},
                {"field": "files.b.gguf", "before": None, "after": {"size": 2, "sha256": f"{2:064x}"}},
            ],
        },
        {
            "name": "n",
            "state": "new",
            "commit": NEW,
            "files": 2,
            "bytes": 3,
            "digest": after.digest,
            "differences": [],
        },
        {"name": "gone", "state": "removed"},
    ]
