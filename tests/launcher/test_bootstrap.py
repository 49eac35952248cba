"""The environment: made once, by one at a time, from what pip is configured to use."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from launcher import bootstrap, installer, virtualenv
from tests.waiting import WAIT_S

from .running import PROJECT

# The real program on requirement files that need no network; says what it installed.
DRIVER = """
import sys
from pathlib import Path
from launcher import bootstrap, installer
bootstrap.REQUIREMENTS = Path(sys.argv[1])
installer.install = lambda python, files: print("installs", *(f.stem for f in files), flush=True)
sys.exit(bootstrap.main(sys.argv[2:]))
"""


@pytest.fixture
def place():
    """A folder with a space in its name, holding empty requirement files."""
    folder = Path(tempfile.mkdtemp(prefix="slipway boot "))
    (folder / "requirements").mkdir()
    for role in bootstrap.ROLES:
        (folder / "requirements" / f"{role}.txt").write_text("# nothing\n")
    yield folder
    shutil.rmtree(folder)


def start(place, *roles):
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(place / "requirements"), *roles],
        cwd=PROJECT,
        env={**os.environ, "SLIPWAY_VENV": str(place / "my env")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(place, *roles):
    process = start(place, *roles)
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    return out.strip()


@pytest.mark.slow
class TestEnsure:
    def test_makes_a_working_environment_and_then_has_nothing_to_do(self, place):
        first, second = run(place, "web"), run(place, "web")

        said = subprocess.run(
            [place / "my env" / "bin" / "python", "-c", "import sys; print(sys.prefix)"],
            capture_output=True,
            text=True,
            check=True,
        )
        stamp = json.loads((place / "my env" / ".stamp").read_text())
        assert first == "installs web"
        assert second == ""
        assert stamp["roles"] == ["web"]
        assert stamp["python"] == ".".join(map(str, sys.version_info[:3]))
        assert said.stdout.strip() == str(place / "my env")

    def test_installs_again_when_a_file_or_a_role_was_added(self, place):
        run(place, "web")
        more = run(place, "worker")
        (place / "requirements" / "web.txt").write_text("# something\n")

        changed = run(place, "web")

        assert more == "installs web worker"
        assert changed == "installs web worker"

    def test_two_at_once_wait_for_each_other(self, place):
        both = [start(place, "web") for _ in range(2)]

        outputs = [process.communicate(timeout=WAIT_S) for process in both]

        assert [process.returncode for process in both] == [0, 0], outputs
        assert sorted(out.strip() for out, _ in outputs) == ["", "installs web"]

    def test_replaces_a_broken_environment(self, place):
        broken = place / "my env" / "bin"
        broken.mkdir(parents=True)
        (broken / "python").symlink_to("/nowhere/python3")

        assert run(place, "web") == "installs web"
        assert virtualenv.works(place / "my env")

    def test_refuses_a_role_that_does_not_exist(self, place):
        process = start(place, "wep")
        _, err = process.communicate(timeout=WAIT_S)

        assert process.returncode == 2
        assert "wep" in err

    def test_an_interrupted_one_is_not_taken_for_complete(self, place):
        run(place, "web")
        (place / "my env" / ".stamp").unlink()

        assert run(place, "web") == "installs web"


class TestInstaller:
    def test_says_in_uvs_words_what_pip_is_told(self):
        flags = installer.uv_flags(
            {
                "index-url": "https://one/simple",
                "extra-index-url": "https://two/simple https://three/simple",
                "find-links": "/wheels",
                "no-index": "true",
            }
        )

        assert flags[:2] == ["--default-index", "https://one/simple"]
        assert flags.count("--index") == 2
        assert "--find-links" in flags
        assert "--no-index" in flags

    def test_reads_files_and_variables_of_pip(self, tmp_path, monkeypatch):
        config = tmp_path / "pip.conf"
        config.write_text("[global]\nfind-links = /from-file\nindex-url = https://one/simple\n")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
        monkeypatch.setenv("PIP_FIND_LINKS", "/from-variable")

        settings = installer.pip_settings(Path(sys.executable))

        assert settings["find-links"] == "/from-variable"
        assert settings["index-url"] == "https://one/simple"

    def test_certificates_and_proxy_reach_uv(self):
        environment = installer.uv_environment({"cert": "/ca.pem", "proxy": "http://proxy:3128"})

        assert environment["SSL_CERT_FILE"] == os.environ.get("SSL_CERT_FILE", "/ca.pem")
        assert environment["HTTPS_PROXY"] == os.environ.get("HTTPS_PROXY", "http://proxy:3128")


class TestVirtualenv:
    def test_names_the_remedy_where_nothing_works(self, tmp_path, monkeypatch):
        monkeypatch.setattr(virtualenv, "_attempt", lambda way, folder: "cannot")

        with pytest.raises(SystemExit, match=r"apt-get install python3\.\d+-venv"):
            virtualenv.make(tmp_path / "env")

    def test_another_way_is_tried_where_the_first_fails(self, tmp_path, monkeypatch):
        """As on Debian without python3-venv, where ensurepip is missing."""
        monkeypatch.setattr(
            virtualenv, "_by_standard_library", lambda folder: [["false"]], raising=True
        )

        virtualenv.make(tmp_path / "env")

        assert virtualenv.works(tmp_path / "env")


class TestOldPython:
    def test_is_told_what_to_do(self, monkeypatch):
        monkeypatch.setattr(bootstrap.sys, "version_info", (3, 9, 2, "final", 0))
        monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)

        with pytest.raises(SystemExit, match=r"3\.11 or newer.*3\.9\.2"):
            bootstrap.require_python()

    def test_the_first_files_are_readable_for_it(self):
        """No syntax newer than 3.8 before the version has been looked at."""
        import ast

        for name in ("manage.py", "launcher/__init__.py", "launcher/bootstrap.py"):
            ast.parse((PROJECT / name).read_text(), feature_version=(3, 8))
