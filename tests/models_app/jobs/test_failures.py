"""What a failure means: final or not, here or elsewhere, and whether it repeats."""

import pytest

from models_app.jobs.failures import classify

FRAME = 'File "/x/train.py", line 12, in step'


@pytest.mark.nodb
class TestClassify:
    @pytest.mark.parametrize(
        ("code", "tail", "found", "final", "leave"),
        [
            ("user_code", "torch.OutOfMemoryError: CUDA out of memory", "oom", True, False),
            ("user_code", "NCCL error: unhandled system error", "device_lost", False, True),
            ("killed", "write failed: No space left on device", "disk_full", False, True),
            ("killed", "", "killed", False, False),
            ("user_code", "ValueError: bad", "user_code", True, False),
            ("disk_full", "", "disk_full", False, True),
        ],
    )
    def test_reads_the_last_lines(self, code, tail, found, final, leave):
        failure = classify(code=code, message="m", permanent=code == "user_code", tail=tail)

        assert (failure.code, failure.final, failure.leave_node) == (found, final, leave)

    def test_a_replica_is_always_started_again(self):
        assert not classify(code="killed", message="m", permanent=False, long_lived=True).final

    def test_of_a_full_disk_is_no_mark_of_the_job(self):
        failure = classify(code="disk_full", message="m", permanent=False, exit_code=1, tail=FRAME)

        assert (failure.signature, failure.final) == ("", False)

    def test_knows_the_same_place_again(self):
        def signature(tail, signal="SIGSEGV"):
            return classify(
                code="killed", message="m", permanent=False, exit_signal=signal, tail=tail
            ).signature

        assert signature(FRAME) == signature(FRAME)
        assert signature(FRAME) != signature(FRAME.replace("12", "13"))

    @pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM"])
    def test_what_comes_from_outside_has_no_place(self, signal):
        failure = classify(
            code="killed", message="m", permanent=False, exit_signal=signal, tail=FRAME
        )

        assert failure.signature == ""

    def test_a_rank_that_was_killed_from_outside_has_no_place_either(self):
        def failure(signal):
            message = f"Process 1 of 2 was killed by {signal}."
            return classify(
                code="killed", message=message, permanent=False, exit_code=1, tail=FRAME
            )

        assert failure("SIGKILL").from_outside and not failure("SIGKILL").signature
        assert failure("SIGSEGV").signature and not failure("SIGSEGV").from_outside
