"""Records as files that other tools read."""

from streamer.export.columns import columns as columns
from streamer.export.export import Exported as Exported
from streamer.export.export import arrow_from_bus as arrow_from_bus
from streamer.export.export import export as export
from streamer.export.export import export_from_bus as export_from_bus
from streamer.export.export import export_videos as export_videos
from streamer.export.formats import EXTENSIONS as EXTENSIONS
from streamer.export.formats import FORMATS as FORMATS
from streamer.export.formats import Format as Format
