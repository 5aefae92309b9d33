"""Who is in a group on Kafka, and how far it is, asked of the brokers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from kafka import errors
from kafka.admin import OffsetSpec

from streamer.bus.group import Card
from streamer.bus.protocol import GroupSeen, MemberSeen

_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


def seen(admin: Any, topic: str, group: str) -> GroupSeen:
    """The group as `Bus.group` tells it. Raises what the library raises."""
    described = admin.describe_groups([group])[group]
    if described["error"]:
        return GroupSeen((), {})
    members = [_member(each, topic) for each in described["members"]]
    return GroupSeen(
        tuple(sorted((each for each in members if each is not None), key=lambda member: member.name)),
        _lag(admin, topic, group),
        described["group_state"] in ("Stable", "Empty", "Dead"),
    )


def _member(described: dict[str, Any], topic: str) -> MemberSeen | None:
    """A member by what it told the leader; one of another program has no capacity that we know of."""
    told, given = described["member_metadata"], described["member_assignment"]
    if told and topic not in told["topics"]:
        return None
    partitions = frozenset(_partitions(given["assigned_partitions"] if given else (), topic))
    try:
        card = msgspec.msgpack.decode(_bytes_of(told["user_data"] or ""), type=Card)
    except (msgspec.MsgspecError, TypeError):
        return MemberSeen(described["client_id"], 0, 0.0, partitions, 0.0, 0.0)
    known = [card.known[each] for each in partitions if each in card.known]
    return MemberSeen(
        card.name,
        card.max_units,
        card.max_rate,
        partitions,
        sum(each.units for each in known),
        sum(each.rate for each in known),
    )


def _bytes_of(shown: str) -> bytes:
    """Undo how the library shows bytes in a description: as UTF-8, what is none as `\\xNN`."""
    pieces = _ESCAPED.split(shown)  # every second piece is a byte in hex
    return b"".join(bytes.fromhex(piece) if k % 2 else piece.encode() for k, piece in enumerate(pieces))


def _partitions(assigned: Iterable[Any], topic: str) -> Iterable[int]:
    return (partition for each in assigned if each["topic"] == topic for partition in each["partitions"])


def _lag(admin: Any, topic: str, group: str) -> dict[int, int]:
    try:
        committed = admin.list_group_offsets({group: None})[group]
    except errors.GroupIdNotFoundError:
        return {}
    places = {place: at.offset for place, at in committed.items() if place.topic == topic and at.offset >= 0}
    if not places:
        return {}
    ends = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
    return {place.partition: max(0, ends[place].offset - at) for place, at in places.items()}
