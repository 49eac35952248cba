"""`manage.py up` with a tiny application: order, refusals, what other terminals see."""

import os
import signal
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from launcher import ports
from tests.waiting import WAIT_S

from .running import (
    FAKE,
    MANAGE,
    PROJECT,
    child_pids,
    clean_environment,
    launched,
    processes_of,
    stack_of,
    until,
)


def up(data_dir, port, *words):
    return [*FAKE, "--data-dir", str(data_dir), "--port", str(port), *words]


def status_of(port, path="/healthz"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return answer.status


class TestUp:
    def test_starts_everything_and_stops_it_in_order(self, data_dir, port):
        with launched(up(data_dir, port)) as launcher:
            launcher.wait_for(f"Slipway is ready: http://127.0.0.1:{port}")
            launcher.wait_for("beating").wait_for("working")
            status = status_of(port)
            stack = stack_of(data_dir)
            running = set(child_pids(data_dir))

            code = launcher.stop()

        assert (status, code) == (200, 0)
        assert stack["url"] == f"http://127.0.0.1:{port}"
        assert stack["pid"] == launcher.process.pid
        assert running == {"postgres", "redis", "web", "worker", "beat"}
        assert processes_of(data_dir) == {}
        assert not (data_dir / "run" / "stack.json").exists()
        front = max(launcher.lines.index(f"{name:<9}| leaving") for name in ("web", "beat"))
        assert front < launcher.lines.index(f"{'worker':<9}| leaving")
        assert "migrated" in launcher.lines[launcher.lines.index("migrate  | migrated")]

    def test_the_broker_ends_before_the_database(self, data_dir, port):
        with launched(up(data_dir, port)) as launcher:
            launcher.wait_for("ready: http").wait_for("working")
            launcher.stop()

        ends = {
            name: (data_dir / "log" / f"{name}.log").stat().st_mtime_ns
            for name in ("worker", "redis", "postgres")
        }
        assert ends["worker"] < ends["redis"] < ends["postgres"]

    def test_writes_one_log_per_process_without_the_first_password(self, data_dir, port):
        with launched(up(data_dir, port)) as launcher:
            launcher.wait_for("ready: http").wait_for("working")
            launcher.stop()

        assert "password: made-up-once" in launcher.output
        logs = {path.stem: path.read_text() for path in (data_dir / "log").glob("*.log")}
        assert {"postgres", "redis", "web", "worker", "stack"} <= logs.keys()
        assert "made-up-once" not in "".join(logs.values())
        assert stat.S_IMODE((data_dir / "log").stat().st_mode) == 0o700

    def test_the_admin_password_reaches_admin_ensure_alone(self, data_dir, port, tmp_path):
        secret = tmp_path / "password"
        secret.write_text("from-a-file\n")
        with launched(up(data_dir, port), SLIPWAY_ADMIN_PASSWORD_FILE=str(secret)) as launcher:
            launcher.wait_for("ready: http")
            others = [Path(f"/proc/{pid}/environ") for pid in child_pids(data_dir).values()]
            told = [path for path in others if b"from-a-file" in path.read_bytes()]

        assert "password: from-a-file" in launcher.output
        assert told == []

    def test_the_gateway_can_run_apart(self, data_dir, port):
        gateway = ports.choose(avoid=frozenset({port}))
        command = up(data_dir, port, "--split-gateway")
        with launched(command, SLIPWAY_GATEWAY_PORT=str(gateway)) as launcher:
            launcher.wait_for("ready: http")

            assert status_of(gateway) == status_of(port) == 200

    def test_gateways_share_a_port_that_never_refuses(self, data_dir, port):
        gateway = ports.choose(avoid=frozenset({port}))
        more = {"SLIPWAY_GATEWAY_PORT": str(gateway), "SLIPWAY_GATEWAYS": "2"}
        with launched(up(data_dir, port), **more) as launcher:
            launcher.wait_for("ready: http")
            pids = child_pids(data_dir)
            for name in ("gateway", "gateway-2"):
                os.kill(pids[name], signal.SIGKILL)
            # Taken by whichever comes back first; nobody listens at this moment but the launcher.
            assert status_of(gateway) == 200
            launcher.wait_for("gateway-2 ended (SIGKILL)")
            launcher.stop()

        assert {"gateway", "gateway-2"} <= pids.keys()
        assert ports.is_free("127.0.0.1", gateway)

    def test_two_stacks_run_beside_each_other(self, data_dir, port):
        other_dir, other_port = data_dir.parent / "other", ports.choose(avoid=frozenset({port}))
        with (
            launched(up(data_dir, port)) as one,
            launched(up(other_dir, other_port)) as other,
        ):
            one.wait_for("ready: http")
            other.wait_for("ready: http")

            assert status_of(port) == status_of(other_port) == 200
            assert stack_of(data_dir)["DATABASE_URL"] != stack_of(other_dir)["DATABASE_URL"]

    def test_uses_servers_that_were_named(self, data_dir, port):
        with launched([*MANAGE, "services", "--data-dir", str(data_dir)]) as servers:
            servers.wait_for("Ctrl-C stops")
            stack = stack_of(data_dir)
            given = {name: stack[name] for name in ("DATABASE_URL", "REDIS_URL")}
            second = data_dir.parent / "second"
            with launched(up(second, port), **given) as launcher:
                launcher.wait_for("ready: http").wait_for("working")

                assert set(child_pids(second)) == {"web", "worker", "beat"}


class TestRefusals:
    def test_a_second_start_on_the_same_folder(self, data_dir, port):
        with launched(up(data_dir, port)) as first:
            first.wait_for("ready: http")
            with launched(up(data_dir, port)) as second:
                status = second.wait()

            assert status == 3
            assert f"pid {first.process.pid}" in second.output
            assert status_of(port) == 200

    def test_a_port_that_is_taken_before_anything_starts(self, data_dir):
        import socket

        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with launched(up(data_dir, port)) as launcher:
                status = launcher.wait()

        assert status == 4
        assert f"Port {port}" in launcher.output
        assert "SLIPWAY_PORT" in launcher.output
        assert not list(data_dir.glob("pg*"))

    @pytest.mark.parametrize(
        ("name", "value"),
        [("SLIPWAY_PORT", "eighty"), ("SLIPWAY_WORKER_SLOTS", "0"), ("SLIPWAY_SPLIT_GATEWAY", "2")],
    )
    def test_nonsense_in_a_variable(self, data_dir, name, value):
        with launched([*FAKE, "--data-dir", str(data_dir)], **{name: value}) as launcher:
            status = launcher.wait()

        assert status == 2
        assert name in launcher.output

    def test_a_console_that_cannot_start_ends_the_stack(self, data_dir, port):
        with launched(
            up(data_dir, port), FAKE_WEB_FAILS="1", FAKE_FIRST_DELAY_S="0.01"
        ) as launcher:
            status = launcher.wait()

        assert status == 1
        assert "web ended 8 times in a row (status 1); giving up" in launcher.output
        assert processes_of(data_dir) == {}


class TestStopping:
    def test_a_second_signal_makes_it_faster(self, data_dir, port):
        with launched(up(data_dir, port), FAKE_WORKER_STOP_S="50") as launcher:
            launcher.wait_for("working").wait_for("ready: http")
            launcher.process.send_signal(signal.SIGINT)
            launcher.wait_for("web      | leaving")

            status = launcher.stop(signal.SIGTERM)

        assert status == 0
        assert "worker does not end by itself; SIGQUIT" in launcher.output

    def test_one_wish_delivered_twice_is_not_impatience(self, data_dir, port):
        with launched(up(data_dir, port), FAKE_WORKER_STOP_S="2") as launcher:
            launcher.wait_for("working").wait_for("ready: http")
            launcher.process.send_signal(signal.SIGINT)

            status = launcher.stop(signal.SIGINT)

        assert status == 0
        assert "does not end by itself" not in launcher.output

    def test_during_the_start_leaves_nothing(self, data_dir, port):
        with launched(up(data_dir, port)) as launcher:
            until(lambda: processes_of(data_dir))
            until(lambda: "postgres" in child_pids(data_dir))
            status = launcher.stop(signal.SIGTERM)

        assert status == 0
        assert processes_of(data_dir) == {}


class TestDemo:
    @pytest.mark.parametrize("status", [0, 6])
    def test_with_exit_stops_everything_and_returns_its_status(self, data_dir, port, status):
        command = up(data_dir, port, "--demo", "--exit")
        with launched(command, FAKE_DEMO_STATUS=str(status)) as launcher:
            ended = launcher.wait()

        assert ended == status
        assert "demo sees 200" in launcher.output
        assert processes_of(data_dir) == {}

    def test_stays_open_after_it(self, data_dir, port):
        with launched(up(data_dir, port, "--demo")) as launcher:
            launcher.wait_for("demo sees 200").wait_for("Slipway is ready")

            assert status_of(port) == 200
            assert launcher.stop() == 0


class TestOtherTerminals:
    def manage(self, *words, **environment):
        return subprocess.run(
            [*MANAGE, *words],
            env=clean_environment(**environment),
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )

    def test_find_the_stack_by_its_folder(self, data_dir):
        code = (
            "import os\n"
            "from launcher.environment import apply_stack_environment\n"
            "apply_stack_environment(['token_create'])\n"
            "print(os.environ['DATABASE_URL'])"
        )
        with launched([*MANAGE, "services", "--data-dir", str(data_dir)]) as launcher:
            launcher.wait_for("Ctrl-C stops")
            found = subprocess.run(
                [sys.executable, "-c", code],
                cwd=PROJECT,
                env=clean_environment(SLIPWAY_DATA_DIR=str(data_dir)),
                capture_output=True,
                text=True,
                check=False,
            )
            running = stack_of(data_dir)["DATABASE_URL"]

        assert found.stdout.strip() == running, found.stderr

    def test_are_told_how_to_start_one(self, data_dir):
        done = self.manage("migrate", SLIPWAY_DATA_DIR=str(data_dir))

        assert done.returncode == 1
        assert "make up" in done.stderr
        assert str(data_dir) in done.stderr

    def test_commands_that_need_no_servers_work_without(self, data_dir):
        done = self.manage("version", SLIPWAY_DATA_DIR=str(data_dir))

        assert done.returncode == 0, done.stderr


def test_the_launcher_imports_neither_django_nor_the_application():
    code = (
        "import sys; from launcher import up, services\n"
        "foreign = ('django', 'celery', 'console', 'workers', 'models_app')\n"
        "print([name for name in foreign if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True,
        env=dict(os.environ),
    )  # fmt: skip

    assert done.stdout.strip() == "[]"
