"""The table of who reads which partition, in an SQLite bus: each function is called inside of an open transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from streamer.bus.group import Card, Known, deal
from streamer.bus.protocol import GroupSeen, GroupToken, Load, MemberSeen
from streamer.errors import Fenced


class Team(NamedTuple):
    """A group on one topic, by its number in the file."""

    reader: str
    topic: int


class Lease(NamedTuple):
    """One partition as its table says."""

    partition: int
    owner: str | None
    target: str | None
    next_offset: int


def join(
    connection: sqlite3.Connection,
    team: Team,
    name: str,
    instance: str | None,
    load: Load,
    now_s: float,
    session_s: float,
) -> None:
    """Enter a member. One with the `instance` of another takes its place, and nothing moves."""
    connection.execute("INSERT OR IGNORE INTO team VALUES (?, ?, 0, 0)", team)
    earlier = None
    if instance is not None:
        earlier = connection.execute(
            "SELECT name FROM member WHERE reader = ? AND topic = ? AND instance = ?", (*team, instance)
        ).fetchone()
    if earlier is not None:
        _give_up_name(connection, team, earlier[0], name)
    connection.execute(
        "INSERT INTO member SELECT ?, ?, ?, ?, generation, ?, ?, ? FROM team WHERE reader = ? AND topic = ?",
        (*team, name, instance, now_s, session_s, msgspec.msgpack.encode(load), *team),
    )
    if earlier is None:
        ask(connection, team)


def ask(connection: sqlite3.Connection, team: Team) -> None:
    """Have the partitions shared out anew."""
    connection.execute("UPDATE team SET stale = 1 WHERE reader = ? AND topic = ?", team)


def is_member(connection: sqlite3.Connection, team: Team, name: str) -> bool:
    """Whether nobody has dropped the member."""
    query = "SELECT 1 FROM member WHERE reader = ? AND topic = ? AND name = ?"
    return connection.execute(query, (*team, name)).fetchone() is not None


def show(connection: sqlite3.Connection, team: Team, name: str, load: Load, now_s: float) -> None:
    """The member is alive and carries `load`."""
    connection.execute(
        "UPDATE member SET seen_s = ?, load = ? WHERE reader = ? AND topic = ? AND name = ?",
        (now_s, msgspec.msgpack.encode(load), *team, name),
    )
    connection.executemany(
        "UPDATE lease SET units = ?, rate = ? WHERE reader = ? AND topic = ? AND partition = ? AND owner = ?",
        [(units, rate, *team, partition, name) for partition, units, rate in load.partitions],
    )


def drop_silent(connection: sqlite3.Connection, team: Team, now_s: float) -> None:
    """Take out who was not seen for its session timeout (or is of an earlier life of the machine)."""
    silent = connection.execute(
        "SELECT name FROM member WHERE reader = ? AND topic = ? AND (? - seen_s > session_s OR seen_s > ?)",
        (*team, now_s, now_s + 1.0),
    ).fetchall()
    for (name,) in silent:
        leave(connection, team, name)


def leave(connection: sqlite3.Connection, team: Team, name: str) -> None:
    """Take a member out; its partitions are free."""
    connection.execute("DELETE FROM member WHERE reader = ? AND topic = ? AND name = ?", (*team, name))
    _give_up_name(connection, team, name, None)
    ask(connection, team)


def settle(connection: sqlite3.Connection, team: Team, partitions: int) -> None:
    """Share out what is to be shared out, if anybody asked for it: a new generation begins."""
    query = "SELECT generation, stale FROM team WHERE reader = ? AND topic = ?"
    generation, stale = connection.execute(query, team).fetchone()
    if not stale:
        return
    connection.executemany(
        "INSERT OR IGNORE INTO lease (reader, topic, partition) VALUES (?, ?, ?)",
        [(*team, partition) for partition in range(partitions)],
    )
    for member, shares in deal(range(partitions), _cards(connection, team, generation)).items():
        connection.executemany(
            "UPDATE lease SET target = ? WHERE reader = ? AND topic = ? AND partition = ?",
            [(member, *team, partition) for partition in shares.now | shares.promised],
        )
    connection.execute("UPDATE team SET generation = generation + 1, stale = 0 WHERE reader = ? AND topic = ?", team)


def take(connection: sqlite3.Connection, team: Team, name: str) -> tuple[int, list[Lease]]:
    """Have the member own what is free and meant for it; the generation it knows from now on, and its leases."""
    connection.execute(
        "UPDATE lease SET owner = target WHERE reader = ? AND topic = ? AND owner IS NULL AND target = ?",
        (*team, name),
    )
    (generation,) = connection.execute(
        "UPDATE member SET generation = (SELECT generation FROM team WHERE reader = ? AND topic = ?)"
        " WHERE reader = ? AND topic = ? AND name = ? RETURNING generation",
        (*team, *team, name),
    ).fetchall()[0]
    rows = connection.execute(
        "SELECT partition, owner, target, next_offset FROM lease WHERE reader = ? AND topic = ? AND owner = ?",
        (*team, name),
    )
    return generation, [Lease(*row) for row in rows]


def let_go(connection: sqlite3.Connection, team: Team, name: str, partitions: Iterable[int]) -> None:
    """The member no longer reads these partitions."""
    connection.executemany(
        "UPDATE lease SET owner = NULL WHERE reader = ? AND topic = ? AND partition = ? AND owner = ?",
        [(*team, partition, name) for partition in partitions],
    )


def is_called(connection: sqlite3.Connection, team: Team, name: str, generation: int) -> bool:
    """Whether there is something for the member to see to before its next turn (needs no transaction)."""
    found = connection.execute(
        "SELECT (SELECT generation > ? OR stale FROM team WHERE reader = ? AND topic = ?) OR EXISTS"
        " (SELECT 1 FROM lease WHERE reader = ? AND topic = ? AND target = ? AND owner IS NULL)",
        (generation, *team, *team, name),
    ).fetchone()
    return bool(found[0])


def remember(connection: sqlite3.Connection, team: Team, token: GroupToken, offsets: Mapping[int, int]) -> None:
    """Move the group's positions. Raises `Fenced` unless `token` is what the member knows now and it owns them all."""
    row = connection.execute(
        "SELECT generation FROM member WHERE reader = ? AND topic = ? AND name = ?", (*team, token.member)
    ).fetchone()
    moved = 0
    if row is not None and row[0] == token.generation:
        for partition, next_offset in offsets.items():
            moved += connection.execute(
                "UPDATE lease SET next_offset = ? WHERE reader = ? AND topic = ? AND partition = ? AND owner = ?",
                (next_offset, *team, partition, token.member),
            ).rowcount
    if moved < len(offsets) or row is None or row[0] != token.generation:
        raise Fenced(
            f"group {team.reader} moved on without this member: its position was not remembered, the partition's new"
            " owner reads those records again"
        )


