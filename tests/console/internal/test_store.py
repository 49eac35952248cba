"""Files between a console and a node without its disk: whole, once, and for nodes alone."""

import base64
import hashlib
import http.client
import io
import os
import socket
import threading

import pytest

from models_app.core import blob_cache, blobs, store
from models_app.core.storage import fetching
from models_app.core.storage.errors import BlobMissing, StoreUnavailable
from models_app.pools.models import Node
from tests.s3.faults import FaultyProxy

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
BIG = os.urandom(3_500_001)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def lay_at(console, data: bytes) -> str:
    """The console has this file."""
    path = console.blob(sha(data))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return sha(data)


def ask(console, settings, method, path, body=None, **headers):
    known = f"{settings.NODE_NAME}:{settings.NODE_SECRET}".encode()
    headers = {"Authorization": f"Basic {base64.b64encode(known).decode()}", **headers}
    connection = http.client.HTTPConnection("127.0.0.1", console.port, timeout=20)
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read()


class Relay:
    """Between a node and the console: breaks the connection after `limit` bytes of each answer."""

    def __init__(self, port: int, limit: int) -> None:
        self.port, self.limit, self.connections = port, limit, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with client, socket.create_connection(("127.0.0.1", self.port)) as server:
                server.sendall(client.recv(65536))
                left = self.limit
                while left and (data := server.recv(min(left, 65536))):
                    client.sendall(data)
                    left -= len(data)


