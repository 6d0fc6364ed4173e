"""What .ci/run installs first, with stand-ins of dpkg-query and apt-get."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from quant_llm.paths import ROOT
from tests.programs import require

SCRIPT = ROOT / ".ci" / "install_packages"
PACKAGES = """\
# a list
busybox  # reads archives

pigz
"""


class Machine:
    """Keeps what apt-get is asked for; `apt_get` is how it ends."""

    def __init__(self, folder: Path, installed: str, apt_get: str = "exit 0") -> None:
        self._bin = folder / "bin"
        self._asked = folder / "asked"
        self._bin.mkdir()
        (folder / "packages.txt").write_text(PACKAGES)
        shutil.copy(SCRIPT, folder / "install_packages")
        self._script = folder / "install_packages"
        self._program("dpkg-query", f'[[ " {installed} " == *" ${{@: -1}} "* ]] && echo -n installed')
        self._program("apt-get", f'echo "$@" >>{self._asked}; {apt_get}')
        self._program("sudo", '[[ $1 == --non-interactive ]] && shift && exec "$@"')

    def _program(self, name: str, text: str) -> None:
        program = self._bin / name
        program.write_text(f"#!/bin/bash\n{text}\n")
        program.chmod(0o755)

    def install(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._script],
            env={"PATH": f"{self._bin}:/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
        )

    def asked(self) -> list[str]:
        return self._asked.read_text().splitlines() if self._asked.exists() else []


def test_only_what_is_missing_is_installed_and_nothing_is_said(tmp_path: Path) -> None:
    machine = Machine(tmp_path, installed="busybox")
    done = machine.install(CI="true")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.asked() == [
        "update --quiet=2",
        "install --quiet=2 --no-install-recommends pigz",
    ]


def test_with_all_there_nothing_is_asked_for(tmp_path: Path) -> None:
    machine = Machine(tmp_path, installed="busybox pigz")
    assert machine.install(CI="true").returncode == 0
    assert machine.asked() == []


@pytest.mark.parametrize(("environment", "status"), [({"CI": "true"}, 1), ({}, 0)], ids=["CI", "a person"])
def test_what_can_not_be_had_fails_in_ci_and_is_said_everywhere(
    tmp_path: Path, environment: dict[str, str], status: int
) -> None:
    machine = Machine(tmp_path, installed="busybox", apt_get="echo E: no network; exit 100")
    done = machine.install(**environment)
    assert done.returncode == status
    assert "E: no network" in done.stderr
    assert "can't install pigz with apt-get as root" in done.stderr


def test_a_missing_program_fails_in_ci_and_is_skipped_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    require("bash")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        require("no-such-program")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"no-such-program is not installed, and CI skips no"):
        require("no-such-program")
