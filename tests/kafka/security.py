"""A Kafka broker with TLS, SASL and access control, with certificates and users of its own."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.kafka import broker

PASSWORDS = {"alice": "al1ce-s3cret", "guest": "gu3st-s3cret"}
"""alice may do everything, guest what the tests allow it."""

_PROTOCOLS = (
    "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,ELSEWHERE:SSL,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"
)
_SECURE = ("SSL", "ELSEWHERE", "SASL_SSL", "SASL_PLAINTEXT")
_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True, slots=True)
class SecureBroker:
    """`ports` by listener: SSL asks for a client certificate, ELSEWHERE has a certificate for another host."""

    broker: broker.Broker
    ports: dict[str, int]
    certificates: Path

    def file(self, name: str) -> str:
        """ca.pem, other-ca.pem, client.pem with client.key, client-locked.key (its password: `locked`)."""
        return str(self.certificates / name)

    def where(self, listener: str) -> str:
        """Host and port of a listener."""
        return f"127.0.0.1:{self.ports[listener]}"


def missing() -> str | None:
    """Why there cannot be such a broker here, or None."""
    if shutil.which("openssl") is None:
        return "the security tests need openssl, which is not installed"
    return broker.missing()


def start(folder: Path) -> SecureBroker:
    """A broker with all listeners, its data and certificates in `folder`."""
    certificates = folder / "certificates"
    certificates.mkdir()
    _make_certificates(certificates)
    ports = dict(zip(_SECURE, broker.free_ports(len(_SECURE)), strict=True))
    secure = [f"{name}://127.0.0.1:{port}" for name, port in ports.items()]
    users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
    plain = f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
    more = {
        "listeners": ",".join(["PLAINTEXT://127.0.0.1:{port}", "CONTROLLER://127.0.0.1:{controller}", *secure]),
        "advertised.listeners": ",".join(["PLAINTEXT://127.0.0.1:{port}", *secure]),
        "listener.security.protocol.map": _PROTOCOLS,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates / "server-store.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates / "ca.pem"),
        "listener.name.ssl.ssl.client.auth": "required",
        "listener.name.elsewhere.ssl.keystore.type": "PEM",
        "listener.name.elsewhere.ssl.keystore.location": str(certificates / "elsewhere-store.pem"),
        "sasl.enabled.mechanisms": ",".join(("PLAIN", *_MECHANISMS)),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:alice;User:CN=client",  # ANONYMOUS: the broker itself and the set-up
    }
    for listener in ("sasl_ssl", "sasl_plaintext"):
        more[f"listener.name.{listener}.plain.sasl.jaas.config"] = plain
        for mechanism in _MECHANISMS:
            more[f"listener.name.{listener}.{mechanism.lower()}.sasl.jaas.config"] = _SCRAM
    added = [
        f"--add-scram={mechanism}=[name={name},password={password}]"
        for mechanism in _MECHANISMS
        for name, password in PASSWORDS.items()
    ]
    return SecureBroker(broker.start(folder, more, added), ports, certificates)


def _make_certificates(folder: Path) -> None:
    for authority in ("ca", "other-ca"):
        _openssl(
            f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={authority}"
            f" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign"
            f" -keyout {authority}.key -out {authority}.pem",
            folder,
        )
    for name, subject in (
        ("server", "IP:127.0.0.1,DNS:localhost"),
        ("elsewhere", "DNS:elsewhere.test"),
        ("client", ""),
    ):
        _openssl(f"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out {name}.key", folder)
        _openssl(f"req -new -key {name}.key -subj /CN={name} -out {name}.csr", folder)
        (folder / "extensions").write_text(f"subjectAltName={subject}" if subject else "basicConstraints=CA:FALSE")
        _openssl(
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions"
            f" -out {name}.pem",
            folder,
        )
        store = (folder / f"{name}.key").read_text() + (folder / f"{name}.pem").read_text()
        (folder / f"{name}-store.pem").write_text(store)
    _openssl("pkcs8 -topk8 -in client.key -out client-locked.key -passout pass:locked", folder)


def _openssl(arguments: str, folder: Path) -> None:
    subprocess.run(["openssl", *arguments.split()], check=True, capture_output=True, cwd=folder, timeout=30)
