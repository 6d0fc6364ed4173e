"""Measure what the container's adapter costs: `python benchmarks/adapter.py [--quick] [--json]`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    root = Path(__file__).parents[1]
    sys.path[:0] = [str(root / source) for source in (".", "constructs", "tools", "lambdas")]
    from benchmarks.adapter_comparison import main

    sys.exit(main())
