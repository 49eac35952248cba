"""A gateway that is told to stop: its port closes, what runs ends well, what lasts is told."""

import json
import socket
import threading

import pytest

from tests.fakes.gateway import CHAT, eventually, key_of, record_of
from tests.fakes.replica import WORDS
from tests.waiting import WAIT_S

STREAM = {**CHAT, "stream": True}


@pytest.fixture
def stopping(gateway):
    """Begins to stop the gateway; joined at the end."""
    thread = threading.Thread(target=gateway.stop)
    yield thread.start
    thread.join(WAIT_S)


def closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("body", [CHAT, STREAM])
def test_what_runs_is_finished_after_the_port_has_closed(gateway, chat, ana, stopping, body):
    chat.pause_s = 0.8 if body is CHAT else 0.2
    connection = gateway.open(key_of(ana), body, x_request_id="last")
    eventually(lambda: chat.calls)

    stopping()

    eventually(lambda: closed(gateway.port))
    response = connection.getresponse()
    said = response.read().decode()
    assert response.status == 200
    if body is STREAM:
        assert said.endswith("data: [DONE]\n\n")
        assert said.count('"content"') == len(WORDS)
    else:
        assert json.loads(said)["choices"][0]["message"]["content"] == "".join(WORDS)
    row = record_of("last")
    assert (row.status, row.outcome) == (200, "stop")


def test_what_lasts_too_long_is_told_to_come_again(gateway, chat, ana):
    chat.mode = "silent"
    connection = gateway.open(key_of(ana), CHAT, x_request_id="slow")
    eventually(lambda: chat.calls)

    gateway.stop()

    response = connection.getresponse()
    error = json.loads(response.read())["error"]
    assert (response.status, error["code"]) == (503, "gateway_stopped")
    assert response.headers["retry-after"] == "1"
    assert chat.hung_up.wait(WAIT_S)
    row = record_of("slow")
    assert (row.status, row.outcome) == (503, "gateway_stopped")
