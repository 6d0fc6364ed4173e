"""`python3 -m quant_llm_exllama` with the FAKE backend: the real server, and no model behind it."""

from __future__ import annotations

import os
import sys

from quant_llm_exllama.__main__ import main
from tests.integration.exllama.fake_backend import FakeBackend

if __name__ == "__main__":
    assert sys.argv[1:3] == ["-m", "quant_llm_exllama"], sys.argv
    sys.exit(main(sys.argv[3:], os.environ, load=FakeBackend))
