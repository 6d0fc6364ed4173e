"""Faults are for the requests they name, as often as they say, and no others."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from quant_llm_tools.local_aws.hub.faults import Fail, Faults, Stall, Truncate, WrongByte

PATH = "/a/b/resolve/main/x.gguf"


def test_a_fault_is_used_up() -> None:
    faults = Faults()
    faults.fail("*/resolve/*", status=500, times=2)
    assert [faults.take(PATH, 0, 0) for _ in range(3)] == [
        Fail(HTTPStatus(500), 1),
        Fail(HTTPStatus(500), 1),
        None,
    ]


def test_a_fault_for_ever_stays_until_it_is_cleared() -> None:
    faults = Faults()
    faults.fail("*", times=None)
    assert all(faults.take(PATH, 0, 0) for _ in range(10))
    faults.clear()
    assert faults.take(PATH, 0, 0) is None


def test_a_fault_of_a_block_ends_with_it() -> None:
    faults = Faults()
    faults.fail("*", status=404)
    with faults.failing("*", status=500), faults.failing("*", status=502, times=1):
        codes = [faults.take(PATH, 0, 0) for _ in range(3)]
    assert [fault.status for fault in codes if isinstance(fault, Fail)] == [404, 500, 500]
    assert faults.take(PATH, 0, 0) is None


def test_other_paths_are_left_alone() -> None:
    faults = Faults()
    faults.fail("/cdn/*")
    assert faults.take(PATH, 0, 0) is None
    assert faults.take("/cdn/a/b/x.gguf", 0, 0) is not None


def test_the_oldest_of_two_comes_first() -> None:
    faults = Faults()
    faults.fail("*", status=500)
    faults.fail("*", status=404)
    assert [faults.take(PATH, 0, 0) for _ in range(2)] == [Fail(HTTPStatus(500), 1), Fail(HTTPStatus(404), 1)]


def test_faults_of_the_body_wait_for_an_answer_with_those_bytes() -> None:
    faults = Faults()
    faults.wrong_byte("*.gguf", offset=100, times=1)
    faults.truncate("*.gguf", after=50)
    faults.stall("*.gguf", seconds=1, after=10)
    assert faults.take(PATH, 0, 0) is None
    assert faults.take(PATH, 101, 140) == Stall(1, 10)
    assert faults.take(PATH, 90, 101) == WrongByte(100)
    assert faults.take(PATH, 0, 50) is None
    assert faults.take(PATH, 0, 51) == Truncate(50)


def test_json_arms_the_same_faults() -> None:
    faults = Faults()
    faults.add({"fault": "fail", "path": "*", "status": 429, "retry_after": 7, "times": 1})
    assert faults.take(PATH, 0, 0) == Fail(HTTPStatus(429), 7)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"fault": "explode", "path": "*"}, "'fault' must be one of fail, stall, truncate, wrong_byte"),
        ({"path": "*"}, "got None"),
        ({"fault": "truncate", "path": "*"}, "after"),
        ({"fault": "fail", "path": "*", "code": 500}, "code"),
        ({"fault": "fail", "path": "*", "times": 0}, "'times' must be at least 1"),
        ({"fault": "fail", "path": "*", "status": 999}, "999 is not a valid HTTPStatus"),
    ],
)
def test_wrong_json_says_what_is_wrong(document: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Faults().add(document)
