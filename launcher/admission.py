"""Who may come to the embedded PostgreSQL from other machines: our lines in its pg_hba.conf."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

_BEGIN, _END = "# nodes on other machines: begin", "# nodes on other machines: end"


def admit(file: Path, database: str, role: str, networks: Sequence[str]) -> None:
    """Let the role in from these networks with its password, and from nowhere else any more.

    What an operator wrote into pg_hba.conf outside of our lines stays.
    """
    old = file.read_text()
    lines = re.sub(rf"^{_BEGIN}\n.*?^{_END}\n", "", old, flags=re.MULTILINE | re.DOTALL)
    if networks:
        rules = [f"host {database} {role} {network} scram-sha-256" for network in networks]
        lines = "\n".join([lines.rstrip("\n"), _BEGIN, *rules, _END, ""])
    if lines == old:
        return
    facts = file.stat()
    fresh = file.with_name("pg_hba.conf.new")
    fresh.touch(0o600)
    fresh.write_text(lines)
    os.chown(fresh, facts.st_uid, facts.st_gid)
    fresh.replace(file)
