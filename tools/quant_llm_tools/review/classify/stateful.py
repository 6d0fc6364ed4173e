"""`stateful-removed`: what holds data, keys or images and is not there afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from quant_llm_tools.review.classify.comparison import Comparison
from quant_llm_tools.review.model import Change, ChangeClass
from quant_llm_tools.review.templates import Impact

STATEFUL: Final = {
    "AWS::S3::Bucket": ("bucket", "It holds the weights that were verified."),
    "AWS::KMS::Key": ("key", "Without it nothing that it encrypted can be read again."),
    "AWS::ECR::Repository": ("image repository", "It holds the images that run, and those to go back to."),
    "AWS::SecretsManager::Secret": ("secret", "What reads it fails."),
    "AWS::DynamoDB::Table": ("table", "It holds data."),
    "AWS::EFS::FileSystem": ("file system", "It holds data."),
    "AWS::RDS::DBInstance": ("database", "It holds data."),
    "AWS::RDS::DBCluster": ("database", "It holds data."),
}
"""Types of resources that hold what can't be made again at once: what each is, and why it matters."""


def stateful(comparison: Comparison) -> Iterator[Change]:
    """Removed, left behind or replaced."""
    for logical_id, resource in comparison.before.resources.items():
        if resource["Type"] not in STATEFUL:
            continue
        what, why = STATEFUL[resource["Type"]]
        impact = comparison.impact(logical_id)
        kept = resource.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate", "Snapshot")
        if logical_id not in comparison.after.resources:
            comparison.explain(logical_id)
            yield comparison.change(
                ChangeClass.STATEFUL_REMOVED,
                comparison.path(logical_id),
                f"the {what} leaves the stack" if kept else f"the {what} is deleted",
                why=why,
                effect=f"The {what} stays in the account, out of the stack's hands."
                if kept
                else f"The {what} is deleted with all that it holds.",
            )
        elif impact in (Impact.WILL_REPLACE, Impact.MAY_REPLACE):
            stays = resource.get("UpdateReplacePolicy") in ("Retain", "Snapshot")
            names = sorted(
                name
                for name, effect in comparison.effects[logical_id].properties.items()
                if effect.impact is impact
            )
            comparison.explain(logical_id, *names)
            may = "may be" if impact is Impact.MAY_REPLACE else "is"
            yield comparison.change(
                ChangeClass.STATEFUL_REMOVED,
                comparison.path(logical_id),
                f"the {what} {may} replaced by an empty one: {', '.join(names)}",
                why=why,
                effect="The old one stays in the account, out of the stack's hands."
                if stays
                else "The old one is deleted with all that it holds.",
                before={name: comparison.before.properties(logical_id).get(name) for name in names},
                after={name: comparison.after.properties(logical_id).get(name) for name in names},
            )
