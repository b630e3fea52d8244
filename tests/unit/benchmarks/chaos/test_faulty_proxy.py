from __future__ import annotations

import socket
import socketserver
import threading
import time

import pytest

from benchmarks.chaos.faulty_proxy import FaultyProxy, to_port
from orchestration.processes import free_port


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(1_024):
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        """A reset is what is tested."""


@pytest.fixture
def proxy():
    with Server(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with FaultyProxy(to_port(server.server_address[1])) as proxy:
            yield proxy
        server.shutdown()


def connected(proxy, timeout_s=5.0):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s)


def asked(connection, text=b"ping"):
    connection.sendall(text)
    return connection.recv(1_024)


def test_without_a_fault_bytes_pass(proxy):
    with connected(proxy) as one, connected(proxy) as other:
        assert (asked(one), asked(other, b"a"), asked(one, b"b")) == (b"ping", b"a", b"b")


def test_answers_come_later_and_in_order_and_at_once_when_it_is_healed(proxy):
    with connected(proxy, timeout_s=60) as connection:
        proxy.delay_s = 0.2
        began = time.monotonic()
        assert asked(connection) == b"ping"
        assert time.monotonic() - began > 0.19
        connection.sendall(b"1")
        time.sleep(0.05)
        proxy.heal()
        connection.sendall(b"2")
        assert connection.recv(1) + connection.recv(1) == b"12"
        proxy.delay_s = 600
        proxy.heal()
        assert asked(connection) == b"ping"


def test_a_reset_is_one_and_others_connect_anew(proxy):
    proxy.reset_share = 1.0
    with connected(proxy) as connection, pytest.raises(ConnectionResetError):
        asked(connection)
    assert proxy.n_resets == 1
    proxy.heal()
    with connected(proxy) as connection:
        assert asked(connection) == b"ping"


def test_a_share_of_answers_is_reset(proxy):
    proxy.reset_share = 0.1
    n_broken = 0
    for _ in range(200):
        with connected(proxy) as connection:
            try:
                assert asked(connection) == b"ping"
            except ConnectionResetError:
                n_broken += 1
    assert 5 < n_broken == proxy.n_resets < 50


def test_a_silent_one_swallows_everything_and_stays_open(proxy):
    with connected(proxy, timeout_s=0.2) as connection:
        proxy.is_silent = True
        connection.sendall(b"lost")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        proxy.heal()
        assert asked(connection) == b"ping"


def test_what_cannot_be_reached_is_a_reset():
    # Seen while connecting, or at the first look at the connection: whoever is quicker.
    with (
        FaultyProxy(to_port(free_port())) as proxy,
        pytest.raises(ConnectionResetError),
        connected(proxy) as connection,
    ):
        connection.recv(1)
