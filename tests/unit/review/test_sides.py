"""Both sides run their own code, see no secret and leave nothing behind; the apps here are a few lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm_tools.review import sides
from quant_llm_tools.review.sides import Side, synthesised

# Writes a cloud assembly of one stack whose template says what `told` is.
APP = """
import json, os
from pathlib import Path
from typing import Any
{code}
out = Path(os.environ["CDK_OUTDIR"])
(out / "QuantLlmStack.template.json").write_text(json.dumps({{"Resources": {{}}, "Told": told}}))
properties = {{"templateFile": "QuantLlmStack.template.json"}}
(out / "manifest.json").write_text(json.dumps({{"artifacts": {{"QuantLlmStack": {{
    "type": "aws:cloudformation:stack", "environment": "aws://123456789012/us-east-1",
    "properties": properties
}}}}}}))
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with an app, and with a package of this project's name in a source root of its own."""
    root = tmp_path / "repository"
    (root / "constructs" / "quant_llm").mkdir(parents=True)
    (root / "constructs" / "quant_llm" / "__init__.py").write_text("WHOSE = 'base'\n")
    (root / "cdk.json").write_text(json.dumps({"context": {"flag": True}}))
    (root / "pyproject.toml").write_text('[tool.setuptools.packages.find]\nwhere = ["constructs"]\n')
    write_app(root, "import quant_llm\ntold = quant_llm.WHOSE")
    git(root, "init", "--quiet", "--initial-branch=main")
    commit(root, "base")
    return root


def write_app(root: Path, code: str) -> None:
    (root / "app.py").write_text(APP.format(code=textwrap.dedent(code)))


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def commit(root: Path, message: str) -> str:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)
    return git(root, "rev-parse", "HEAD")


def told(side: Side) -> Any:
    assert side.refusal is None, side.refusal
    return side.templates["QuantLlmStack"]["Told"]


def test_each_side_runs_its_own_code(repository: Path) -> None:
    (repository / "constructs" / "quant_llm" / "__init__.py").write_text("WHOSE = 'head'\n")
    with synthesised(repository, "HEAD") as (base, head):
        assert (told(base), told(head)) == ("base", "head")
        assert base.environments == {"QuantLlmStack": ("123456789012", "us-east-1")}


def test_a_module_that_a_side_lacks_is_not_taken_from_the_installed_project(repository: Path) -> None:
    # quant_llm.agency and quant_llm_tools are installed for editing in the environment that both sides share.
    write_app(
        repository,
        """
        import importlib.util
        told = [importlib.util.find_spec(name) is None for name in ("quant_llm.agency", "quant_llm_tools")]
        """,
    )
    with synthesised(repository, "HEAD") as (_, head):
        assert told(head) == [True, True]


def test_head_can_be_a_ref_and_base_is_where_it_left(repository: Path) -> None:
    git(repository, "switch", "--quiet", "--create", "feature")
    write_app(repository, "told = 'feature'")
    commit(repository, "feature")
    git(repository, "switch", "--quiet", "main")
    write_app(repository, "told = 'main went on'")
    commit(repository, "main")
    with synthesised(repository, "main", "feature") as (base, head):
        assert (told(base), told(head)) == ("base", "feature")
        assert head.name.startswith("feature (")