def seen(connection: sqlite3.Connection, team: Team, now_s: float) -> GroupSeen:
    """The group as somebody else sees it, who changes nothing: the silent are left out."""
    leases = connection.execute(
        "SELECT partition, owner, target, units, rate, next_offset FROM lease WHERE reader = ? AND topic = ?", team
    ).fetchall()
    members = connection.execute(
        "SELECT name, load FROM member WHERE reader = ? AND topic = ? AND ? - seen_s <= session_s AND seen_s <= ?",
        (*team, now_s, now_s + 1.0),
    ).fetchall()
    ends = dict(connection.execute("SELECT partition, next_offset FROM head WHERE topic = ?", (team.topic,)))
    found = []
    for member, packed in members:
        load = msgspec.msgpack.decode(packed, type=Load)
        owned = [each for each in leases if each[1] == member]
        found.append(
            MemberSeen(
                load.name,
                load.max_units,
                load.max_rate,
                frozenset(each[0] for each in owned),
                sum(each[3] or 0.0 for each in owned),
                sum(each[4] or 0.0 for each in owned),
            )
        )
    return GroupSeen(
        tuple(sorted(found, key=lambda member: member.name)),
        {each[0]: max(0, ends.get(each[0], 0) - each[5]) for each in leases},
        all(each[1] == each[2] for each in leases),
    )


def _cards(connection: sqlite3.Connection, team: Team, generation: int) -> dict[str, Card]:
    leases = connection.execute(
        "SELECT partition, owner, target, units, rate FROM lease WHERE reader = ? AND topic = ?", team
    ).fetchall()
    known = {partition: Known(units, rate, generation) for partition, _, _, units, rate in leases if units is not None}
    members = connection.execute("SELECT name, load FROM member WHERE reader = ? AND topic = ?", team).fetchall()
    cards = {}
    for name, packed in members:
        load = msgspec.msgpack.decode(packed, type=Load)
        cards[name] = Card(
            name=load.name,
            max_units=load.max_units,
            max_rate=load.max_rate,
            generation=generation,
            owned=tuple(each[0] for each in leases if each[1] == name),
            promised=tuple(each[0] for each in leases if each[1] != name and each[2] == name),
            known=known,
        )
    return cards


def _give_up_name(connection: sqlite3.Connection, team: Team, name: str, successor: str | None) -> None:
    connection.execute("DELETE FROM member WHERE reader = ? AND topic = ? AND name = ?", (*team, name))
    for column in ("owner", "target"):
        connection.execute(
            f"UPDATE lease SET {column} = ? WHERE reader = ? AND topic = ? AND {column} = ?",  # noqa: S608  # constant
            (successor, *team, name),
        )
