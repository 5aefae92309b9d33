from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streamer.bus.kafka_options import KafkaOptions, parse
from streamer.bus.open import open_bus
from streamer.bus.sqlite import SqliteBus
from streamer.config import TopicSettings
from streamer.errors import BusUnavailable, UsageError


def test_relative_and_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url, path in (
        ("sqlite:///here.db", "here.db"),
        (f"sqlite:///{tmp_path}/ab%20so.db?max_record_bytes=10", f"{tmp_path}/ab so.db"),
    ):
        bus = open_bus(url)
        assert isinstance(bus, SqliteBus)
        assert bus.path == Path(path)
        bus.close()
    assert {path.name for path in tmp_path.glob("*.db")} == {"here.db", "ab so.db"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("affect.db", "sqlite:// or kafka://"),
        ("http://user:hush@host/x", "sqlite:// or kafka://"),
        ("", "sqlite:// or kafka://"),
        ("sqlite://", "sqlite:///relative.db"),
        ("sqlite:///", "sqlite:///relative.db"),
        ("sqlite://host/x.db", "sqlite:///relative.db"),
        ("sqlite:///:memory:", "must be a file"),
        ("sqlite:///x.db?mode=ro", "mode"),
        ("sqlite:///x.db?max_record_bytes=lots", "max_record_bytes"),
        ("kafka://", "kafka://host:port"),
        ("kafka:///x", "kafka://host:port"),
        ("kafka://h/topic", "kafka://host:port"),
        ("kafka://h:port", "not a number"),
        ("kafka://h?lingerms=3", "unknown option lingerms"),
        ("kafka://h?linger_ms=soon", "linger_ms must be a number"),
        ("kafka://h?password=hush", "unknown option password"),
        ("kafka://h?compression=zstd", "none or gzip"),
        ("kafka://h?security=tls", "one of plaintext"),
        ("kafka://h?wait_s=0", "more than 0"),
    ],
)
def test_a_wrong_address_says_what_a_right_one_is(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        open_bus(url)
    assert "hush" not in str(error.value)


def test_a_reader_does_not_create_the_file(tmp_path: Path) -> None:
    with pytest.raises(BusUnavailable, match=r"there is no bus at .*x\.db"):
        open_bus(f"sqlite:///{tmp_path}/x.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_kafka_address_is_read_whole() -> None:
    url = "kafka://me:h%40sh@a:1,b,[::1]:3?mechanism=SCRAM-SHA-256&linger_ms=5&wait_s=2.5&compression=gzip"
    options = parse(url, TopicSettings(replication_factor=3))
    assert options == KafkaOptions(
        servers=("a:1", "b:9092", "[::1]:3"),
        username="me",
        password="h@sh",
        security="sasl_ssl",
        mechanism="SCRAM-SHA-256",
        linger_ms=5,
        wait_s=2.5,
        compression="gzip",
        replication_factor=3,
    )
    assert "h@sh" not in repr(options)
    assert options.client()["sasl_plain_password"] == "h@sh"
    assert "sasl_mechanism" not in parse("kafka://a", TopicSettings()).client()


def test_an_sqlite_bus_does_not_pay_for_the_kafka_client() -> None:
    program = "import sys, streamer.bus.open, streamer.client, streamer.tail; sys.exit('kafka' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
