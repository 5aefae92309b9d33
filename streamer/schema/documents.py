"""The published schema: JSON Schema of every record, and the AsyncAPI document that says which lies in which topic."""

from __future__ import annotations

from typing import Any

import msgspec

from streamer.bus.topics import CONTENT_TYPE_HEADER, Topics, topics
from streamer.config import TopicSettings
from streamer.messages import CONTENT_TYPE, SCHEMA_VERSION
from streamer.schema.words import KEYS, LIES_IN, PARTS, RECORDS, SAYS, meaning

_WRITTEN_BY_OTHERS = ("streams", "jobs")


def json_schemas() -> dict[str, Any]:
    """JSON Schema (2020-12) of every record: one document, the records and their parts under `$defs`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "affect-streamer messages",
        "description": f"Version {SCHEMA_VERSION}. Fields are only ever added: ignore what is not named here.",
        "$defs": _definitions("#/$defs/{name}"),
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: the topics with the default prefix, and what lies in them."""
    names = topics(TopicSettings())
    channels = {name: _channel(name, getattr(names, name)) for name in Topics.__slots__ if name in LIES_IN}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "affect-streamer",
            "version": f"{SCHEMA_VERSION}.0.0",
            "description": "What the faces in many video streams express, as records on Kafka topics.",
        },
        "defaultContentType": CONTENT_TYPE["msgpack"].decode(),
        "channels": channels,
        "operations": {name: _operation(name, channel) for name, channel in channels.items()},
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in RECORDS},
            "schemas": _definitions("#/components/schemas/{name}"),
        },
    }


def _definitions(reference: str) -> dict[str, Any]:
    _, parts = msgspec.json.schema_components(RECORDS, ref_template=reference)
    for kind in (*RECORDS, *PARTS):
        for field, schema in parts[kind.__name__]["properties"].items():
            to = schema.pop("$ref", None)
            if to is not None:
                schema["allOf"] = [{"$ref": to}]
            schema["description"] = meaning(kind, field)
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(parts))  # defaults become lists, as in the file
    return plain


def _channel(name: str, topic: Any) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": f"{SAYS[name]}. The key is the {KEYS.get(name, 'stream id')}.".replace("`", ""),
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in LIES_IN[name]},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {"cleanup.policy": topic.cleanup.split(",")},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(name: str, channel: dict[str, Any]) -> dict[str, Any]:
    return {
        "action": "receive" if name in _WRITTEN_BY_OTHERS else "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{message}"} for message in channel["messages"]],
    }


def _message(kind: type[msgspec.Struct]) -> dict[str, Any]:
    types = [content.decode() for content in CONTENT_TYPE.values()]
    return {
        "name": kind.__name__,
        "contentType": CONTENT_TYPE["msgpack"].decode(),
        "headers": {
            "type": "object",
            "properties": {CONTENT_TYPE_HEADER: {"type": "string", "enum": types, "default": types[0]}},
        },
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
    }
