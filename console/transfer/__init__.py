"""Requests and files on bare ASGI, in front of Django: any size through little memory."""
