"""Installs the generations of clients that are not there yet; says so where that cannot be done."""

import shutil
import sys
from pathlib import Path

from launcher import installer
from tests.clients import HERE, client_folder, client_names, is_installed, wanted


def main() -> None:
    for name in client_names():
        if is_installed(name):
            continue
        folder = client_folder(name)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            installer.install(Path(sys.executable), [HERE / f"{name}.txt"], apart=folder)
        except SystemExit as error:
            print(f"clients: {name} could not be installed, its tests will be skipped: {error}")
            return
        (folder / ".stamp").write_text(wanted(name))


if __name__ == "__main__":
    main()
