"""A stream as it is shown to those who ask over HTTP."""

from __future__ import annotations

from streamer.control.words import StreamShown
from streamer.messages import StreamDefinition
from streamer.source import redacted
from streamer.wishes.views import settings_of
from streamer.worker.streams import StreamView


def shown(definition: StreamDefinition, view: StreamView | None) -> StreamShown:
    """`definition` and, where anything of it runs here, how far it is. No secrets."""
    facts = settings_of(definition)
    if view is None:
        state = "paused" if definition.paused else "waiting"
        return StreamShown(
            stream=definition.stream, source=redacted(definition.source), mode="live", state=state, **facts
        )
    result, progress = view.result, view.progress
    return StreamShown(
        stream=definition.stream,
        source=result.source,
        mode=result.mode,
        state=progress.state,
        cause=result.cause,
        message=progress.message,
        media_time_s=round(progress.position_s, 3),
        frame_age_s=None if view.frame_age_s is None else round(view.frame_age_s, 3),
        reorder_delay_s=None if view.reorder_delay_s is None else round(view.reorder_delay_s, 3),
        decoded=result.decoded,
        analysed=result.analysed,
        faces=result.faces,
        records=result.records,
        corrupt_packets=result.corrupt_packets,
        restarts=result.restarts,
        dropped=result.dropped,
        **facts,
    )
