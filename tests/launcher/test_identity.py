"""As whom PostgreSQL runs under root, in folders open and closed; and everything without root."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import identity
from launcher.errors import LauncherError
from launcher.postgres import find_binaries
from tests.waiting import WAIT_S

from .running import MANAGE, PROJECT, clean_environment, processes_of

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
QUERY = (
    "import os, psycopg\n"
    "link = psycopg.connect(os.environ['DATABASE_URL'], autocommit=True)\n"
    "link.execute('create table if not exists kept (x int)')\n"
    "link.execute('insert into kept values (1)')\n"
    "print(link.execute('select count(*) from kept').fetchone()[0])"
)
# The launcher with one way only of becoming somebody else.
ONE_WAY = (
    "import sys\n"
    "from launcher import identity, services\n"
    "everything = identity._candidates\n"
    "identity._candidates = lambda o: [i for i in everything(o) if i.kind == sys.argv[1]]\n"
    "sys.exit(services.run(sys.argv[2:]))"
)


def services(data_dir, kind):
    return subprocess.run(
        [sys.executable, "-c", ONE_WAY, kind, "--data-dir", str(data_dir), "--",
         sys.executable, "-c", QUERY],
        cwd=PROJECT, env=clean_environment(), capture_output=True, text=True, timeout=WAIT_S,
        check=False,
    )  # fmt: skip


@root_only
class TestAsRoot:
    @pytest.mark.parametrize(
        ("kind", "closed"),
        [("user", False), ("namespace", False), ("namespace", True), ("capability", True)],
    )
    def test_each_way_works_twice_and_changes_no_folder(self, data_dir, kind, closed):
        mode = 0o700 if closed else 0o755
        data_dir.parent.chmod(mode)

        first, second = services(data_dir, kind), services(data_dir, kind)

        if "none of these can reach" in first.stderr:
            pytest.skip(f"this system forbids it: {first.stderr.strip()}")
        assert (first.stdout.strip(), second.stdout.strip()) == ("1", "2"), first.stderr
        assert stat.S_IMODE(data_dir.parent.stat().st_mode) == mode
        assert processes_of(data_dir) == {}

    def test_the_owner_of_a_cluster_goes_on_to_run_it(self, data_dir):
        assert services(data_dir, "user").returncode == 0
        cluster = next(data_dir.glob("pg*"))

        chosen = identity.choose(find_binaries(), cluster)

        assert chosen.kind == "user"
        assert chosen.uid == cluster.stat().st_uid != 0

    def test_says_what_to_do_where_nothing_works(self, data_dir):
        data_dir.parent.chmod(0o700)

        done = services(data_dir, "user")

        assert done.returncode == 1
        assert "SLIPWAY_DATA_DIR" in done.stderr
        assert "DATABASE_URL" in done.stderr


class TestAsAnOrdinaryUser:
    def test_refuses_the_cluster_of_somebody_else(self, tmp_path, monkeypatch):
        cluster = tmp_path / "pg18"
        cluster.mkdir()
        monkeypatch.setattr(identity.os, "geteuid", lambda: cluster.stat().st_uid + 4242)

        with pytest.raises(LauncherError, match="belongs to"):
            identity.choose(find_binaries(), cluster)

    @root_only
    def test_everything_runs_without_root(self, data_dir):
        setpriv = shutil.which("setpriv")
        nobody = pwd.getpwnam("nobody")
        if not setpriv:
            pytest.skip("no setpriv on this system")
        as_nobody = [
            setpriv, f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
        ]  # fmt: skip
        python = reachable_python(as_nobody)
        if not python:
            pytest.skip("every Python with our packages lies in a closed folder")
        data_dir.mkdir()
        os.chown(data_dir, nobody.pw_uid, nobody.pw_gid)

        done = subprocess.run(
            [*as_nobody, python, *MANAGE[1:], "services", "--data-dir", str(data_dir), "--",
             python, "-c", QUERY],
            cwd="/", env=clean_environment(PYTHONPATH=f"{PROJECT}:{site_packages()}"),
            capture_output=True, text=True, timeout=WAIT_S, check=False,
        )  # fmt: skip

        assert done.stdout.strip() == "1", done.stderr
        assert {p.stat().st_uid for p in data_dir.rglob("*")} == {nobody.pw_uid}


def reachable_python(as_nobody):
    """An interpreter that `nobody` may run and that can load our compiled packages."""
    check = "import os, sys, psycopg; sys.exit(not os.access(sys.executable, os.X_OK))"
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        done = subprocess.run(
            [*as_nobody, python, "-c", check],
            env=clean_environment(PYTHONPATH=site_packages()), capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return python
    return None


def site_packages():
    import django

    return str(Path(django.__file__).parent.parent)
