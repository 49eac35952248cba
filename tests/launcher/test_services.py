"""`manage.py services`: PostgreSQL and Redis alone."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.waiting import WAIT_S

from .running import MANAGE, clean_environment, launched, processes_of, stack_of, until

CONNECT = (
    "import os, psycopg\nlink = psycopg.connect(os.environ['DATABASE_URL'], autocommit=True)\n"
)
SHOW = "import json, os; print(json.dumps({k: v for k, v in os.environ.items()}))"


def services(*words, **environment):
    return subprocess.run(
        [*MANAGE, "services", *words],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


class TestTemporary:
    def test_gives_the_command_its_servers_and_returns_its_status(self):
        code = (
            "import os, psycopg, redis, sys\n"
            "link = psycopg.connect(os.environ['DATABASE_URL'], autocommit=True)\n"
            "link.execute('create database another')\n"
            "print(link.execute('select rolsuper from pg_roles where rolname = user').fetchone())\n"
            "print(redis.Redis.from_url(os.environ['REDIS_URL'] + '/3').ping())\n"
            "print(os.environ['SLIPWAY_DATA_DIR'], bool(os.environ['SECRET_KEY']))\n"
            "sys.exit(7)"
        )

        done = services("--temporary", "--", sys.executable, "-c", code)

        assert done.returncode == 7, done.stderr
        superuser, pong, folder = done.stdout.splitlines()
        assert (superuser, pong) == ("(False,)", "True")
        assert folder.endswith(" True")
        assert not Path(folder.removesuffix(" True")).exists()
        assert processes_of(folder.removesuffix(" True")) == {}

    def test_leaves_servers_that_were_named_alone(self):
        done = services(
            "--temporary", "--", sys.executable, "-c", SHOW, DATABASE_URL="postgresql://elsewhere/x"
        )

        assert "elsewhere" not in json.loads(done.stdout)["DATABASE_URL"]

    def test_reports_a_command_that_a_signal_ended(self):
        done = services("--temporary", "--", "sh", "-c", "kill -9 $$")

        assert done.returncode == 128 + signal.SIGKILL

    def test_says_when_the_command_does_not_exist(self):
        done = services("--temporary", "--", "no-such-command")

        assert done.returncode == 1
        assert "no-such-command cannot be started" in done.stderr


class TestOnAFolder:
    def test_keeps_data_and_secrets_over_restarts(self, data_dir):
        make = CONNECT + "link.execute('create table kept (x int)')"
        look = CONNECT + (
            "print(link.execute('select count(*) from kept').fetchone())\n"
            "print(os.environ['SECRET_KEY'], os.environ['DATABASE_URL'])"
        )

        first = services("--data-dir", str(data_dir), "--", sys.executable, "-c", make)
        one, two = (
            services("--data-dir", str(data_dir), "--", sys.executable, "-c", look)
            for _ in range(2)
        )

        assert first.returncode == 0, first.stderr
        assert one.stdout.startswith("(0,)"), one.stderr
        assert one.stdout == two.stdout

    def test_keeps_secrets_private(self, data_dir):
        with launched([*MANAGE, "services", "--data-dir", str(data_dir)]) as launcher:
            launcher.wait_for("Ctrl-C stops")
            files = [path for path in (data_dir / "run").iterdir() if path.is_file()]
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}
            stack = stack_of(data_dir)
            secrets = [
                stack["SECRET_KEY"],
                *(stack[k].split("@")[0].split(":")[-1] for k in ("DATABASE_URL", "REDIS_URL")),
            ]
            commands = " ".join(processes_of(data_dir).values())

        assert {"secret.json", "stack.json", "valkey.conf"} <= modes.keys()
        assert set(modes.values()) == {0o600}
        assert not any(secret in commands for secret in secrets)
        logs = "".join(path.read_text() for path in (data_dir / "log").iterdir())
        assert not any(secret in logs for secret in secrets)

    def test_sets_a_new_password_when_the_secrets_were_lost(self, data_dir):
        show = CONNECT + "print('fine')"
        services("--data-dir", str(data_dir), "--", "true")
        (data_dir / "run" / "secret.json").unlink()

        done = services("--data-dir", str(data_dir), "--", sys.executable, "-c", show)

        assert done.stdout.strip() == "fine", done.stderr

    def test_refuses_data_of_another_version(self, data_dir):
        old = data_dir / "pg9"
        old.mkdir(parents=True)
        (old / "PG_VERSION").write_text("9\n")

        done = services("--data-dir", str(data_dir), "--", "true")

        assert done.returncode == 1
        assert "another PostgreSQL" in done.stderr

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path):
        (tmp_path / "file").touch()

        done = services("--data-dir", str(tmp_path / "file" / "data"), "--", "true")

        assert done.returncode == 1
        assert "SLIPWAY_DATA_DIR" in done.stderr


class TestFromAnotherTerminal:
    def test_a_second_start_is_refused_with_the_pid(self, data_dir):
        with launched([*MANAGE, "services", "--data-dir", str(data_dir)]) as launcher:
            launcher.wait_for("Ctrl-C stops")
            second = services("--data-dir", str(data_dir), "--", "true")

        assert second.returncode == 3
        assert f"pid {launcher.process.pid}" in second.stderr

    def test_reuse_works_on_the_servers_that_run(self, data_dir):
        with launched([*MANAGE, "services", "--data-dir", str(data_dir)]) as launcher:
            launcher.wait_for("Ctrl-C stops")
            done = services(
                "--reuse", "--", sys.executable, "-c", SHOW, SLIPWAY_DATA_DIR=str(data_dir)
            )
            running = stack_of(data_dir)["DATABASE_URL"]

        assert json.loads(done.stdout)["DATABASE_URL"] == running

    def test_ctrl_c_waits_for_the_command_and_passes_on_its_status(self, data_dir):
        code = (
            "import os, psycopg, signal, sys, time\n"
            "def leave(*_):\n"
            "    psycopg.connect(os.environ['DATABASE_URL'])\n"
            "    print('tidied', flush=True)\n"
            "    sys.exit(5)\n"
            "signal.signal(signal.SIGTERM, leave)\n"
            "print('begun', flush=True)\n"
            "time.sleep(60)"
        )
        command = [
            *MANAGE,
            "services",
            "--data-dir",
            str(data_dir),
            "--",
            sys.executable,
            "-c",
            code,
        ]
        with launched(command) as launcher:
            launcher.wait_for("begun")

            status = launcher.stop(signal.SIGTERM)

        assert status == 5
        assert "tidied" in launcher.output

    def test_the_command_dies_with_a_killed_launcher(self, data_dir):
        command = [*MANAGE, "services", "--data-dir", str(data_dir), "--", "sleep", "1000"]
        with launched(command) as launcher:
            until(lambda: any("sleep 1000" in c for c in processes_of(data_dir).values()))
            launcher.process.kill()
            launcher.wait()

        until(lambda: processes_of(data_dir) == {})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
class TestAsRoot:
    def test_works_in_a_closed_folder_and_leaves_it_closed(self, data_dir):
        data_dir.parent.chmod(0o700)

        done = services("--data-dir", str(data_dir), "--", sys.executable, "-c", SHOW)

        assert done.returncode == 0, done.stderr
        assert stat.S_IMODE(data_dir.parent.stat().st_mode) == 0o700


def test_connections_are_refused_without_the_password(data_dir):
    with launched([*MANAGE, "services", "--data-dir", str(data_dir)]) as launcher:
        launcher.wait_for("Ctrl-C stops")
        port = stack_of(data_dir)["DATABASE_URL"].rpartition(":")[2]

        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://slipway:wrong@127.0.0.1:{port}")
