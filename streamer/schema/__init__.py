"""What the messages are, for machines (docs/schema) and for people (the tables in docs/messages.md).

`python -m streamer.schema docs/messages.md` writes both anew.
"""

from streamer.schema.compatibility import Changes, changes
from streamer.schema.documents import asyncapi, json_schemas
from streamer.schema.tables import fields_table, topics_table, write_tables
from streamer.schema.words import PARTS, RECORDS, meaning

__all__ = [
    "PARTS",
    "RECORDS",
    "Changes",
    "asyncapi",
    "changes",
    "fields_table",
    "json_schemas",
    "meaning",
    "topics_table",
    "write_tables",
]
