"""Code of functions: changed, or changed in its comments only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from quant_llm_tools.review.classify.comparison import Comparison
from quant_llm_tools.review.classify.files import asset_files, changed_files, same_code
from quant_llm_tools.review.classify.noise import no_effect
from quant_llm_tools.review.classify.words import count
from quant_llm_tools.review.model import Change, ChangeClass

_FUNCTION: Final = "AWS::Lambda::Function"
_LAYER: Final = "AWS::Lambda::LayerVersion"
_MOST_FILES: Final = 12


def code(comparison: Comparison) -> Iterator[Change]:
    """The code that deploys with the stack, where only its hash is in the template."""
    for logical_id in comparison.kept(_FUNCTION, _LAYER):
        for name in ("Code", "Content"):
            if name not in comparison.differing(logical_id):
                continue
            comparison.explain(logical_id, name)
            before, after = (
                asset_files(side, json.dumps(side.properties(logical_id).get(name)))
                for side in (comparison.before, comparison.after)
            )
            if before is not None and after is not None and same_code(before, after):
                yield no_effect(comparison, logical_id, "comments in the code, and so its hash,")
                continue
            files = changed_files(before, after) if before is not None and after is not None else {}
            yield comparison.change(
                ChangeClass.OPERATIONS_CHANGED,
                comparison.path(logical_id),
                f"the function's code: {count(len(files), 'file')}" if files else "the function's code",
                why="It runs at deploys and on events, with the permissions of its role.",
                effect="Changed in place; the endpoints go on serving.",
                after=[f"{path}: {what}" for path, what in files.items()][:_MOST_FILES] or None,
            )
