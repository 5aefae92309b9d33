"""Why brokers that can be reached do not take us: asked by hand, since the library only says that it timed out.

Spoken here is no more than the beginning of a connection: TLS, then SASL's handshake and authentication (requests 17
and 36 of Kafka's protocol). Certificates are checked before any password leaves.
"""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Any

from kafka import errors
from kafka.net.sasl import get_sasl_mechanism

from streamer.bus.kafka_options import KafkaOptions

_TIMEOUT_S = 2.0
_SASL_HANDSHAKE, _SASL_AUTHENTICATE = 17, 36
_MISMATCH = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and ..._IP_ADDRESS_MISMATCH


def refusal(options: KafkaOptions) -> str | None:
    """What is wrong with our credentials or certificates, for the operator; None when that is not it.

    Takes a few seconds at most. There is no secret in the answer.
    """
    for server in options.servers:
        host, _, port = server.rpartition(":")
        try:
            plain = socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT_S)
        except OSError:
            continue
        with plain:
            return _ask(options, host.strip("[]"), plain)
    return None


def _ask(options: KafkaOptions, host: str, plain: socket.socket) -> str | None:
    settings = options.client()
    spoken = plain
    try:
        if "ssl_context" in settings:
            spoken = settings["ssl_context"].wrap_socket(plain, server_hostname=host)
        if options.security.startswith("sasl"):
            return _authenticate(options, host, spoken)
        spoken.settimeout(0.5)
        spoken.recv(1)  # in TLS 1.3 the server judges our certificate after the handshake
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _MISMATCH:
            return f"their certificate is not for {host}: use the name that it is for, or check_hostname=false"
        trusted = f"ca_file {options.ca_file}" if options.ca_file else "this machine"
        return (
            f"{trusted} does not vouch for their certificate ({error.verify_message}): set ca_file to their authority"
        )
    except ssl.SSLError as error:
        if "certificate" in (error.reason or "").lower() or "ALERT" in (error.reason or ""):
            return f"they do not accept our certificate ({error.reason}): set cert_file and key_file to one they trust"
        return f"TLS fails there ({error.reason}): check the port and the option security"
    except OSError:
        return None
    finally:
        spoken.close()
    return None


def _authenticate(options: KafkaOptions, host: str, spoken: socket.socket) -> str | None:
    answer = _request(spoken, _SASL_HANDSHAKE, 1, _text(options.mechanism))
    if answer is None:
        return "they do not speak SASL there: check the port and the option security"
    if struct.unpack_from(">h", answer)[0]:
        return f"they do not offer the mechanism {options.mechanism}: set mechanism to one they do"
    mechanism: Any = get_sasl_mechanism(options.mechanism)(
        host=host,
        sasl_mechanism=options.mechanism,
        sasl_plain_username=options.username,
        sasl_plain_password=options.password,
    )
    while not mechanism.is_done():
        token = mechanism.auth_bytes()
        answer = _request(spoken, _SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
        if answer is None or struct.unpack_from(">h", answer)[0]:
            return f"they do not accept the user {options.username} with this password ({options.mechanism})"
        said = struct.unpack_from(">h", answer, 2)[0]
        begin = 4 + max(said, 0) + 4
        try:
            mechanism.receive(answer[begin:])
        except (ValueError, errors.KafkaError):
            return f"they do not accept the user {options.username} with this password ({options.mechanism})"
    return None


def _request(spoken: socket.socket, key: int, version: int, body: bytes) -> bytes | None:
    """The answer's body, or None when the connection was closed instead."""
    framed = struct.pack(">hhi", key, version, 1) + _text("streamer") + body
    spoken.sendall(struct.pack(">i", len(framed)) + framed)
    size = _read(spoken, 4)
    answer = None if size is None else _read(spoken, struct.unpack(">i", size)[0])
    return None if answer is None else answer[4:]  # after the number of the request


def _read(spoken: socket.socket, n: int) -> bytes | None:
    got = b""
    while len(got) < n:
        part = spoken.recv(min(65536, n - len(got)))
        if not part:
            return None
        got += part
    return got


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">h", len(encoded)) + encoded
