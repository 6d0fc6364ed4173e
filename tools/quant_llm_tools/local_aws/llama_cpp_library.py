"""Whether this machine can load llama.cpp, said before minutes of a deploy and not after."""

from __future__ import annotations

import subprocess
import sys

from quant_llm.errors import QuantLlmError


def require_llama_cpp() -> None:
    """QuantLlmError with what to install, if `xllamacpp` can't be loaded.

    Its wheel takes OpenMP's and C++'s libraries from the system, and small systems such as Debian's `slim`
    images have no OpenMP. Another process loads it: a library that is loaded can't be let go again.
    """
    loaded = subprocess.run([sys.executable, "-c", "import xllamacpp"], capture_output=True, text=True)
    if loaded.returncode != 0:
        reason = loaded.stderr.strip().rpartition("\n")[2]
        raise QuantLlmError(
            f"llama.cpp can't be loaded on this machine: {reason}; expected the libraries of OpenMP and C++: "
            "`apt install libgomp1 libstdc++6` on Debian and Ubuntu, `dnf install libgomp libstdc++` on "
            "Fedora and Amazon Linux"
        )
