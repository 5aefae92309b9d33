"""A video with what a run saw drawn in, from the records on the bus: no model is loaded, nothing is inferred anew."""

from streamer.annotate.annotate import Annotated as Annotated
from streamer.annotate.annotate import Progress as Progress
from streamer.annotate.annotate import annotate as annotate
from streamer.annotate.recorded import RunChoice as RunChoice
