"""The images' own tests need images: `tools/test_images.sh` builds them and sets IMAGES."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("QUANTLLM_IMAGES") else ["test_*.py"]
