"""Faults of messages: doubled, late, of jobs that are long over."""

from celery import Celery

from tests.chaos.faults.base import Fault

DOUBLES = 5


class GoRepeated(Fault):
    """The go signal of every job so far, five times each, to every node."""

    name = "go_repeated"
    harmful = False

    def inject(self) -> None:
        broker = f"{self.site.stack.addresses()['REDIS_URL']}/0"
        nodes = [row["name"] for row in self.site.truth.rows("SELECT name FROM pools_node")]
        with Celery(broker=broker) as app:
            app.conf.task_ignore_result = True
            for job in [*self.load.accepted(), 10**12]:
                for node in nodes:
                    for _ in range(DOUBLES):
                        self._send(app, job, str(node))

    def _send(self, app: Celery, job: int, node: str) -> None:
        app.send_task(
            "workers.run_job", kwargs={"job_id": job}, queue=f"node.{node}", ignore_result=True,
            retry=False,
        )  # fmt: skip
