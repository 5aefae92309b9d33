"""Everything `streamer` raises on purpose, each with a text that says what to do."""

from __future__ import annotations


class StreamerError(Exception):
    """Root of the package's errors. `cause` is a short, stable word for counters and records."""

    cause: str = "error"


class UsageError(StreamerError):
    """The command or configuration is wrong; exit code 2."""

    cause = "usage"


class SourceError(StreamerError):
    """A source cannot be opened or read; other sources go on."""

    cause = "source"


class SourceMissing(SourceError):
    """No such file, folder or device."""

    cause = "missing"


class SourceUnreadable(SourceError):
    """The file or device is there but may not be read."""

    cause = "unreadable"


class SourceEmpty(SourceError):
    """The file has no bytes."""

    cause = "empty"


class NotAVideo(SourceError):
    """The bytes are in no format that FFmpeg knows, or are damaged beyond opening."""

    cause = "not_a_video"


class NoVideoStream(SourceError):
    """The file opens but carries no video (audio only, subtitles, data)."""

    cause = "no_video_stream"


class AbsurdDimensions(SourceError):
    """Width or height is zero or beyond the configured limit."""

    cause = "absurd_dimensions"


class ResolutionChanged(SourceError):
    """The picture size changed in the middle of the stream; frames before the change are kept."""

    cause = "resolution_changed"


class SourceTruncated(SourceError):
    """The file ends before its container says it should; frames before the end are kept."""

    cause = "truncated"


class SourceDamaged(SourceError):
    """Too many packets in a row could not be decoded; frames before them are kept."""

    cause = "damaged"


class SourceUnreachable(SourceError):
    """A network source did not answer or refused."""

    cause = "unreachable"


class SourceUnauthorized(SourceError):
    """A network source wants other credentials, or refuses these."""

    cause = "unauthorized"


class SourceExpired(SourceError):
    """The address of a source stopped working, as it said it would: it is found anew."""

    cause = "expired"


class SourceStalled(SourceError):
    """A live source is connected but has given nothing for too long."""

    cause = "stalled"


class AddressRefused(SourceError):
    """A playlist, a redirect or a control record leads to an address that is not allowed."""

    cause = "refused"


class SourceUnsupported(SourceError):
    """A kind of source this version does not read."""

    cause = "unsupported"


class SourceBroke(SourceError):
    """Reading a source failed in a way nobody foresaw (a defect, or no memory left); frames before it are kept."""

    cause = "broke"


class BusError(StreamerError):
    """The bus refused or lost something."""

    cause = "bus"


class BusUnavailable(BusError):
    """The bus cannot be reached or opened."""

    cause = "bus_unavailable"


class BusFull(BusError):
    """No space is left for the bus; nothing half-written remains."""

    cause = "disk_full"


class TopicMismatch(BusError):
    """A topic exists with another partition count or cleanup policy."""

    cause = "topic_mismatch"


class DeliveryFailed(BusError):
    """The bus could not take a record (too large, refused, fenced).

    `refused` are the places, in the sequence that was given, of records that can never be taken; when there are
    any, nothing of that sequence was taken.
    """

    cause = "delivery_failed"

    def __init__(self, message: str, refused: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.refused = refused


class Fenced(DeliveryFailed):
    """Somebody else owns now what this was written for; nothing of it is visible."""

    cause = "fenced"


class TopicMissing(DeliveryFailed):
    """No such topic; topics are created through `ensure_topics` only."""

    cause = "topic_missing"


class UndecodableRecord(StreamerError):
    """Bytes on a topic that are no record of ours; goes to the dead letter with this cause."""

    cause = "undecodable"


class SnapshotRefused(StreamerError):
    """A snapshot of a newer version, damaged, or made by another model; the stream starts cold and says so."""

    cause = "snapshot_refused"


class ModelError(StreamerError):
    """A model is missing, wrong, or fails."""

    cause = "model"


class WorkerNotStarted(StreamerError):
    """The machine has no room for another worker process."""

    cause = "worker_not_started"


class NotFinite(StreamerError):
    """A model answered NaN, infinity or numbers beyond belief; the one observation is dropped with this cause."""

    cause = "not_finite"
