"""All of Swift in one process: `python all_in_one.py FOLDER`; says its port once it answers.

Run with PYTHONPATH on the folder in which Swift is installed.
"""

import contextlib
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import eventlet  # noqa: E402

eventlet.monkey_patch()

import os  # noqa: E402

# What is tested here is not this server: it may lose everything when the machine loses power.
os.fsync = os.fdatasync = lambda _fd: None

import eventlet.wsgi  # noqa: E402
from swift.common import utils  # noqa: E402
from swift.common.http_protocol import SwiftHttpProtocol  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.wsgi import loadapp  # noqa: E402

KEY_ID, SECRET = "test:tester", "testing"
PROXY = """
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
min_segment_size = 1
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


def main(folder: Path) -> None:
    for name in ("node/sda", "recon"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    utils.HASH_PATH_SUFFIX = utils.HASH_PATH_PREFIX = b"tests"
    servers = {n: eventlet.listen(("127.0.0.1", 0)) for n in ("account", "container", "object")}
    for name, listener in servers.items():
        _ring(folder / f"{name}.ring.gz", listener.getsockname()[1])
    for name, listener in servers.items():
        extra = f"[app:{name}-server]\nuse = egg:swift#{name}\nreplication_server = true\n"
        eventlet.spawn(_serve, listener, _application(folder, name, f"{name}-server", extra))
    pipeline = "catch_errors listing_formats s3api tempauth bulk slo dlo proxy-server"
    application = _application(folder, "proxy", pipeline, PROXY)
    listener = eventlet.listen(("127.0.0.1", 0))
    print(f"ready {listener.getsockname()[1]}", flush=True)
    eventlet.spawn(_end_with_parent)
    _serve(listener, application)


def _ring(path: Path, port: int) -> None:
    """One device holds everything."""
    builder = RingBuilder(4, 1, 0)
    builder.add_dev({
        "id": 0, "zone": 0, "region": 1, "weight": 1, "ip": "127.0.0.1", "port": port,
        "device": "sda",
    })  # fmt: skip
    builder.rebalance(seed=1)
    builder.get_ring().save(str(path))


def _application(folder: Path, name: str, pipeline: str, extra: str) -> object:
    path = folder / f"{name}.conf"
    path.write_text(
        f"[DEFAULT]\nswift_dir = {folder}\ndevices = {folder}/node\nmount_check = false\n"
        f"recon_cache_path = {folder}/recon\nlog_level = ERROR\nfallocate_reserve = 0\n"
        f"disable_fallocate = true\n[pipeline:main]\npipeline = {pipeline}\n{extra}"
    )
    return loadapp(str(path), global_conf={"log_name": name})


class _Silence:
    def write(self, *_: object) -> None: ...

    def info(self, *_: object) -> None: ...

    debug = info


def _serve(listener: object, application: object) -> None:
    eventlet.wsgi.server(
        listener, application, log=_Silence(), protocol=SwiftHttpProtocol, debug=False,
        custom_pool=eventlet.GreenPool(1000),
    )  # fmt: skip


def _end_with_parent() -> None:
    with contextlib.suppress(OSError):
        eventlet.tpool.execute(sys.stdin.read)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
