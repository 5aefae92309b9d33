"""Our policy of sharing partitions out, as the Kafka library wants it: the group's leader runs it for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from kafka.coordinator.assignors.abstract import AbstractPartitionAssignor, RebalanceProtocol
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription

from streamer.bus.group import Card, deal

_VERSION = 1  # of the library's messages: the first that tells owned partitions


class CapacityAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # the library has no types
    """For one member and one topic: `card` is asked at each rebalance what the member tells the leader.

    The leader answers, beside what a member may have now, what it was `promised`: partitions that others let go of
    first. Called on the library's thread.
    """

    name = "affect-capacity"

    def __init__(self, topic: str, partitions: int, card: Callable[[], Card]) -> None:
        self._topic = topic
        self._partitions = partitions
        self._card = card
        self.promised: frozenset[int] = frozenset()

    def supported_protocols(self) -> list[RebalanceProtocol]:
        return [RebalanceProtocol.COOPERATIVE]

    def metadata(self, topics: Any) -> ConsumerProtocolSubscription:
        card = self._card()
        place = ConsumerProtocolSubscription.TopicPartition
        return ConsumerProtocolSubscription(
            version=_VERSION,
            topics=sorted(topics),
            user_data=msgspec.msgpack.encode(card),
            owned_partitions=[place(topic=self._topic, partitions=list(card.owned))] if card.owned else [],
        )

    def assign(self, cluster: Any, members: Sequence[Any]) -> dict[str, ConsumerProtocolAssignment]:
        del cluster  # the number of partitions is a setting of ours
        cards = {each.member_id: msgspec.msgpack.decode(each.metadata.user_data, type=Card) for each in members}
        return {
            member: ConsumerProtocolAssignment(
                _VERSION,
                [(self._topic, sorted(shares.now))] if shares.now else [],
                msgspec.msgpack.encode(sorted(shares.promised)),
            )
            for member, shares in deal(range(self._partitions), cards).items()
        }

    def on_assignment(self, assignment: ConsumerProtocolAssignment, generation: int) -> None:
        del generation
        promised = msgspec.msgpack.decode(assignment.user_data, type=list[int]) if assignment.user_data else []
        self.promised = frozenset(promised)
