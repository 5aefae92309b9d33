"""An RTSP server of GStreamer's, a program of its own for the system's Python: `rtsp_server.py --clip camera.mp4`.

It shows an H.264 clip without B-frames for ever, or a made-up picture, as a camera does: what it shows depends on the
time of day, not on who looks. It says its port on the first line. SIGUSR1 mutes the picture with the connections
alive, SIGUSR2 lets it go on.
"""

from __future__ import annotations

import argparse
import bisect
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

_READ = (
    "filesrc name=file ! qtdemux ! h264parse config-interval=-1 "
    "! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=out sync=false"
)
_CLIP = (
    "( appsrc name=feed is-live=true format=time do-timestamp=true "
    "caps=video/x-h264,stream-format=byte-stream,alignment=au "
    "! h264parse ! rtph264pay name=pay0 pt=96 )"
)
_PATTERN = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width={width},height={height},framerate={rate}/1 "
    "! x264enc speed-preset=ultrafast bframes=0 rc-lookahead=0 threads=1 key-int-max={rate} "
    "! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


class Clip:
    """The access units of a clip, each with its place in it, in seconds."""

    def __init__(self, gst: Any, path: str) -> None:
        self.units: list[bytes] = []
        self._keys_s: list[float] = []
        self._keys: list[int] = []
        self.times_s: list[float] = []
        pipeline = gst.parse_launch(_READ)
        pipeline.get_by_name("file").set_property("location", path)
        pipeline.set_state(gst.State.PLAYING)
        out = pipeline.get_by_name("out")
        length_s = 0.0
        while (sample := out.emit("pull-sample")) is not None:
            buffer = sample.get_buffer()
            at_s = buffer.pts / gst.SECOND
            if not buffer.has_flags(gst.BufferFlags.DELTA_UNIT):
                self._keys_s.append(at_s)
                self._keys.append(len(self.units))
            self.units.append(buffer.extract_dup(0, buffer.get_size()))
            self.times_s.append(at_s)
            length_s = at_s + buffer.duration / gst.SECOND
        pipeline.set_state(gst.State.NULL)
        if not self._keys:
            raise SystemExit(f"{path} has no H.264 pictures")
        self.length_s = length_s - self.times_s[0]

    def begin(self, wall_s: float) -> int:
        """The key frame that is on show at a time of day."""
        place_s = self.times_s[0] + wall_s % self.length_s
        return self._keys[max(0, bisect.bisect_right(self._keys_s, place_s) - 1)]


class Show:
    """Feeds the clip to whoever looks, one thread for each opening of the picture."""

    def __init__(self, gst: Any, clip: Clip) -> None:
        self._gst = gst
        self._clip = clip
        self.muted = threading.Event()

    def configure(self, _factory: Any, media: Any) -> None:
        """A picture is about to be sent: start feeding it until it is taken down."""
        gone = threading.Event()
        media.connect("unprepared", lambda *_: gone.set())
        feed = media.get_element().get_by_name("feed")
        threading.Thread(target=self._feed, args=(feed, gone), daemon=True).start()

    def _feed(self, feed: Any, gone: threading.Event) -> None:
        clip = self._clip
        number = clip.begin(time.time())
        due_s = time.monotonic()
        while not gone.wait(max(0.0, due_s - time.monotonic())):
            if not self.muted.is_set():
                buffer = self._gst.Buffer.new_wrapped(clip.units[number])
                if feed.emit("push-buffer", buffer) != self._gst.FlowReturn.OK:
                    return
            at_s = clip.times_s[number]
            number = (number + 1) % len(clip.units)
            due_s += (clip.times_s[number] - at_s) if number else (clip.length_s - (at_s - clip.times_s[0]))


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--path", default="/camera")
    parser.add_argument("--clip")
    parser.add_argument("--pattern", default="320x180@10")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--auth", choices=("basic", "digest"), default="digest")
    parser.add_argument("--transport", choices=("tcp", "udp", "any"), default="any")
    given = parser.parse_args()

    import gi  # type: ignore[import-not-found]  # the system's; this file runs under the system's Python

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtsp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # type: ignore[import-not-found]

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(given.port))
    factory = GstRtspServer.RTSPMediaFactory()
    if given.clip:
        show = Show(Gst, Clip(Gst, given.clip))
        factory.set_launch(_CLIP)
        factory.connect("media-configure", show.configure)
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGUSR1, lambda: _done(show.muted.set))
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGUSR2, lambda: _done(show.muted.clear))
    else:
        size, _, rate = given.pattern.partition("@")
        width, _, height = size.partition("x")
        factory.set_launch(_PATTERN.format(width=int(width), height=int(height), rate=int(rate)))
    factory.set_shared(True)
    over = GstRtsp.RTSPLowerTrans
    factory.set_protocols({"tcp": over.TCP, "udp": over.UDP, "any": over.TCP | over.UDP}[given.transport])
    if given.user:
        _ask_for_credentials(GstRtsp, GstRtspServer, server, factory, given)
    server.get_mount_points().add_factory(given.path, factory)
    if not server.attach(None):
        raise SystemExit(f"port {given.port} is taken")
    GLib.timeout_add_seconds(2, lambda: server.get_session_pool().cleanup() >= 0)
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


def _done(what: Callable[[], None]) -> bool:
    what()
    return True  # and again the next time


def _ask_for_credentials(rtsp: Any, library: Any, server: Any, factory: Any, given: argparse.Namespace) -> None:
    auth = library.RTSPAuth()
    token = library.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if given.auth == "basic":
        auth.set_supported_methods(rtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(library.RTSPAuth.make_basic(given.user, given.password), token)
    else:
        auth.set_supported_methods(rtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(given.user, given.password, token)
    server.set_auth(auth)
    allowed = library.RTSPPermissions()
    allowed.add_role("viewer")
    allowed.add_permission_for_role("viewer", "media.factory.access", True)
    allowed.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(allowed)


if __name__ == "__main__":
    main()
