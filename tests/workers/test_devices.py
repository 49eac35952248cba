"""Each GPU belongs to at most one attempt at a time."""

import threading

import pytest

from tests.waiting import WAIT_S
from workers.devices import Devices

pytestmark = pytest.mark.nodb


def test_hands_out_different_devices_and_takes_them_back():
    devices = Devices(3)

    with devices.reserved(2) as first, devices.reserved(1) as second:
        assert (first, second) == ([0, 1], [2])
    with devices.reserved(3) as again:
        assert again == [0, 1, 2]


def test_waits_for_an_attempt_that_is_just_leaving():
    devices, got, leave = Devices(1), threading.Event(), threading.Event()

    def hold():
        with devices.reserved(1):
            got.set()
            leave.wait(WAIT_S)

    thread = threading.Thread(target=hold)
    thread.start()
    assert got.wait(WAIT_S)
    threading.Timer(0.05, leave.set).start()
    with devices.reserved(1) as mine:
        assert mine == [0]
    thread.join()


def test_asks_for_none_and_gets_none():
    with Devices(2).reserved(0) as mine:
        assert mine == []


def test_a_new_registration_keeps_what_is_taken():
    devices = Devices(2)
    with devices.reserved(1):
        assert Devices(2, keep=devices)._free() == [1]
