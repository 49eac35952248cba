"""One-time passwords: easy to read out and type, 80 random bits."""

import secrets

#: No letters or digits that are taken for one another.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def one_time_password() -> str:
    """Four groups of four, such as `k7mq-x2vd-9hrt-p4wc`."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(4))
