"""TLS, SASL and access control, against a broker that is set up so."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from pathlib import Path

import kafka
import pytest
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Consumer, GroupToken, Load, Outgoing, Producer, Topic
from streamer.errors import BusError, BusUnavailable, DeliveryFailed, UsageError
from tests.kafka import security
from tests.kafka.broker import need
from tests.kafka.security import PASSWORDS, SecureBroker

pytestmark = [
    pytest.mark.kafka,
    # kafka-python leaves the sockets of a client that could not be made to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket .*family=1:ResourceWarning"),
]
SECRETS = re.compile("|".join([*PASSWORDS.values(), "wr0ng", "locked"]))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    need(security.missing())
    broker = security.start(tmp_path_factory.mktemp("secure"))
    yield broker
    broker.broker.stop()


@pytest.fixture(autouse=True)
def nothing_left_over() -> Iterator[None]:
    """Such sockets go while this module's warnings are in force."""
    yield
    gc.collect()


class _Listener:
    def assigned(self, partitions: frozenset[int]) -> None: ...

    def revoked(self, partitions: frozenset[int], token: GroupToken | None) -> None: ...

    def lost(self, partitions: frozenset[int]) -> None: ...


def use_everything(bus: Bus, prefix: str) -> None:
    """Admin, both producers, consumers with and without a group, and a member of one."""
    topic = f"{prefix}.observations"
    bus.ensure_topics([Topic(topic, 1)])
    producer = bus.producer(f"{prefix}-tx")
    producer.send([Outgoing(topic, 0, b"k", b"sent")])
    producer.flush(20.0)
    producer.commit([Outgoing(topic, 0, b"k", b"committed")])
    for group in (None, f"{prefix}.readers"):
        consumer = bus.consumer([topic], group=group)
        values: list[bytes | None] = []
        while len(values) < 2:  # bounded by the test's own time limit
            values += [record.value for record in consumer.poll(1.0)]
        assert values == [b"sent", b"committed"]
        if group is not None:
            consumer.commit()
        consumer.close()
    assert bus.latest(topic, 0)[b"k"].value == b"committed"
    member = bus.member(topic, f"{prefix}.members", _Listener(), Load("w", 1))
    read = 0
    while read < 2:
        read += len(member.poll(1.0))
    member.commit({0: 3})
    member.close()


def address(secure: SecureBroker, listener: str, *options: str, user: str = "") -> str:
    given = "&".join(["wait_s=1", *options])
    return f"kafka://{user and user + '@'}{secure.where(listener)}?{given}"


def alice() -> str:
    return f"alice:{PASSWORDS['alice']}"


@pytest.mark.parametrize(
    ("listener", "options", "user"),
    [
        ("SASL_SSL", ["ca_file={ca}", "mechanism=PLAIN"], True),
        ("SASL_SSL", ["ca_file={ca}", "mechanism=SCRAM-SHA-256"], True),
        ("SASL_SSL", ["ca_file={ca}", "mechanism=SCRAM-SHA-512"], True),
        ("SASL_PLAINTEXT", ["security=sasl_plaintext", "mechanism=SCRAM-SHA-512"], True),
        ("SSL", ["ca_file={ca}", "cert_file={client}", "key_file={key}"], False),
        ("SSL", ["ca_file={ca}", "cert_file={client}", "key_file={locked}", "key_password_file={unlock}"], False),
        ("ELSEWHERE", ["ca_file={ca}", "check_hostname=false"], False),
    ],
)
def test_with_the_right_credentials_everything_works(
    secure: SecureBroker, prefix: str, tmp_path: Path, listener: str, options: list[str], user: bool
) -> None:
    (tmp_path / "unlock").write_text("locked\n")
    files = {
        "ca": secure.file("ca.pem"),
        "client": secure.file("client.pem"),
        "key": secure.file("client.key"),
        "locked": secure.file("client-locked.key"),
        "unlock": tmp_path / "unlock",
    }
    filled = [option.format(**files) for option in options]
    bus = open_bus(address(secure, listener, *filled, "wait_s=10", user=alice() if user else ""))
    use_everything(bus, prefix)
    bus.close()


