"""A worker may not take a name that a joined node holds with another secret."""

import subprocess
import sys

import pytest
from django.conf import settings as product

from models_app.core.actor import SYSTEM
from models_app.pools.joining import join_token_create, node_join
from models_app.pools.models import Node
from tests.waiting import WAIT_S
from tests.workers.conftest import WorkerProcess
from workers.node import REFUSED

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("given", ["", "slipnode_wrong"])
def test_a_wrong_secret_ends_the_worker_with_a_clear_line(tmp_path, settings, given):
    settings.DATA_DIR = tmp_path
    node, _ = node_join(token=join_token_create(actor=SYSTEM)[1], name="test-node")
    command = [
        sys.executable, "-m", "celery", "-A", "workers.celery", "worker", "--pool=threads",
        "--concurrency", "2", "-l", "WARNING", "--without-gossip", "--without-mingle",
        "-Q", "node.test-node",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=product.BASE_DIR, capture_output=True, text=True, timeout=WAIT_S, check=False,
        env={**WorkerProcess(tmp_path).environment(), "SLIPWAY_NODE_SECRET": given},
    )  # fmt: skip

    assert done.returncode == REFUSED, done.stderr[-2000:]
    assert "belongs to a node with another secret" in done.stderr
    node.refresh_from_db()
    assert (node.state, Node.objects.count()) == ("unreachable", 1)
