"""`python -m quant_llm_tools.review.forge github|gitlab|show FILE`, in a job with nothing installed.

`github` takes GITHUB_API_URL, GITHUB_EVENT_PATH and GITHUB_TOKEN; `gitlab` takes CI_API_V4_URL, CI_PROJECT_ID
and GITLAB_TOKEN. `show` prints the comment on a document, for the summary of a job.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from quant_llm.errors import QuantLlmError
from quant_llm_tools.review.forge import github, gitlab
from quant_llm_tools.review.forge.api import Api
from quant_llm_tools.review.forge.artifact import comment


def main(arguments: Sequence[str]) -> int:
    """0 well, 1 an error that somebody can mend, 2 wrong usage."""
    try:
        match arguments:
            case ["github"]:
                event = json.loads(Path(_variable("GITHUB_EVENT_PATH")).read_bytes())
                token = f"Bearer {_variable('GITHUB_TOKEN')}"
                headers = {"Authorization": token, "Accept": "application/vnd.github+json"}
                print(github.post(_api("GITHUB_API_URL", headers), event))
            case ["gitlab"]:
                headers = {"PRIVATE-TOKEN": _variable("GITLAB_TOKEN")}
                gitlab.post(_api("CI_API_V4_URL", headers), _variable("CI_PROJECT_ID"), print)
            case ["show", file]:
                print(comment(Path(file).read_bytes(), os.environ.get("GITHUB_SHA", "this commit")), end="")
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except (QuantLlmError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _api(variable: str, headers: dict[str, str]) -> Api:
    base = _variable(variable)
    if not base.startswith(("https://", "http://")):
        raise QuantLlmError(f"{variable}: got {base!r}, expected an address of http or https")
    return Api(base, headers)


def _variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise QuantLlmError(f"{name}: got nothing, expected the variable to be set")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
