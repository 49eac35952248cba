"""What jobs, trainings, sweeps, roll-outs and batches write of their ends, in plain English, marked
for translation.

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
        "Training diverged at step %(step)s: %(why)s. Lower learning_rate (a third of the present"
        " value is a good next try), lengthen warmup_steps or lower gradient_clip."
    ),
    gettext_noop("%(why)s, %(times)s times within 1,000 steps"),
    gettext_noop("the %(what)s is not a finite number"),
    gettext_noop("the loss leapt far above that of the steps before"),
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
        " sequence_length, raise gradient_accumulation."
    ),
    gettext_noop(
        "This needs about %(need)s GiB of memory and %(free)s GiB are free. Lower batch_size or"
        " sequence_length, raise gradient_accumulation, or switch on activation_checkpointing."
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
#: models_app/deployments: how roll-outs end and what becomes of revisions.
ROLLOUTS = (
    gettext_noop("A replica failed: %(why)s"),
    gettext_noop("A replica did not get ready in %(attempts)s attempts: %(why)s"),
    gettext_noop(
        "Only %(ready)s of %(goal)s replicas were ready after %(minutes)s minutes. %(why)s"
    ),
    gettext_noop("Only %(ready)s of %(goal)s replicas were ready after %(minutes)s minutes."),
    gettext_noop("The place that was made for a new replica was not given to it. %(why)s"),
    gettext_noop("The adapter %(name)s, %(version)s, could not be loaded: %(why)s"),
    gettext_noop("%(n)s of %(all)s replicas did not have the adapters after %(minutes)s minutes."),
    gettext_noop("After the switch to r%(n)s: %(why)s"),
    gettext_noop(
        "%(errors)s of %(requests)s requests failed (%(percent)s %%); the limit is %(limit)s %%."
    ),
    gettext_noop(
        "Copies take %(new)s ms (p95) where the requests themselves take %(old)s ms; the limit is"
        " %(limit)s times as long."
    ),
    gettext_noop(
        "The first token takes %(new)s ms (p95) where the old revision needs %(old)s ms; the limit"
        " is %(limit)s times as long."
    ),
    gettext_noop("The stored answers could not be replayed: %(why)s"),
    gettext_noop(
        "r%(n)s does not answer as it did: to %(prompt)s it said %(before)s and now says %(now)s."
        " Requests were not moved."
    ),
    gettext_noop("Aborted by %(who)s."),
    gettext_noop("r%(n)s was put into service meanwhile."),
    gettext_noop("r%(n)s is no longer what it was when it was made."),
    gettext_noop("r%(n)s has no approval that stands under today's policy."),
    gettext_noop("The approval was refused."),
    gettext_noop("The request for approval was withdrawn."),
    gettext_noop("The approval was not given, or not used, in time."),
    gettext_noop("What was asked for, or the policy of the environment, has changed."),
    gettext_noop("%(version)s was quarantined: %(reason)s"),
)
#: models_app/jobs/waiting.py, where a roll-out ends because its replicas wait.
WAITING = (
    gettext_noop("No ready node belongs to the pool %(pool)s. Start a worker, or wait for one."),
    gettext_noop("No ready node of the pool %(pool)s is large enough in everything at once."),
    gettext_noop("It is next and gets its place within seconds."),
    gettext_noop("%(count)s jobs of the same pool are before it."),
    gettext_noop("All %(count)s nodes that could run it are busy: on %(node)s %(reason)s."),
    gettext_noop("The one node that could run it is busy: on %(node)s %(reason)s."),
    gettext_noop(
        "The pool %(pool)s is at its limit: %(used)s of %(total)s %(unit)s are taken and the job"
        " needs %(needed)s."
    ),
    gettext_noop(
        "It needs %(needed)s %(unit)s and the largest ready node of the pool %(pool)s has %(most)s."
    ),
)
#: models_app/batches/rows.py: what is wrong with a file of requests.
BATCHES = (
    gettext_noop("At most %(most)s requests in one file. Split it."),
    gettext_noop("The file has no requests."),
    gettext_noop("This line is not valid JSON."),
    gettext_noop("This line is not a JSON object."),
    gettext_noop("Give it a custom_id of 1 to %(most)s characters."),
    gettext_noop("The custom_id %(name)s stands in an earlier line."),
    gettext_noop("The method must be POST."),
    gettext_noop("The url must be that of the batch, %(url)s."),
    gettext_noop("The body must be an object."),
    gettext_noop("The body must name a model."),
    gettext_noop("All requests of a batch ask the same model; the first asks %(model)s."),
    gettext_noop("Answers of a batch do not stream."),
)
TEXTS = (*ROLLOUTS, *WAITING, *BATCHES, *TAILS, *LIMITS, *SWEEPS, *TRAININGS, *ATTEMPTS)
