"""What messages and settings are, for machines (docs/schema) and for people (docs/messages.md, docs/configuration.md).

`python -m streamer.schema docs/messages.md` writes all of it anew.
"""

from streamer.schema.compatibility import Changes, changes
from streamer.schema.configuration import configuration_page, configuration_schema, settings, variable_of
from streamer.schema.documents import asyncapi, json_schemas
from streamer.schema.tables import fields_table, topics_table, write_tables
from streamer.schema.words import PARTS, RECORDS, meaning

__all__ = [
    "PARTS",
    "RECORDS",
    "Changes",
    "asyncapi",
    "changes",
    "configuration_page",
    "configuration_schema",
    "fields_table",
    "json_schemas",
    "meaning",
    "settings",
    "topics_table",
    "variable_of",
    "write_tables",
]
