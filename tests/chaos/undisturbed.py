"""The same training outside of the installation, where nothing happens to it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.running_stack import ROOT
from tests.chaos.invariants.versions import WEIGHTS, file_digest
from tests.chaos.site import ChaosSite
from tests.flows.site import until

#: As the product gives it to its own children, for what could change a number.
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "console.settings.worker",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
    "REDIS_URL": "redis://127.0.0.1:9",
    "SECRET_KEY": "not-for-children",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
}


class Undisturbed:
    """A child process of our own with a copy of the inputs of a job's first attempt."""

    def __init__(self, site: ChaosSite, job_id: int, folder: Path) -> None:
        self.folder = folder
        source = site.stack.data_dir / "spool" / f"job-{job_id}" / "a1"
        until((source / "job.json").exists, "the training starts")
        shutil.copytree(source / "inputs", folder / "inputs")
        job = json.loads((source / "job.json").read_text().replace(str(source), str(folder)))
        job |= {"parent_pid": os.getpid(), "watchdog_s": 100_000}
        job |= {"work_dir": str(folder / "work"), "checkpoint_dir": str(folder / "checkpoints")}
        (folder / "job.json").write_text(json.dumps(job))
        log = (folder / "said.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workers.child", str(folder)], cwd=ROOT,
            env={**os.environ, **ENVIRONMENT, "SLIPWAY_DATA_DIR": str(folder)},
            stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip

    def weights(self) -> str:
        """SHA-256 of what it trained."""
        status = self._process.wait(300)
        assert status == 0, (self.folder / "said.log").read_text()[-2000:]
        return file_digest(self.folder / "output" / "model" / WEIGHTS)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
