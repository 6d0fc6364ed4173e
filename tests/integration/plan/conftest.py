"""The prices of these tests are the bundled ones."""

from tests.unit.prices.conftest import price_list

__all__ = ["price_list"]
