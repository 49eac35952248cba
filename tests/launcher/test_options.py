"""Variables, files and switches, and the ports they lead to."""

import socket

import pytest

from launcher import commands, options, ports
from launcher.errors import BadOption, PortTaken


class TestRead:
    def test_has_defaults(self):
        found = options.read({})

        assert (found.host, found.port, found.gateway_port) == ("127.0.0.1", 8000, None)
        assert found.data_dir.name == "var"
        assert found.url == "http://127.0.0.1:8000"

    def test_reads_a_variable_from_the_file_it_names(self, tmp_path):
        file = tmp_path / "url"
        file.write_text("postgresql://db/x\n")

        found = options.read({"DATABASE_URL_FILE": str(file), "OTHER": "1"})

        assert found.database_url == "postgresql://db/x"
        assert found.environment == {"OTHER": "1"}

    def test_names_the_variable_whose_file_is_missing(self):
        with pytest.raises(BadOption, match="SECRET_KEY_FILE=/nowhere"):
            options.read({"SECRET_KEY_FILE": "/nowhere"})

    def test_a_switch_wins_over_a_variable(self):
        assert options.read({"SLIPWAY_PORT": "9000"}, port=9001).port == 9001

    def test_the_gateway_apart_gets_the_next_port(self):
        found = options.read({"SLIPWAY_SPLIT_GATEWAY": "1", "SLIPWAY_PORT": "9000"})

        assert found.gateway_port == 9001

    def test_several_gateways_run_apart(self):
        found = options.read({"SLIPWAY_GATEWAYS": "2"})

        assert (found.gateways, found.gateway_port) == (2, 8001)

    @pytest.mark.parametrize(("split", "told"), [("0", ["90"]), ("1", ["5", "90"])])
    def test_whoever_serves_v1_has_time_to_end(self, split, told):
        """The console's process, or the gateway's where that runs apart."""
        variables = {"SLIPWAY_GATEWAY_DRAIN_S": "90", "SLIPWAY_SPLIT_GATEWAY": split}
        found = commands.build(options.read(variables), {})

        servers = [found.web, *found.gateways]
        times = [s.command[s.command.index("--timeout-graceful-shutdown") + 1] for s in servers]
        assert times == told
        assert all(spec.grace_s > int(time) for spec, time in zip(servers, times, strict=True))

    @pytest.mark.parametrize("seconds", ["0", "601", "-5", "long"])
    def test_that_time_has_bounds(self, seconds):
        with pytest.raises(BadOption, match="SLIPWAY_GATEWAY_DRAIN_S"):
            options.read({"SLIPWAY_GATEWAY_DRAIN_S": seconds})

    def test_it_is_half_a_minute_without_a_word(self):
        assert options.read({}).gateway_drain_s == 30

    @pytest.mark.parametrize("port", ["0", "65536", "-1", "80 80", "²"])
    def test_refuses_what_is_no_port(self, port):
        with pytest.raises(BadOption, match="SLIPWAY_PORT"):
            options.read({"SLIPWAY_PORT": port})

    @pytest.mark.parametrize(
        ("host", "url"),
        [
            ("0.0.0.0", "http://127.0.0.1:8000"),
            ("::", "http://[::1]:8000"),
            ("::1", "http://[::1]:8000"),
        ],
    )
    def test_the_address_can_be_opened_on_this_machine(self, host, url):
        assert options.read({"SLIPWAY_HOST": host}).url == url


class TestPorts:
    def test_keeps_the_last_one_while_it_is_free(self):
        port = ports.choose()

        assert ports.choose(port) == port

    def test_takes_another_when_it_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            taken = server.getsockname()[1]

            assert ports.choose(taken) != taken

    def test_stays_out_of_the_range_of_clients(self):
        first, last = ports._ephemeral_range()

        assert all(not first <= ports.choose() <= last for _ in range(20))

    def test_says_which_variable_to_change(self):
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            pytest.raises(PortTaken, match="SLIPWAY_PORT="),
        ):
            ports.require_free("127.0.0.1", server.getsockname()[1], "SLIPWAY_PORT")
