"""What the environment and the command line ask of the launcher, read once and checked."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from launcher.child import PROJECT
from launcher.errors import BadOption

#: read here and handed to children in the clear; `NAME_FILE` works for each
_FILE_NAMES = (
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "SLIPWAY_ADMIN_EMAIL",
    "SLIPWAY_ADMIN_PASSWORD",
    "SLIPWAY_DATA_DIR",
    "SLIPWAY_HOST",
    "SLIPWAY_PORT",
)
DRAIN = "SLIPWAY_GATEWAY_DRAIN_S"
_ADMIN = ("SLIPWAY_ADMIN_EMAIL", "SLIPWAY_ADMIN_PASSWORD")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where a stack listens, where its data lies, and which servers it is given."""

    data_dir: Path
    host: str
    port: int
    #: None when the console's own process serves /v1, too
    gateway_port: int | None
    #: seconds that whoever serves /v1 has for running answers when it is told to stop
    gateway_drain_s: int
    slots: int
    database_url: str
    redis_url: str
    secret_key: str
    #: for `admin_ensure` alone
    admin: Mapping[str, str] = field(repr=False)
    #: what every child starts from
    environment: Mapping[str, str] = field(repr=False)
    #: address of this machine on which embedded servers listen, too, for nodes on others
    cluster_host: str = ""
    #: processes that share the gateway's port
    gateways: int = 1
    #: from where those may come, as pg_hba.conf names networks
    cluster_networks: tuple[str, ...] = ("samenet",)

    @property
    def url(self) -> str:
        """The address to open in a browser on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host and '[' not in host else host}:{self.port}"


def read(
    environment: Mapping[str, str],
    *,
    data_dir: str | None = None,
    port: int | None = None,
    split_gateway: bool = False,
) -> Options:
    """Options from variables (or the files they name) and switches, which win; raises BadOption."""
    values = {name: read_value(environment, name) for name in _FILE_NAMES}
    chosen = data_dir or values["SLIPWAY_DATA_DIR"]
    gateways = _number(environment.get("SLIPWAY_GATEWAYS") or "1", "SLIPWAY_GATEWAYS", 16)
    split = split_gateway or gateways > 1 or _flag(environment, "SLIPWAY_SPLIT_GATEWAY")
    web_port = port or _number(values["SLIPWAY_PORT"] or "8000", "SLIPWAY_PORT", 65535)
    slots = _number(environment.get("SLIPWAY_WORKER_SLOTS") or "8", "SLIPWAY_WORKER_SLOTS", 512)
    gateway = environment.get("SLIPWAY_GATEWAY_PORT") or str(web_port + 1)
    drain = environment.get(DRAIN) or "30"
    return Options(
        data_dir=Path(chosen).expanduser().absolute() if chosen else PROJECT / "var",
        host=values["SLIPWAY_HOST"] or "127.0.0.1",
        port=web_port,
        gateway_port=_number(gateway, "SLIPWAY_GATEWAY_PORT", 65535) if split else None,
        gateways=gateways,
        gateway_drain_s=_number(drain, DRAIN, 600),
        slots=slots,
        database_url=values["DATABASE_URL"],
        redis_url=values["REDIS_URL"],
        secret_key=values["SECRET_KEY"],
        cluster_host=_cluster_host(environment.get("SLIPWAY_CLUSTER_HOST", "")),
        cluster_networks=_networks(environment.get("SLIPWAY_CLUSTER_NETWORKS") or "samenet"),
        admin={name: values[name] for name in _ADMIN if values[name]},
        environment={
            name: value
            for name, value in environment.items()
            if name.removesuffix("_FILE") not in _FILE_NAMES
        },
    )


def read_value(environment: Mapping[str, str], name: str) -> str:
    """The variable, or the content of the file named by `NAME_FILE`, or nothing."""
    value, file = environment.get(name, ""), environment.get(f"{name}_FILE", "")
    if value or not file:
        return value
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise BadOption(f"{name}_FILE={file} cannot be read: {error.strerror}") from error


def _cluster_host(text: str) -> str:
    if text in ("0.0.0.0", "::", "*"):
        raise BadOption(
            f"SLIPWAY_CLUSTER_HOST={text} must be one address of this machine: other machines "
            "are told to come to it"
        )
    return text


def _networks(text: str) -> tuple[str, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        try:
            fine = word in ("samenet", "samehost") or bool(ipaddress.ip_network(word))
        except ValueError:
            fine = False
        if not fine:
            raise BadOption(
                f"SLIPWAY_CLUSTER_NETWORKS: {word!r} is neither samenet nor a network "
                "such as 10.0.0.0/8"
            )
    return tuple(words)


def _number(text: str, name: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise BadOption(f"{name}={text!r} must be a whole number from 1 to {most}")
    return int(text)


def _flag(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "0").lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("", "0", "false", "no", "off"):
        return False
    raise BadOption(f"{name}={text!r} is neither 1 nor 0")


def current(**switches: object) -> Options:
    """Options of this process; for tests and commands alike."""
    return read(os.environ, **switches)  # type: ignore[arg-type]