class TestNode:
    def test_stores_a_tree_on_the_console_and_gets_it_back(self, console, tmp_path, settings):
        source = tmp_path / "source"
        (source / "deep").mkdir(parents=True)
        (source / "a.bin").write_bytes(BIG)
        (source / "deep" / "empty").write_bytes(b"")
        manifest = blobs.tree_put(source)
        assert console.blob(sha(BIG)).read_bytes() == BIG

        settings.DATA_DIR = tmp_path / "another node"
        laid = blobs.tree_materialise(manifest, tmp_path / "laid")

        assert (laid / "a.bin").read_bytes() == BIG
        assert (laid / "deep" / "empty").read_bytes() == b""
        assert blobs.blob_path(sha(BIG)).exists()
        assert not list(blobs.blob_root().glob(".get-*"))

    def test_asks_once_for_what_many_want(self, console, settings, tmp_path):
        digest = lay_at(console, os.urandom(2_000_000))
        relay = Relay(console.port, 1 << 30)
        settings.STORE_URL = relay.url
        threads = [
            threading.Thread(target=lambda: blobs.blob_open(digest).close()) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert relay.connections == 1

    def test_goes_on_where_a_transfer_broke_off(self, console, settings):
        digest = lay_at(console, BIG)
        relay = Relay(console.port, 1_000_000)
        settings.STORE_URL = relay.url

        with blobs.blob_open(digest) as file:
            assert file.read() == BIG
        assert relay.connections == 4

    def test_does_not_take_damaged_files(self, console):
        digest = lay_at(console, b"what was meant")
        console.blob(digest).write_bytes(b"what became of it")

        with pytest.raises(BlobMissing, match="damaged"):
            blobs.blob_open(digest)
        assert not blobs.blob_path(digest).exists()

    def test_replaces_a_damaged_copy_of_its_own(self, console, tmp_path):
        digest = lay_at(console, b"whole")
        blobs.blob_open(digest).close()
        blobs.blob_path(digest).chmod(0o644)
        blobs.blob_path(digest).write_bytes(b"torn off")

        laid = blobs.tree_materialise({"a": {"sha256": digest, "size": 5}}, tmp_path / "laid")

        assert (laid / "a").read_bytes() == b"whole"

    def test_says_what_the_console_has_not_got(self, console):
        with pytest.raises(BlobMissing):
            blobs.blob_open("0" * 64)

    def test_does_not_send_what_is_there(self, console, settings):
        digest, _ = blobs.blob_put(io.BytesIO(b"same"))
        old = console.blob(digest)
        os.utime(old, (1, 1))
        relay = Relay(console.port, 1 << 20)
        settings.STORE_URL = relay.url

        blobs.blob_put(io.BytesIO(b"same"))

        assert relay.connections == 1  # HEAD alone
        assert old.stat().st_atime > 1e9  # and it counts as new again

    def test_waits_for_a_console_that_is_away(self, console, settings, monkeypatch):
        monkeypatch.setattr(fetching, "PAUSE_S", 0.01)
        settings.STORE_URL = "http://127.0.0.1:9"

        with pytest.raises(StoreUnavailable):
            blobs.blob_open("0" * 64)
        with pytest.raises(StoreUnavailable):
            blobs.blob_put(io.BytesIO(b"x"))

    def test_sends_a_large_file_in_pieces_and_goes_on(self, console, settings, monkeypatch):
        """What broke off costs the piece that was on its way."""
        monkeypatch.setattr(fetching, "PAUSE_S", 0.01)
        monkeypatch.setattr(store, "PIECE", 1_000_000)
        big = os.urandom(3_500_000)
        proxy = FaultyProxy(console.port)
        proxy.add("PATCH", sha(big), "none")
        proxy.add("PATCH", sha(big), "hang up")
        proxy.add("PATCH", sha(big), "lost")
        settings.STORE_URL = proxy.url
        blobs.blob_put(io.BytesIO(big))
        proxy.close()

        assert console.blob(sha(big)).read_bytes() == big
        assert proxy.count("PATCH", sha(big)) == 5  # four pieces, one of them twice
        assert not list((console.data_dir / "uploads").glob("*"))

    def test_that_was_removed_gets_nothing(self, console):
        digest = lay_at(console, b"anything")
        Node.objects.update(state="removed")

        with pytest.raises(StoreUnavailable, match="401"):
            blobs.blob_open(digest)


class TestCache:
    def test_makes_room_by_what_was_unused_longest(self, console, settings, tmp_path):
        digests = [lay_at(console, os.urandom(400_000)) for _ in range(4)]
        for digest in digests:
            blobs.blob_open(digest).close()
        for age, digest in enumerate(digests):
            os.utime(blobs.blob_path(digest), (1000 - age, 1))
        linked = tmp_path / "linked"
        os.link(blobs.blob_path(digests[3]), linked)

        removed = blob_cache.bound(blobs.blob_root(), 900_000)

        assert removed == 2
        left = [blobs.blob_path(digest).exists() for digest in digests]
        assert left == [True, False, False, True]  # the last is in use

    def test_stays_below_its_limit_by_itself(self, console, settings):
        settings.CACHE_MIB = 1
        for _ in range(6):
            blobs.blob_open(lay_at(console, os.urandom(400_000))).close()

        assert sum(path.stat().st_size for path in blobs.blob_root().glob("??/??/*")) <= 1 << 20

    def test_may_be_smaller_than_what_a_job_needs(self, console, settings, tmp_path):
        settings.CACHE_MIB = 1
        parts = [os.urandom(700_000) for _ in range(3)]
        manifest = {
            f"{n}": {"sha256": lay_at(console, part), "size": len(part)}
            for n, part in enumerate(parts)
        }
        laid = blobs.tree_materialise(manifest, tmp_path / "laid")

        assert [(laid / f"{n}").read_bytes() for n in range(3)] == parts


class TestConsole:
    @pytest.mark.parametrize(
        "path",
        ["blobs", "blobs/", "blobs/abc", "blobs/" + "A" * 64, "blobs/" + "0" * 63 + "/",
         "blobs/..%2f" + "0" * 59, "blobs/" + "0" * 64 + "/..", "", "checkpoints/0",
         "checkpoints/x", "checkpoints/1/../2"],
    )  # fmt: skip
    def test_knows_files_by_digest_and_nothing_else(self, console, settings, path):
        for method in ("GET", "PUT", "DELETE", "POST"):
            answer, _ = ask(console, settings, method, f"/internal/{path}", body=b"x")
            assert answer.status == 404, (method, path)

    def test_is_closed_to_everybody_else(self, console, settings, root):
        from tests.factories.access import ApiTokenFactory

        digest = lay_at(console, b"weights")
        token = ApiTokenFactory(user=root, scopes=["admin", "read"])
        for header in ("", "Basic", f"Bearer {token.secret}", "Basic bWFyczo="):
            for method in ("GET", "HEAD", "PUT"):
                answer, body = ask(
                    console, settings, method, f"/internal/blobs/{digest}", Authorization=header
                )
                assert answer.status == 401, (method, header)
                assert b"weights" not in body

    def test_takes_only_bytes_of_that_digest(self, console, settings):
        wrong = sha(b"something else")
        answer, _ = ask(console, settings, "PUT", f"/internal/blobs/{wrong}", body=b"not it")

        assert answer.status == 422
        assert not console.blob(wrong).exists()
        assert not list((console.data_dir / "blobs").glob(".put-*"))

    def test_drops_pieces_that_make_another_file(self, console, settings):
        wrong = sha(b"something quite else")
        told = {"Upload-Length": "6", "Upload-Offset": "0"}
        answer, _ = ask(console, settings, "PATCH", f"/internal/blobs/{wrong}", b"not", **told)
        assert (answer.status, answer.headers["Upload-Offset"]) == (204, "3")

        answer, _ = ask(console, settings, "PATCH", f"/internal/blobs/{wrong}", b"it", **told)
        assert (answer.status, answer.headers["Upload-Offset"]) == (409, "3")
        told["Upload-Offset"] = "3"
        answer, _ = ask(console, settings, "PATCH", f"/internal/blobs/{wrong}", b"too much", **told)
        assert answer.status == 409
        answer, _ = ask(console, settings, "PATCH", f"/internal/blobs/{wrong}", b" it", **told)

        assert answer.status == 422
        assert not console.blob(wrong).exists()
        assert not list((console.data_dir / "uploads").glob("*"))

    def test_wants_to_know_where_a_piece_belongs(self, console, settings):
        answer, _ = ask(console, settings, "PATCH", f"/internal/blobs/{sha(b'x')}", body=b"x")

        assert answer.status == 400

    def test_wants_to_know_the_length(self, console, settings):
        body = iter([b"a", b"b"])
        answer, _ = ask(
            console, settings, "PUT", f"/internal/blobs/{sha(b'ab')}", body=body,
            **{"Transfer-Encoding": "chunked"},
        )  # fmt: skip
        assert answer.status == 411

    def test_refuses_what_does_not_fit_on_its_disk(self, console, settings):
        connection = http.client.HTTPConnection("127.0.0.1", console.port, timeout=20)
        known = base64.b64encode(f"{settings.NODE_NAME}:{settings.NODE_SECRET}".encode()).decode()
        connection.putrequest("PUT", f"/internal/blobs/{'1' * 64}")
        connection.putheader("Authorization", f"Basic {known}")
        connection.putheader("Content-Length", str(1 << 60))
        connection.endheaders()

        assert connection.getresponse().status == 507

    def test_leaves_nothing_of_an_upload_that_broke_off(self, console, settings):
        from tests.workers.conftest import wait_for

        known = base64.b64encode(f"{settings.NODE_NAME}:{settings.NODE_SECRET}".encode())
        with socket.create_connection(("127.0.0.1", console.port)) as link:
            head = (
                f"PUT /internal/blobs/{sha(BIG)[::-1]} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Authorization: Basic {known.decode()}\r\nContent-Length: {len(BIG)}\r\n\r\n"
            )
            link.sendall(head.encode() + BIG[: 1 << 21])
            folder = console.data_dir / "blobs"
            wait_for(lambda: list(folder.glob(".put-*")), "the upload begins")
        wait_for(lambda: not list(folder.glob(".put-*")), "it is cleared away")

    @pytest.mark.parametrize(
        ("header", "status", "expected"),
        [("bytes=5-", 206, b"56789"), ("bytes=0-", 206, b"0123456789"), ("bytes=10-", 416, None),
         ("bytes=-4", 206, b"6789"), ("bytes=2-4", 206, b"234"), ("bytes=5-2", 200, b"0123456789"),
         ("bytes=a-", 200, b"0123456789")],
    )  # fmt: skip
    def test_sends_the_rest_that_is_asked_for(self, console, settings, header, status, expected):
        digest = lay_at(console, b"0123456789")
        answer, body = ask(console, settings, "GET", f"/internal/blobs/{digest}", Range=header)

        assert answer.status == status
        assert expected is None or body == expected
