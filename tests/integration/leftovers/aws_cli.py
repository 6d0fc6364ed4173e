"""As much of the AWS CLI as printed commands use: `python aws_cli.py s3api delete-bucket --bucket NAME …`."""

from __future__ import annotations

import itertools
import json
import sys
from typing import Any

import boto3
import jmespath  # type: ignore[import-untyped]  # it has none
from botocore import xform_name

SERVICES = {"s3api": "s3"}


def main(service: str, operation: str, *words: str) -> None:
    """Call the operation that the words name, and print what the query takes of the answer."""
    given = {
        name.removeprefix("--"): value for name, value in itertools.pairwise(words) if name.startswith("--")
    }
    make: Any = boto3.client
    client = make(SERVICES.get(service, service), region_name=given.pop("region"))
    query, _, most = given.pop("query", "@"), given.pop("output", ""), given.pop("max-items", None)
    operation = operation.replace("-", "_")
    shape = client.meta.service_model.operation_model(
        client.meta.method_to_api_mapping[operation]
    ).input_shape
    types = {xform_name(name).replace("_", "-"): (name, member) for name, member in shape.members.items()}
    arguments: dict[str, Any] = {}
    for option, value in given.items():
        if option == "force":
            continue
        name, member = types[option]
        kind = member.type_name
        arguments[name] = (
            json.loads(value) if kind == "structure" else int(value) if kind == "integer" else value
        )
    if most is not None:
        arguments["MaxKeys"] = int(most)
    answer = getattr(client, operation)(**arguments)
    print(json.dumps(jmespath.search(query, answer), default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
