"""A process per node that has the libraries loaded, from which the processes of jobs are forked.

`keeper` lives in the worker, `template` is the process itself; see
docs/decisions/0017-warm-template.md.
"""
