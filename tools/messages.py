"""Collects the translatable words of the console into locale/ and compiles the catalogue.

Usage: python tools/messages.py. Needs gettext (Debian: apt-get install gettext). Run it after
changing words, fill the empty msgstr lines of locale/zh_Hans/LC_MESSAGES/django.po, run it again.
"""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCALE = "zh_Hans"
CATALOGUE = ROOT / "locale" / LOCALE / "LC_MESSAGES" / "django.po"
SKIPPED = ".venv var artifacts tests tools static staticfiles benchmarks launcher docs node_modules"


def main() -> int:
    """Run makemessages and compilemessages; neither database nor Redis is needed."""
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings.web"
    for name, value in {
        "SECRET_KEY": "messages-only",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1/none",
        "REDIS_URL": "redis://127.0.0.1/0",
    }.items():
        os.environ.setdefault(name, value)
    from django.core.management import call_command
    from django.core.management.commands import compilemessages, makemessages

    class Messages(makemessages.Command):
        # A guessed translation is worse than an empty one, which the test finds.
        msgmerge_options = [*makemessages.Command.msgmerge_options, "--no-fuzzy-matching"]

    call_command(
        Messages(),
        locale=[LOCALE],
        no_obsolete=True,
        no_location=True,
        no_wrap=True,
        ignore_patterns=SKIPPED.split(),
        verbosity=0,
    )
    text = CATALOGUE.read_text(encoding="utf-8")
    # Without its date the file changes only when words change.
    CATALOGUE.write_text(re.sub(r'"POT-Creation-Date:.*\n', "", text), encoding="utf-8")
    call_command(compilemessages.Command(), locale=[LOCALE], verbosity=0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
