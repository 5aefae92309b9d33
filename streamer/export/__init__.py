"""Records as files that other tools read."""

from streamer.export.columns import columns as columns
from streamer.export.export import EXTENSIONS as EXTENSIONS
from streamer.export.export import Exported as Exported
from streamer.export.export import Format as Format
from streamer.export.export import export as export
from streamer.export.export import export_from_bus as export_from_bus
