"""Measure the synth of many agencies: `python benchmarks/synth.py [--quick] [--json]`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    root = Path(__file__).parents[1]
    sys.path[:0] = [str(root / source) for source in (".", "constructs", "tools", "lambdas")]
    from benchmarks.synth_run import main

    sys.exit(main())
