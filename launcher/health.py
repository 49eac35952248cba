"""Asks a server of ours whether it is ready to serve; the health check of our containers."""

import http.client
import sys


def answers(host: str, port: int, name: str = "") -> bool:
    """Whether GET /healthz gives 200; `name` is the host name to ask for."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(reachable, port, timeout=2)
    try:
        connection.request("GET", "/healthz", headers={"Host": name} if name else {})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":  # the health check of a container: `python -m launcher.health PORT`
    sys.exit(0 if answers("127.0.0.1", int(sys.argv[1])) else 1)
