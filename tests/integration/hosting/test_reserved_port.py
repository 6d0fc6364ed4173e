"""A port that is kept for a server is given to nobody else, and the server can have it."""

from __future__ import annotations

import errno
import http.server
import socket
import sys

import pytest

from quant_llm_tools.local_aws.reserved_port import ReservedPort

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's rules are Linux's")


def test_server_that_reuses_addresses_can_not_listen_on_it() -> None:
    with (
        ReservedPort() as port,
        http.server.HTTPServer(("127.0.0.1", port), http.server.BaseHTTPRequestHandler),
    ):
        socket.create_connection(("127.0.0.1", port)).close()


def test_server_that_reuses_ports_can_not_listen_on_it() -> None:
    with ReservedPort() as port, socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", port))
        server.listen()


def test_connection_is_taken_before_the_server_listens() -> None:
    with ReservedPort() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_port_is_anybodys_before_it_is_released() -> None:
    with ReservedPort() as port, socket.socket() as other:
        with pytest.raises(OSError, match="in use") as refused:
            other.bind(("127.0.0.1", port))
        assert refused.value.errno == errno.EADDRINUSE
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
