"""Callers that send what nobody should, read nothing, or vanish: an answer in OpenAI's shape where
one is possible, and never a place at a replica that stays taken.
"""

import contextlib
import http.client
import json
import socket
import threading

import pytest

from console import http_guard
from console.gateway import http as gateway_http
from console.gateway import interrupt
from tests.fakes.gateway import CHAT, CHAT_PATH, eventually, key_of, record_of
from tests.waiting import WAIT_S


def error_of(response) -> dict:
    body = json.loads(response.read())
    assert set(body["error"]) >= {"message", "type", "param", "code"}
    return body["error"]


def idle(gateway) -> bool:
    return not any(replica.outstanding for replica in gateway.gateway.tables.routes.replicas())


def raw(
    gateway,
    key: str,
    body: bytes,
    *headers: str,
    length: int | None = None,
    path: str = CHAT_PATH,
    buffer: int = 0,
) -> socket.socket:
    """A connection on which this was sent as it is; it may hold so many bytes that nobody reads."""
    found = socket.socket()
    if buffer:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    found.settimeout(WAIT_S)
    found.connect(("127.0.0.1", gateway.port))
    lines = [
        f"POST {path} HTTP/1.1",
        "host: x",
        f"authorization: Bearer {key}",
        f"content-length: {len(body) if length is None else length}",
        *headers,
    ]
    found.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    return found


class TestLargeRequests:
    def test_ten_megabytes_are_413_whether_they_are_announced_or_not(self, gateway, chat, ana):
        key = key_of(ana)
        body = b'{"model": "research/chat", "x": "' + b"a" * (10 << 20) + b'"}'
        with raw(gateway, key, b"", length=len(body)) as announced:
            response = http.client.HTTPResponse(announced)
            response.begin()
            assert (response.status, error_of(response)["code"]) == (413, "request_too_large")

        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
        connection.putrequest("POST", CHAT_PATH)
        connection.putheader("authorization", f"Bearer {key}")
        connection.putheader("transfer-encoding", "chunked")
        connection.endheaders()
        with contextlib.suppress(OSError):  # the answer may come before the last byte
            for start in range(0, len(body), 1 << 16):
                part = body[start : start + (1 << 16)]
                connection.send(b"%x\r\n%s\r\n" % (len(part), part))
            connection.send(b"0\r\n\r\n")
        assert connection.getresponse().status == 413
        connection.close()
        assert chat.calls == []

    @pytest.mark.parametrize("flood", [["x: y"] * 300, [f"x: {'v' * 9000}"] * 9])
    def test_floods_of_headers_are_named(self, gateway, chat, ana, flood):
        key = key_of(ana)
        with raw(gateway, key, json.dumps(CHAT).encode(), *flood) as connection:
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert (response.status, error_of(response)["code"]) == (431, "headers_too_large")
        assert chat.calls == []
        assert gateway.call(key, CHAT).status == 200

    def test_a_head_without_end_is_not_kept_in_memory(self, gateway, chat, ana):
        with socket.create_connection(("127.0.0.1", gateway.port), WAIT_S) as connection:
            connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n")
            sent = 0
            with pytest.raises(OSError):
                while sent < 64 << 20:
                    sent += connection.send(b"x-flood: " + b"v" * 9000 + b"\r\n")
        assert sent < 8 << 20  # what the kernel holds of it, and not much more
        assert gateway.call(key_of(ana), CHAT).status == 200

    def test_a_head_that_does_not_come_is_not_waited_for(self, gateway, chat, ana, monkeypatch):
        monkeypatch.setattr(http_guard, "HEAD_SECONDS", 0.2)
        with socket.create_connection(("127.0.0.1", gateway.port), WAIT_S) as connection:
            connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert (response.status, error_of(response)["code"]) == (408, "head_timeout")
        with socket.create_connection(("127.0.0.1", gateway.port), WAIT_S) as unused:
            assert unused.recv(1) == b""

    def test_what_is_no_http_is_told_so(self, gateway, chat):
        with socket.create_connection(("127.0.0.1", gateway.port), WAIT_S) as connection:
            connection.sendall(b"\x16\x03\x01\x00 hello\r\n\r\n")
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert (response.status, error_of(response)["code"]) == (400, "invalid_http")

    def test_connections_that_are_used_again_are_left_alone(self, gateway, chat, ana, monkeypatch):
        """The time for a head begins with its first byte, not with the answer before it."""
        key = key_of(ana)
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
        monkeypatch.setattr(http_guard, "HEAD_SECONDS", 0.1)
        for pause in (0, 0.3):
            threading.Event().wait(pause)
            headers = {"authorization": f"Bearer {key}"}
            connection.request("POST", CHAT_PATH, json.dumps(CHAT), headers)
            response = connection.getresponse()
            assert response.status == 200 and response.read()
        connection.close()


class TestTextThatIsNone:
    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            (b'{"model": "\\ud800"}', 404, "model_not_found"),
            (b'{"model": "research/chat", "model": "research/chat"}', 400, "invalid_json"),
            (b'\xff\xfe{"model": "research/chat"}', 400, "invalid_json"),
            (b'{"model": "research/chat", "n": NaN}', 400, "invalid_json"),
            (b'{"model": ' + b"[" * 70 + b"]" * 70 + b"}", 400, "invalid_json"),
            (b'{"model": "research/chat", "slipway_resume": null}', 400, "unknown_parameter"),
        ],
    )
    def test_is_named_in_the_shape_that_clients_read(self, gateway, chat, ana, body, status, code):
        reply = gateway.call(key_of(ana), body)
        assert (reply.status, reply.code) == (status, code)
        assert set(reply.json["error"]) >= {"message", "type", "param", "code"}
        assert chat.calls == []


class TestClientsThatLeave:
    def test_in_the_middle_of_the_request(self, gateway, chat, ana):
        key = key_of(ana)
        body = json.dumps(CHAT).encode()
        for cut in (0, 1, len(body) // 2):
            raw(gateway, key, body[:cut], length=len(body)).close()
        assert gateway.call(key, CHAT).status == 200
        assert len(chat.calls) == 1

    def test_before_the_first_byte_of_the_answer(self, gateway, chat, ana):
        chat.mode = "silent"
        connection = raw(gateway, key_of(ana), json.dumps(CHAT).encode(), "x-request-id: left")
        eventually(lambda: chat.calls)
        connection.close()
        assert chat.hung_up.wait(WAIT_S)
        assert record_of("left").outcome == "client_closed"
        eventually(lambda: idle(gateway))

    def test_by_reading_nothing_of_a_stream(self, gateway, chat, ana, monkeypatch):
        monkeypatch.setattr(gateway_http, "READ_SECONDS", 0.3)
        monkeypatch.setattr(interrupt, "LOOK_S", 0.1)
        chat.mode = "endless"
        body = json.dumps({**CHAT, "stream": True}).encode()
        connection = raw(gateway, key_of(ana), body, "x-request-id: deaf")
        with connection:
            assert chat.hung_up.wait(WAIT_S)
            record = record_of("deaf")
            assert (record.status, record.outcome) == (499, "client_slow")
            eventually(lambda: idle(gateway))


def test_embeddings_go_the_same_way(gateway, chat, ana):
    body = {"model": "research/chat", "input": "fox"}
    reply = gateway.call(key_of(ana), body, path="/v1/embeddings")
    assert reply.status == 200
    assert chat.calls == [body]
    assert record_of(reply.request_id).endpoint == "embeddings"
