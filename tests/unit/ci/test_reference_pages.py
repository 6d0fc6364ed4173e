"""The pages of docs/ that are generated are those that the code makes now."""

from __future__ import annotations

import pytest

import reference_pages


@pytest.mark.parametrize("name", reference_pages.PAGES)
def test_a_generated_page_differs_from_the_code(name: str) -> None:
    written = (reference_pages.DOCUMENTS / name).read_text(encoding="utf-8")
    assert written == reference_pages.PAGES[name](), "run `make format`"


def test_a_field_of_the_agency_file_is_missing_from_its_page() -> None:
    page = reference_pages.agency_file()
    for field in ("models[].scaling.schedule[]", "token_secret", "idle_minutes", "permissions_boundary"):
        assert f"`{field}`" in page
    assert " |  | " not in page, "a field without a word on what it does"
