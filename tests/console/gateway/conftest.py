"""The running gateway for every test of this folder."""

from tests.fakes.gateway import chat, fakes, gateway

__all__ = ["chat", "fakes", "gateway"]
