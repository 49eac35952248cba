"""A bucket to test against: OpenStack Swift with its S3 API, in a process of its own.

An object store that is run in production: it checks signatures and Content-MD5, keeps the parts of
unfinished uploads, and has its own ideas where they are allowed. `python -m tests.clients` installs
it apart from the project's packages (tests/clients/swift.txt).
"""
