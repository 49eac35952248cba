"""Listens: browser pages, live sockets, the inference gateway, access. Never imports workers."""
