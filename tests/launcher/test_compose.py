"""The deployment files name only what exists: modules, variables, secrets, volumes, files."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

import console.settings.web  # noqa: F401 - reads every variable, which registers it
from console.settings.env import REGISTRY

PROJECT = Path(__file__).resolve().parent.parent.parent
COMPOSE = yaml.safe_load((PROJECT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OWN = {name: s for name, s in SERVICES.items() if "build" in s}
#: read by the launcher, by `manage.py admin_ensure`, by Django itself, by compose.yaml alone
ELSEWHERE = {
    "SLIPWAY_CLUSTER_NETWORKS",
    "SLIPWAY_JOIN_URL",
    "SLIPWAY_JOIN_TOKEN",
    "SLIPWAY_GATEWAY_PORT",
    "SLIPWAY_GATEWAYS",
    "SLIPWAY_GATEWAY_DRAIN_S",
    "SLIPWAY_ADMIN_EMAIL",
    "SLIPWAY_ADMIN_PASSWORD",
    "DJANGO_SETTINGS_MODULE",
    "SLIPWAY_IMAGE_TAG",
    "SLIPWAY_VENV",
}
KNOWN = {*REGISTRY, *ELSEWHERE}


def words(service):
    return [str(word) for word in SERVICES[service].get("command", [])]


def example_names():
    text = (PROJECT / ".env.example").read_text()
    return set(re.findall(r"^#?([A-Z][A-Z_]+)=", text, flags=re.MULTILINE))


class TestServices:
    def test_are_the_ones_of_the_architecture(self):
        wanted = {"postgres", "redis", "web", "gateway", "beat", "worker-cpu", "worker-gpu"}

        assert wanted <= SERVICES.keys()

    @pytest.mark.parametrize("service", OWN)
    def test_run_modules_that_exist(self, service):
        text = " ".join(words(service))
        named = re.findall(r"(?<![\w.])((?:console|workers)(?:\.\w+)+)", text)
        scripts = re.findall(r"python (\S+\.py)", text)

        assert named or scripts
        for module in named:
            assert importlib.util.find_spec(module.partition(":")[0]), module
        for script in scripts:
            assert (PROJECT / script).is_file()

    @pytest.mark.parametrize("service", OWN)
    def test_set_variables_that_somebody_reads(self, service):
        names = {name.removesuffix("_FILE") for name in SERVICES[service]["environment"]}

        assert names - KNOWN == set()

    @pytest.mark.parametrize("service", SERVICES)
    def test_use_secrets_and_volumes_that_are_declared(self, service):
        definition = SERVICES[service]
        volumes = [v.partition(":")[0] for v in definition.get("volumes", [])]
        files = [
            value.removeprefix("/run/secrets/")
            for name, value in (definition.get("environment") or {}).items()
            if name.endswith("_FILE")
        ]

        assert set(definition.get("secrets", [])) <= COMPOSE["secrets"].keys()
        assert set(files) <= set(definition.get("secrets", []))
        for volume in volumes:
            found = (
                (PROJECT / volume).exists() if volume[0] == "." else volume in COMPOSE["volumes"]
            )
            assert found, volume

    @pytest.mark.parametrize("service", sorted(set(SERVICES) - {"migrate", "beat"}))
    def test_are_watched(self, service):
        assert SERVICES[service]["healthcheck"]["test"]

    @pytest.mark.parametrize("service", OWN)
    def test_run_without_rights(self, service):
        definition = SERVICES[service]

        assert definition["user"] == "10001:10001"
        assert definition["cap_drop"] == ["ALL"]

    def test_no_password_stands_in_the_file(self):
        text = (PROJECT / "compose.yaml").read_text()

        assert not re.search(r"PASSWORD: ?\S|//[^/\s]+:[^$/\s]+@", text)

    def test_only_the_proxy_is_reachable_from_outside(self):
        published = {n: p for n, s in SERVICES.items() for p in s.get("ports", [])}

        assert {n for n, p in published.items() if not p.startswith("127.0.0.1:")} == {"nginx"}


class TestFiles:
    @pytest.mark.parametrize("service", OWN)
    def test_images_are_made_from_pinned_requirements_as_an_ordinary_user(self, service):
        path = PROJECT / SERVICES[service]["build"]["dockerfile"]
        text = path.read_text()

        assert "USER 10001:10001" in text
        for name in re.findall(r"COPY (requirements/\S+)", text):
            assert (PROJECT / name).is_file()

    def test_the_secrets_script_makes_what_compose_wants(self):
        text = (PROJECT / "docker" / "make-secrets").read_text()
        wanted = [Path(entry["file"]).name for entry in COMPOSE["secrets"].values()]

        assert [name for name in wanted if name not in text] == []

    def test_the_proxy_leads_to_services(self):
        text = (PROJECT / "docker" / "nginx.conf").read_text()

        assert set(re.findall(r"http://([a-z-]+):80\d\d", text)) == {"web", "gateway"}
        for name in re.findall(r"/run/secrets/(\w+);", text):
            assert name in SERVICES["nginx"]["secrets"]

    def test_the_example_lists_every_variable_and_no_other(self):
        assert example_names() - KNOWN == set(), "nobody reads these"
        missing = {n for n in REGISTRY if not n.startswith("TEST_")} - example_names()
        lines = [f"# {REGISTRY[n].help}\n#{n}={REGISTRY[n].default}" for n in sorted(missing)]
        assert not lines, "add to .env.example:\n" + "\n".join(lines)
