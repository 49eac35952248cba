"""A tiny application for the launcher: the same shape as ours, starting in milliseconds.

Run as `python -m tests.launcher.fake_application [switches of manage.py up]`.
"""

import os
import sys

from launcher import supervisor, up
from launcher.child import ChildSpec, Stage
from launcher.commands import Application

WEB = """
import http.server, os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: (print("leaving", flush=True), os._exit(0)))
if os.environ.get("FAKE_WEB_FAILS"):
    sys.exit("cannot start")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()
    def log_message(self, *_): pass
host = os.environ["SLIPWAY_HOST"]
if sys.argv[1] == "--fd":
    server = http.server.ThreadingHTTPServer((host, 0), Handler, bind_and_activate=False)
    server.socket = socket.socket(fileno=int(sys.argv[2]))
else:
    server = http.server.ThreadingHTTPServer((host, int(sys.argv[1])), Handler)
server.serve_forever()
"""
# Starts a "training process" as the real worker does: own session, told when its parent dies.
WORKER = """
import ctypes, os, signal, subprocess, sys, time
def leave(*_):
    time.sleep(float(os.environ.get("FAKE_WORKER_STOP_S", "0")))
    print("leaving", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
signal.signal(signal.SIGQUIT, lambda *_: (print("quitting", flush=True), os._exit(0)))
if os.environ.get("FAKE_TRAINER"):
    subprocess.Popen([sys.executable, "-c", os.environ["FAKE_TRAINER"]], start_new_session=True,
                     preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGTERM))
print("working", flush=True)
while True: time.sleep(60)
"""
BEAT = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: (print("leaving", flush=True), os._exit(0)))
print("beating", flush=True)
while True: time.sleep(60)
"""
MIGRATE = (
    "import os; assert os.environ['DATABASE_URL'] and os.environ['REDIS_URL']; print('migrated')"
)
ADMIN = """
import os
print("password:", os.environ.get("SLIPWAY_ADMIN_PASSWORD", "made-up-once"))
"""
DEMO = """
import os, sys, urllib.request
print("demo sees", urllib.request.urlopen(sys.argv[1] + "/healthz").status)
sys.exit(int(os.environ.get("FAKE_DEMO_STATUS", "0")))
"""


def build(options, environment):
    def spec(name, code, *arguments, **more):
        command = [sys.executable, "-c", code, *arguments]
        return ChildSpec(name=name, command=command, environment=environment, **more)

    names = ["gateway", *(f"gateway-{n}" for n in range(2, options.gateways + 1))]
    return Application(
        migrate=spec("migrate", MIGRATE),
        admin=ChildSpec(
            name="admin",
            command=[sys.executable, "-c", ADMIN],
            environment={**environment, **options.admin},
            keep_log=False,
        ),
        web=spec("web", WEB, str(options.port)),
        gateways=tuple(spec(n, WEB, "--fd") for n in names) if options.gateway_port else (),
        background=(
            spec(
                "worker",
                WORKER,
                stage=Stage.WORKER,
                orphan_signal=supervisor.signal.SIGQUIT,
                force_signal=supervisor.signal.SIGQUIT,
                grace_s=30,
            ),
            spec("beat", BEAT),
        ),
        demo=spec("demo", DEMO, options.url),
    )


if __name__ == "__main__":
    supervisor._FIRST_DELAY_S = float(os.environ.get("FAKE_FIRST_DELAY_S", "0.2"))
    sys.exit(up.run(sys.argv[1:], build=build))
