"""The cage around each attempt: what it may take, who enforces it, and how it ends alone.

`cage.py` is what supervisors use; behind it stands one of three fences (cgroup v2, cgroup v1,
polling), chosen by `probe.py`. See docs/reference/isolation.md.
"""
