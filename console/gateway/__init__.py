"""The inference gateway: OpenAI's `/v1` for every deployment, as a thin ASGI app beside Django."""