def test_the_app_sees_the_context_with_paths_and_nothing_of_the_environment(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    write_app(
        repository,
        "told = [sorted(os.environ), json.loads(os.environ['CDK_CONTEXT_JSON'])]",
    )
    with synthesised(repository, "HEAD") as (_, head):
        names, context = told(head)
    assert not {"AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "PYTHONPATH"} & set(names)
    assert context == {"flag": True, "aws:cdk:enable-path-metadata": True}


def test_an_app_that_opens_a_connection_is_refused(repository: Path) -> None:
    write_app(repository, "import socket\nsocket.create_connection(('127.0.0.1', 9))\ntold = 1")
    with synthesised(repository, "HEAD") as (_, head):
        assert head.refusal is not None
        assert "synth is offline" in head.refusal


def test_what_a_failing_app_says_is_the_refusal_without_paths_of_ours(repository: Path) -> None:
    write_app(repository, "import sys\nsys.exit(f'{os.getcwd()}/agencies/moh.yaml:3: wrong')")
    with synthesised(repository, "HEAD") as (base, head):
        assert base.refusal is None
        assert head.refusal == "agencies/moh.yaml:3: wrong"
        assert head.templates == {}


def test_an_app_that_fails_without_a_word_is_still_refused(repository: Path) -> None:
    write_app(repository, "import sys\nsys.exit(3)")
    with synthesised(repository, "HEAD") as (_, head):
        assert head.refusal == "the app ended with exit code 3"


def test_the_sides_run_at_the_same_time(repository: Path) -> None:
    # Each waits for the other: one after the other they would both give up.
    write_app(
        repository,
        """
        import time
        mine = Path(os.environ["CDK_OUTDIR"])
        (mine / "here").touch()
        end = time.monotonic() + 20
        while len(list(mine.parent.glob("*/here"))) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        told = len(list(mine.parent.glob("*/here")))
        """,
    )
    commit(repository, "waits")
    with synthesised(repository, "HEAD") as (base, head):
        assert (told(base), told(head)) == (2, 2)


def test_nothing_is_left_behind(repository: Path) -> None:
    with synthesised(repository, "HEAD", "HEAD") as (base, _):
        assert base.directory is not None
        assert base.directory.is_dir()
        assert git(repository, "worktree", "list").count("\n") == 2
    assert not base.directory.exists()
    assert git(repository, "worktree", "list").count("\n") == 0
    assert git(repository, "status", "--short") == ""


def test_nothing_is_left_behind_of_a_review_that_is_interrupted(repository: Path, tmp_path: Path) -> None:
    write_app(repository, "import time\ntime.sleep(60)\ntold = 1")
    commit(repository, "sleeps")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    program = (
        "import sys; from pathlib import Path; from quant_llm_tools.review.sides import synthesised\n"
        "with synthesised(Path(sys.argv[1]), 'HEAD', progress=lambda text: print('here', flush=True)): pass"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(repository)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    with process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            end = time.monotonic() + 30
            while len(list(scratch.glob("*/assembly-1/stderr.txt"))) < 1 and time.monotonic() < end:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert list(scratch.iterdir()) == []
    assert git(repository, "worktree", "list").count("\n") == 0


def test_a_hook_of_the_repository_does_not_run(repository: Path, tmp_path: Path) -> None:
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    with synthesised(repository, "HEAD"):
        pass
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("ref", ["nowhere", "--upload-pack=touch", "", "HEAD:app.py"])
def test_what_is_no_commit_is_an_error_that_says_what_to_do(repository: Path, ref: str) -> None:
    with pytest.raises(QuantLlmError, match="git fetch"), synthesised(repository, ref):
        pass


def test_commits_without_common_history_are_an_error_that_says_what_to_do(repository: Path) -> None:
    git(repository, "switch", "--quiet", "--orphan", "other")
    write_app(repository, "told = 1")
    commit(repository, "other")
    with pytest.raises(QuantLlmError, match="fetch-depth: 0"), synthesised(repository, "main"):
        pass


def test_a_folder_without_a_repository_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(QuantLlmError, match="not in a git repository"), synthesised(tmp_path, "HEAD"):
        pass


def test_a_synth_that_hangs_is_ended(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "SYNTH_SECONDS", 0.5)
    write_app(repository, "import time\ntime.sleep(60)\ntold = 1")
    began = time.monotonic()
    with pytest.raises(QuantLlmError, match="hasn't ended"), synthesised(repository, "HEAD"):
        pass
    assert time.monotonic() - began < 30


def test_the_stacks_of_a_stage_are_read_as_well(repository: Path) -> None:
    stage = """
    import os
    from pathlib import Path
    folder = Path(os.environ["CDK_OUTDIR"], "assembly-Stage")
    folder.mkdir()
    (folder / "Inner.template.json").write_text('{"Inner": 1}')
    (folder / "manifest.json").write_text('''{"artifacts": {"StageInner": {
        "type": "aws:cloudformation:stack", "environment": "aws://123456789012/us-east-1",
        "properties": {"templateFile": "Inner.template.json", "stackName": "Stage-Inner"}}}}''')
    told = "stage"
    """
    write_app(repository, stage)
    manifest = '"environment": "aws://123456789012/us-east-1",\n    "properties": properties\n}}}'
    app = (repository / "app.py").read_text()
    assert manifest in app
    nested = '}, "Stage": {"type": "cdk:cloud-assembly", "properties": {"directoryName": "assembly-Stage"}}}}'
    (repository / "app.py").write_text(app.replace(manifest, manifest.removesuffix("}}}") + nested))
    with synthesised(repository, "HEAD") as (_, head):
        assert head.refusal is None, head.refusal
        assert head.templates["Stage-Inner"] == {"Inner": 1}
        assert head.environments["Stage-Inner"].region == "us-east-1"
