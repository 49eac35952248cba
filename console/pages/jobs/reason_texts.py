"""What jobs, trainings and sweeps write of their ends, in plain English, marked for translation.

Each text is what some part of Slipway stores, with `%(name)s` for what differs. `why` and `where`
are texts of their own, which are translated, too. Whoever changes a sentence there changes it here.
"""

from django.utils.translation import gettext_noop

#: Said after another reason; looked for first, as what ends with a place would take them in.
TAILS = (
    gettext_noop("%(why)s It failed twice at the same place with nothing new in between."),
    gettext_noop("%(why)s This was attempt %(attempt)s; %(barren)s in a row brought nothing new."),
)
#: models_app/jobs and workers/attempt.py: how attempts end, and what becomes of the job.
ATTEMPTS = (
    gettext_noop("Stopped on request."),
    gettext_noop("Cancelled; its worker was lost."),
    gettext_noop(
        "The worker stopped answering; the job goes on elsewhere from its last checkpoint."
    ),
    gettext_noop("Its node was lost together with others; the job waits for it for a while."),
    gettext_noop("The worker was shut down; the job goes on from its last checkpoint."),
    gettext_noop("It took longer than its limit of %(seconds)s s."),
    gettext_noop("It ended by itself."),
    gettext_noop("The job's process was killed (SIGKILL) by something other than Slipway."),
    gettext_noop("The job's process died of %(signal)s."),
    gettext_noop("The job's process ended with status %(status)s without a result."),
    gettext_noop("The program that did the work says that it failed."),
    gettext_noop("Out of memory. Use a smaller batch, a shorter sequence or a smaller model."),
    gettext_noop(
        "The GPU ran out of memory. Use a smaller batch, a shorter sequence or a smaller model."
        " (%(sign)s)"
    ),
    gettext_noop("A device of the node failed. (%(sign)s)"),
    gettext_noop("The node's disk failed. (%(sign)s)"),
    gettext_noop("The disk is full. (%(sign)s)"),
    gettext_noop("The files changed after they were scanned."),
)
#: workers/isolation/fence.py: limits that an attempt passed.
LIMITS = (
    gettext_noop(", at step %(step)s"),
    gettext_noop(
        "It used %(used)s of %(limit)s MiB of memory and needed more%(where)s. Lower batch_size or"
        " the sequence length, or ask for more memory (memory_mib)."
    ),
    gettext_noop(
        "It had %(used)s of %(limit)s processes and threads and started more%(where)s. Use fewer"
        " loader processes or threads, or let an operator raise SLIPWAY_JOB_PIDS."
    ),
    gettext_noop(
        "It used %(used)s of %(limit)s MiB of disk%(where)s. Keep fewer checkpoints or write less,"
        " or ask for more disk (disk_mib)."
    ),
    gettext_noop(
        "The machine ran out of memory%(where)s, and its kernel ended this job, which used"
        " %(used)s of its %(limit)s MiB. It goes on where there is more room."
    ),
)
#: workers/lm: what a training or an evaluation finds only when it has begun.
TRAININGS = (
    gettext_noop(
        "Training diverged at step %(step)s: the %(what)s is not a finite number. Lower"
        " learning_rate (a third of the present value is a good next try), lengthen warmup_steps"
        " or lower gradient_clip."
    ),
    gettext_noop("There are no training documents."),
    gettext_noop("The validation set is empty; give a dataset with held-out documents."),
    gettext_noop("The validation set holds no text."),
    gettext_noop(
        "The training set has only %(have)s bytes, too few for a sequence of %(length)s tokens."
        " Shorten the sequence or add documents."
    ),
    gettext_noop(
        "The training set has only %(have)s tokens, too few for a sequence of %(length)s tokens."
        " Shorten the sequence or add documents."
    ),
    gettext_noop(
        "No answer of an assistant lies within %(length)s tokens. Use a longer sequence, or data"
        " with answers."
    ),
    gettext_noop("The model that training starts from reads only %(context)s tokens."),
    gettext_noop("The tokenizer knows more tokens than the model."),
    gettext_noop(
        "This needs about %(need)s GiB of memory and %(free)s GiB are free. Lower batch_size or"
        " sequence_length, or raise gradient_accumulation."
    ),
    gettext_noop(
        "This needs about %(need)s GiB of memory and %(free)s GiB are free. Choose a smaller model."
    ),
    gettext_noop("The training documents are not those of the checkpoint."),
    gettext_noop("The checkpoint is at step %(step)s already; ask for more steps than that."),
    gettext_noop("The base has no layer %(name)s. It has %(known)s."),
    gettext_noop("%(name)s holds another adapter than the settings say."),
    gettext_noop(
        "Layers of %(type)s models cannot be cut (those of %(known)s can). Choose ddp, or fsdp if"
        " the model is too large for one process."
    ),
    gettext_noop(
        "The job has %(gpus)s GPUs for %(processes)s processes. Ask for one each, or use fewer"
        " processes."
    ),
    gettext_noop("Process %(rank)s of %(world)s was killed by %(signal)s."),
    gettext_noop("Process %(rank)s of %(world)s ended without a word."),
    gettext_noop("There are no documents to score."),
    gettext_noop("The documents hold no text."),
    gettext_noop("There are no questions to ask."),
)
#: models_app/sweeps: why trials and sweeps end.
SWEEPS = (
    gettext_noop("Stopped by sweep %(sweep)s: %(why)s"),
    gettext_noop("Stopped by %(who)s."),
    gettext_noop("Not among the best 1/%(factor)s of %(count)s at step %(step)s."),
    gettext_noop("Sweep %(sweep)s was stopped by %(who)s."),
    gettext_noop("Sweep %(sweep)s was given up."),
    gettext_noop("It ended well without reporting %(metric)s."),
    gettext_noop("%(times)s trials in a row failed by the same: %(why)s"),
    gettext_noop("No trial could be started: %(why)s"),
)
TEXTS = (*TAILS, *LIMITS, *SWEEPS, *TRAININGS, *ATTEMPTS)
