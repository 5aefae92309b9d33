"""One frame of the film: the picture, what was seen in it, and the last seconds below."""

from __future__ import annotations

from streamer.annotate.canvas import Canvas
from streamer.annotate.faces import draw_faces
from streamer.annotate.layout import Layout
from streamer.annotate.recorded import Recording, Seen
from streamer.annotate.trace import Traces
from streamer.types import Frame

_SAMPLED = 1.5
"""Where observations lie this much further apart than frames, the run did not look at every frame."""


class Drawing:
    """Paints the frames of one film in their order. `fps` is the source's."""

    def __init__(self, recording: Recording, layout: Layout, fps: float) -> None:
        self.layout = layout
        self._recording = recording
        step_s = recording.step_s
        self._hold_s = step_s if step_s > _SAMPLED / fps else 0.0
        self._traces = Traces(step_s)
        self._standing: tuple[Seen, ...] = ()
        self._seen_s = 0.0

    def paint(self, canvas: Canvas, frame: Frame) -> tuple[Seen, ...]:
        """Paint all of it; the faces that were seen in this very frame.

        Of a run that looked at some frames only, what was seen stands until the usual time of the next look.
        """
        now_s = frame.media_time_s
        faces = self._recording.at(frame.pts, now_s)
        if faces or now_s >= self._seen_s + 0.999 * self._hold_s:
            self._standing, self._seen_s = faces, now_s
        width, height = self.layout.picture_wh
        self._traces.add(now_s, faces)
        canvas.show(frame.picture, width, height)
        draw_faces(canvas, self.layout, self._standing, self._traces.colours)
        canvas.put(self._traces.draw(now_s, self.layout), 0, height)
        return faces
