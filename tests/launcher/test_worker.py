"""`manage.py worker`: joining, what it says when that fails, and servers that listen for nodes."""

import http.server
import json
import socket
import stat
import threading
from pathlib import Path

import psycopg
import pytest
import redis

from launcher import joining, ports
from launcher.admission import admit
from launcher.errors import BadOption
from launcher.options import read
from models_app.pools.access import PROTOCOL

from .running import MANAGE, launched, stack_of

GRANTED = {
    "name": "mars",
    "secret": "slipnode_x",
    "database_url": "postgresql://u:p@127.0.0.1:{port}/x",
    "redis_url": "redis://:p@127.0.0.1:{port}",
    "replica_key": "k",
}


class Console(http.server.BaseHTTPRequestHandler):
    """Answers as the test says, and keeps what it was asked."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), body))
        status, headers, answer = self.server.answers[self.path.rpartition("/")[2]]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture
def console():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Console)
    server.asked, server.url = [], f"http://127.0.0.1:{server.server_port}"
    # The console itself stands for the two servers: they only have to be there.
    granted = {k: v.format(port=server.server_port) for k, v in GRANTED.items()}
    server.answers = {"join": (201, {}, granted), "access": (200, {}, granted)}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def worker(data_dir, **environment):
    return launched([*MANAGE, "worker", "--data-dir", str(data_dir)], **environment)


def joined(data_dir, console, **environment):
    return worker(
        data_dir, SLIPWAY_JOIN_URL=console.url, SLIPWAY_JOIN_TOKEN="slipjoin_t", **environment
    )


class TestJoining:
    def test_keeps_what_it_got_and_starts_its_worker(self, data_dir, console):
        with joined(data_dir, console, SLIPWAY_NODE="the red/planet") as launcher:
            launcher.wait_for("mars works for")
            children = json.loads((data_dir / "run" / "children.json").read_text())
            process = Path("/proc") / str(children["worker"][0])
            environment = (process / "environ").read_bytes()
            command = (process / "cmdline").read_bytes()

        path, _, body = console.asked[0]
        assert path == "/api/v1/nodes/join"
        assert (body["token"], body["name"]) == ("slipjoin_t", "the-red-planet")
        assert body["protocol"] == PROTOCOL
        assert body["migrations"]["pools"].startswith("00")
        file = data_dir / "node.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text())["console"] == console.url
        assert b"slipjoin_t" not in environment
        assert b"slip" not in command.replace(b"slipway", b"")
        assert b"SLIPWAY_STORE_URL=" + console.url.encode() in environment
        assert b"SLIPWAY_REPLICA_HOST=127.0.0.1" in environment
        assert "slipjoin_t" not in launcher.output and "slipnode_x" not in launcher.output

    def test_started_again_it_needs_neither_address_nor_token(self, data_dir, console):
        with joined(data_dir, console) as launcher:
            launcher.wait_for("works for")
        console.answers["access"][2]["replica_key"] = "another"
        with worker(data_dir) as launcher:
            launcher.wait_for("mars works for")

        assert json.loads((data_dir / "node.json").read_text())["replica_key"] == "another"
        path, headers, body = console.asked[-1]
        assert path == "/api/v1/nodes/access"
        assert headers["Authorization"].startswith("Basic ")
        assert "token" not in body

    def test_two_do_not_run_on_one_folder(self, data_dir, console):
        with joined(data_dir, console) as first:
            first.wait_for("works for")
            with worker(data_dir) as second:
                assert second.wait() == 3
        assert "already runs" in second.output

    def test_waits_for_a_console_that_is_away(self, data_dir, console):
        with joined(data_dir, console) as launcher:
            launcher.wait_for("works for")
        console.answers["access"] = (503, {}, {"detail": "later"})
        with worker(data_dir) as launcher:
            launcher.wait_for("waiting: ")
            console.answers["access"] = (200, {}, console.answers["join"][2])
            launcher.wait_for("mars works for")

    def test_joins_anew_after_it_was_removed_if_it_has_a_token(self, data_dir, console):
        with joined(data_dir, console) as launcher:
            launcher.wait_for("works for")
        granted = console.answers["access"]
        console.answers["access"] = (401, {}, {"detail": "The node mars was removed."})
        with worker(data_dir) as launcher:
            assert launcher.wait() == 1
        assert "was removed" in launcher.output
        with joined(data_dir, console) as launcher:
            launcher.wait_for("joining anew")
            console.answers["access"] = granted


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "headers", "body", "words"),
        [
            (401, {}, {"detail": "This join token was used already."}, "was used already"),
            (409, {}, {"detail": "Start with SLIPWAY_CLUSTER_HOST"}, "SLIPWAY_CLUSTER_HOST"),
            (404, {}, {}, "too old"),
            (400, {}, "", "SLIPWAY_ALLOWED_HOSTS"),
            (308, {"Location": "https://other.example/"}, {}, "https://other.example/"),
            (500, {}, {}, "answers 500"),
            (201, {}, {"name": "mars"}, "Update the older one"),
            (201, {}, [], "Update the older one"),
        ],
    )
    def test_says_what_is_wrong(self, data_dir, console, status, headers, body, words):
        console.answers["join"] = (status, headers, body)
        with joined(data_dir, console) as launcher:
            assert launcher.wait() == 1

        assert words in launcher.output
        assert "Traceback" not in launcher.output
        assert not (data_dir / "node.json").exists()

    def test_nobody_there(self, data_dir):
        url = f"http://127.0.0.1:{ports.choose()}"
        with worker(data_dir, SLIPWAY_JOIN_URL=url, SLIPWAY_JOIN_TOKEN="x") as launcher:
            assert launcher.wait() == 1
        assert f"No console answers at {url}" in launcher.output

    def test_servers_that_cannot_be_reached(self, data_dir, console):
        gone = ports.choose()
        console.answers["join"][2]["database_url"] = f"postgresql://u:p@127.0.0.1:{gone}/x"
        with joined(data_dir, console) as launcher:
            assert launcher.wait() == 1

        assert f"The database at 127.0.0.1:{gone} cannot be reached" in launcher.output
        assert (data_dir / "node.json").exists()  # the token is spent: the next start needs none

    @pytest.mark.parametrize("given", [{}, {"SLIPWAY_JOIN_URL": "http://127.0.0.1:9"}])
    def test_nothing_to_join_with(self, data_dir, given):
        with worker(data_dir, **given) as launcher:
            assert launcher.wait() == 2
        assert "has not joined yet" in launcher.output

    def test_another_console_than_before(self, data_dir, console):
        with joined(data_dir, console) as launcher:
            launcher.wait_for("works for")
        with worker(data_dir, SLIPWAY_JOIN_URL="http://other.example:8000") as launcher:
            assert launcher.wait() == 2
        assert "belongs to the node mars" in launcher.output

    def test_a_file_that_lacks_something(self, data_dir):
        data_dir.mkdir()
        (data_dir / "node.json").write_text('{"console": "http://x"}')
        with worker(data_dir) as launcher:
            assert launcher.wait() == 1
        assert "Remove it and join again" in launcher.output


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10.0.0.5:8000", "http://10.0.0.5:8000"), ("https://a.example/", "https://a.example"),
     ("http://[::1]:8000//", "http://[::1]:8000")],
)  # fmt: skip
def test_an_address_may_be_written_in_short(text, expected):
    assert joining.clean_url(text) == expected


@pytest.mark.parametrize("text", ["", "ftp://x", "http://", "://"])
def test_an_address_that_is_none_is_refused(text):
    with pytest.raises(Exception, match="no address"):
        joining.clean_url(text)


class TestServersForNodes:
    @pytest.fixture
    def address(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))
            except OSError:
                pytest.skip("this machine has no address but its loopback")
            return probe.getsockname()[0]

    def test_listen_there_and_ask_for_passwords(self, data_dir, address):
        services = [*MANAGE, "services", "--data-dir", str(data_dir)]
        with launched(services, SLIPWAY_CLUSTER_HOST=address) as launcher:
            launcher.wait_for("Ctrl-C stops")
            stack = stack_of(data_dir)
            database = stack["DATABASE_URL"].replace("127.0.0.1", address)
            broker = stack["REDIS_URL"].replace("127.0.0.1", address)
            with psycopg.connect(database) as link:
                assert link.execute("SELECT 1").fetchone() == (1,)
            assert redis.Redis.from_url(broker).ping()
            _, _, place = database.rpartition("@")
            for wrong in (f"postgresql://slipway:wrong@{place}", f"postgresql://slipway@{place}"):
                with pytest.raises(psycopg.OperationalError, match="password"):
                    psycopg.connect(wrong).close()
            superuser = f"postgresql://postgres:x@{place.partition('/')[0]}/postgres"
            with pytest.raises(psycopg.OperationalError, match=r"no pg_hba.conf entry"):
                psycopg.connect(superuser).close()
            with pytest.raises(redis.AuthenticationError):
                redis.Redis.from_url(f"redis://{broker.rpartition('@')[2]}").ping()
            port = int(place.partition(":")[2].partition("/")[0])
            launcher.stop()

        with launched(services) as launcher:  # and not any longer than it is asked for
            launcher.wait_for("Ctrl-C stops")
            assert f":{port}/" in stack_of(data_dir)["DATABASE_URL"]
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((address, port), timeout=5)
            cluster = next(data_dir.glob("pg*"))
            assert " samenet " not in (cluster / "pg_hba.conf").read_text()

    def test_only_on_addresses_of_this_machine(self, data_dir):
        services = [*MANAGE, "services", "--data-dir", str(data_dir)]
        with launched(services, SLIPWAY_CLUSTER_HOST="203.0.113.77") as launcher:
            assert launcher.wait() == 2
        assert "no address of this machine" in launcher.output

    @pytest.mark.parametrize(
        ("name", "value"),
        [("SLIPWAY_CLUSTER_HOST", "0.0.0.0"), ("SLIPWAY_CLUSTER_NETWORKS", "all"),
         ("SLIPWAY_CLUSTER_NETWORKS", "10.0.0.0/8 trust"), ("SLIPWAY_CLUSTER_NETWORKS", "10.1/8")],
    )  # fmt: skip
    def test_nonsense_is_refused_by_name(self, name, value):
        with pytest.raises(BadOption, match=name):
            read({name: value})

    def test_lines_of_an_operator_stay(self, tmp_path):
        file = tmp_path / "pg_hba.conf"
        file.write_text("local all all scram-sha-256\n# mine\n")
        before = file.read_text()
        admit(file, "slipway", "slipway", ("samenet",))
        admit(file, "slipway", "slipway", ("10.0.0.0/8", "fd00::/8"))
        text = file.read_text()
        admit(file, "slipway", "slipway", ())

        assert text.startswith(before)
        assert text.count("scram-sha-256") == 3
        assert "samenet" not in text and "host slipway slipway 10.0.0.0/8 scram-sha-256" in text
        assert file.read_text() == before