def test_the_password_may_lie_in_a_file_or_in_the_environment(
    secure: SecureBroker, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text(PASSWORDS["alice"] + "\nsecond line\n")
    monkeypatch.setenv("BUS_PASSWORD", PASSWORDS["alice"])
    for way in (f"password_file={tmp_path}/password", "password_env=BUS_PASSWORD"):
        bus = open_bus(address(secure, "SASL_SSL", f"ca_file={secure.file('ca.pem')}", way, user="alice"))
        bus.ensure_topics([Topic(f"{prefix}.t", 1)])
        assert PASSWORDS["alice"] not in repr(vars(bus))
        bus.close()


@pytest.mark.parametrize(
    ("listener", "options", "user", "words"),
    [
        ("SASL_SSL", ["ca_file={ca}"], "alice:wr0ng", r"do not accept the user alice with this password \(PLAIN\)"),
        (
            "SASL_SSL",
            ["ca_file={ca}", "mechanism=SCRAM-SHA-256"],
            "nobody:wr0ng",
            r"do not accept the user nobody with this password \(SCRAM-SHA-256\)",
        ),
        ("SASL_SSL", ["ca_file={other}"], "alice:wr0ng", "ca_file .*other-ca.pem does not vouch for their certificate"),
        ("ELSEWHERE", ["ca_file={ca}"], "", "certificate is not for 127.0.0.1"),
        ("SSL", ["ca_file={ca}"], "", "do not accept our certificate .* set cert_file"),
        ("SASL_PLAINTEXT", ["ca_file={ca}"], "alice:wr0ng", "TLS fails there"),
    ],
)
def test_a_wrong_password_or_certificate_is_one_sentence_for_whoever_asks_first(
    secure: SecureBroker, prefix: str, listener: str, options: list[str], user: str, words: str
) -> None:
    files = {"ca": secure.file("ca.pem"), "other": secure.file("other-ca.pem")}
    url = address(secure, listener, *(option.format(**files) for option in options), user=user)
    bus = open_bus(url)
    with pytest.raises(BusUnavailable, match=words) as told:
        bus.ensure_topics([Topic(f"{prefix}.t", 1)])
    assert len(str(told.value)) < 300
    assert not SECRETS.search(str(told.value))
    bus.close()


def test_a_transactional_producer_is_told_too(secure: SecureBroker, prefix: str) -> None:
    bus = open_bus(address(secure, "SASL_SSL", f"ca_file={secure.file('ca.pem')}", user="alice:wr0ng"))
    with pytest.raises(BusUnavailable, match="with this password"):
        bus.producer(f"{prefix}-tx")
    bus.close()


def allow_guest(secure: SecureBroker, prefix: str, operation: ACLOperation) -> None:
    admin = kafka.KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{secure.broker.port}")
    pattern = ResourcePattern(ResourceType.TOPIC, prefix, ACLResourcePatternType.PREFIXED)
    admin.create_acls([ACL("User:guest", "*", operation, ACLPermissionType.ALLOW, pattern)])
    admin.close()


def write(producer: Producer, topic: str) -> None:
    producer.send([Outgoing(topic, 0, b"k", b"v")])
    producer.flush(5.0)


def read(consumer: Consumer) -> None:
    while True:  # bounded by the test's own time limit
        consumer.poll(1.0)


def test_missing_rights_are_one_sentence(secure: SecureBroker, prefix: str) -> None:
    topic = f"{prefix}.observations"
    ca = f"ca_file={secure.file('ca.pem')}"
    owner = open_bus(address(secure, "SASL_SSL", ca, user=alice()))
    owner.ensure_topics([Topic(topic, 1)])
    owner.close()
    bus = open_bus(address(secure, "SASL_SSL", ca, user=f"guest:{PASSWORDS['guest']}"))
    told: list[BusError] = []
    with pytest.raises(BusUnavailable, match=r"do not allow the user guest .*TopicAuthorizationFailed") as first:
        bus.ensure_topics([Topic(f"{prefix}.new", 1)])
    told.append(first.value)
    with pytest.raises(BusUnavailable, match="TransactionalIdAuthorizationFailed") as second:
        bus.producer(f"{prefix}-tx")
    told.append(second.value)
    allow_guest(secure, prefix, ACLOperation.DESCRIBE)
    producer = bus.producer()
    with pytest.raises((BusUnavailable, DeliveryFailed), match="AuthorizationFailed") as third:
        write(producer, topic)  # who may write to no topic at all gets no producer id
    told.append(third.value)
    allow_guest(secure, f"{prefix}.elsewhere", ACLOperation.WRITE)
    with pytest.raises((BusUnavailable, DeliveryFailed), match=r"observations.*TopicAuthorizationFailed") as refused:
        write(bus.producer(), topic)
    told.append(refused.value)
    allow_guest(secure, prefix, ACLOperation.READ)
    consumer = bus.consumer([topic], group=f"{prefix}.g")
    with pytest.raises(BusUnavailable, match="GroupAuthorizationFailed") as fourth:
        read(consumer)
    told.append(fourth.value)
    consumer.close()
    bus.close()
    assert all(len(str(error)) < 300 and not SECRETS.search(str(error)) for error in told)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("kafka://alice@h", "needs a user and a password"),
        ("kafka://h?security=sasl_ssl", "needs a user and a password"),
        ("kafka://a:b@h?security=ssl", "takes no user"),
        ("kafka://a:b@h?mechanism=GSSAPI", "mechanism must be one of PLAIN"),
        ("kafka://a:b@h?password_env=X", "give the bus address's password once"),
        ("kafka://a@h?password_env=NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE is not set"),
        ("kafka://a@h?password_file=/none", "password_file /none is not a file"),
        ("kafka://h?ca_file=/none", "ca_file /none is not a file"),
        ("kafka://h?ca_file={empty}", "holds no certificates"),
        ("kafka://h?cert_file={empty}", "cannot be used"),
        ("kafka://h?security=plaintext&ca_file={empty}", "takes no certificates"),
        ("kafka://h?ca_file={ca}&key_file={empty}", "no cert_file"),
        ("kafka://h?ca_file={ca}&cert_file={cert}&key_file={locked}", "needs key_password_file"),
        ("kafka://h?check_hostname=maybe", "true or false"),
    ],
)
def test_wrong_options_are_said_at_once(secure: SecureBroker, tmp_path: Path, url: str, words: str) -> None:
    (tmp_path / "empty").touch()
    files = {"ca": secure.file("ca.pem"), "cert": secure.file("client.pem"), "locked": secure.file("client-locked.key")}
    with pytest.raises(UsageError, match=words):
        open_bus(url.format(empty=tmp_path / "empty", **files))
