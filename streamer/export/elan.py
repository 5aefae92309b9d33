"""ELAN annotation files: one tier a face, one annotation a stretch of its label.

The format is EAF 3.0 (Max Planck Institute for Psycholinguistics, "ELAN Annotation Format", EAFv3.0.xsd).
"""

from __future__ import annotations

import codecs
import datetime as dt
import mimetypes
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

from streamer.export.labels import Stretch, face_name
from streamer.export.order import room_to_sort, temporary_database
from streamer.export.videos import Video
from streamer.messages import Track
from streamer.types import EXPRESSIONS

_TYPE, _VOCABULARY, _LANGUAGE = "expression", "expressions", "eng"
_UNSPEAKABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"


def write_elan(video: Video, stretches: Iterable[Stretch], into: BinaryIO) -> int:
    """An EAF 3.0 document; returns the number of annotations. Times are whole milliseconds of media time."""
    with closing(temporary_database()) as database, room_to_sort():
        _keep(stretches, database)
        writer = _Writer(into)
        with writer.document(video):
            _header(video, writer, database)
            _time_order(writer, database)
            _tiers(writer, database)
            _vocabulary(writer)
        return int(database.execute("SELECT count(*) FROM s").fetchone()[0])


class _Writer:
    """XML with an indented element a line, written as it comes."""

    def __init__(self, into: BinaryIO) -> None:
        text = codecs.getwriter("utf-8")(into, "xmlcharrefreplace")
        self._xml = XMLGenerator(text, "utf-8", short_empty_elements=True)
        self._depth = 0

    @contextmanager
    def document(self, video: Video) -> Iterator[None]:
        self._xml.startDocument()
        attributes = {
            "AUTHOR": "affect-streamer",
            "DATE": _date(video),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": _SCHEMA,
        }
        with self.element("ANNOTATION_DOCUMENT", attributes):
            yield
        self._xml.characters("\n")

    @contextmanager
    def element(self, name: str, attributes: dict[str, str] | None = None) -> Iterator[None]:
        self._begin(name, attributes)
        self._depth += 1
        yield
        self._depth -= 1
        self._line()
        self._xml.endElement(name)

    def leaf(self, name: str, attributes: dict[str, str] | None = None, text: str = "") -> None:
        self._begin(name, attributes)
        if text:
            self._xml.characters(_printable(text))
        self._xml.endElement(name)

    def _begin(self, name: str, attributes: dict[str, str] | None) -> None:
        if self._depth:
            self._line()
        said = {key: _printable(text) for key, text in (attributes or {}).items()}
        self._xml.startElement(name, AttributesImpl(said))

    def _line(self) -> None:
        self._xml.characters("\n" + "    " * self._depth)


def _keep(stretches: Iterable[Stretch], database: sqlite3.Connection) -> None:
    """The stretches in whole milliseconds: none is empty, and those of a face do not overlap, which ELAN forbids."""
    database.execute(
        "CREATE TABLE s (k INTEGER PRIMARY KEY, epoch INTEGER, number INTEGER, start_ms INTEGER, end_ms INTEGER,"
        " label TEXT)"
    )
    free_ms: dict[tuple[int, int], int] = {}

    def rows() -> Iterator[tuple[int, int, int, int, str]]:
        for s in stretches:
            face = (s.track.epoch, s.track.number)
            start_ms = max(round(s.start_s * 1000), free_ms.get(face, 0))
            free_ms[face] = end_ms = max(round(s.end_s * 1000), start_ms + 1)
            yield *face, start_ms, end_ms, s.label

    database.execute("BEGIN")
    database.executemany("INSERT INTO s (epoch, number, start_ms, end_ms, label) VALUES (?, ?, ?, ?, ?)", rows())
    database.execute("COMMIT")


def _header(video: Video, writer: _Writer, database: sqlite3.Connection) -> None:
    with writer.element("HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}):
        media = _media(video)
        if media:
            writer.leaf("MEDIA_DESCRIPTOR", media)
        (n,) = database.execute("SELECT count(*) FROM s").fetchone()
        told = {"lastUsedAnnotationId": str(n), "stream": video.stream, "run": video.run, "models": video.models}
        for name, text in told.items():
            writer.leaf("PROPERTY", {"NAME": name}, text)


def _time_order(writer: _Writer, database: sqlite3.Connection) -> None:
    slots = "SELECT start_ms AS t, 2 * k - 1 AS slot FROM s UNION ALL SELECT end_ms, 2 * k FROM s"
    with writer.element("TIME_ORDER"):
        for t, slot in database.execute(f"SELECT t, slot FROM ({slots}) ORDER BY t, slot"):  # noqa: S608 (constant)
            writer.leaf("TIME_SLOT", {"TIME_SLOT_ID": f"ts{slot}", "TIME_VALUE": str(t)})


def _tiers(writer: _Writer, database: sqlite3.Connection) -> None:
    for epoch, number in database.execute("SELECT DISTINCT epoch, number FROM s ORDER BY epoch, number"):
        name = face_name(Track(epoch=epoch, number=number))
        with writer.element("TIER", {"LINGUISTIC_TYPE_REF": _TYPE, "PARTICIPANT": name, "TIER_ID": name}):
            query = "SELECT k, label FROM s WHERE epoch = ? AND number = ? ORDER BY start_ms"
            for k, label in database.execute(query, (epoch, number)):
                _annotation(writer, k, label)


def _annotation(writer: _Writer, k: int, label: str) -> None:
    attributes = {"ANNOTATION_ID": f"a{k}", "TIME_SLOT_REF1": f"ts{2 * k - 1}", "TIME_SLOT_REF2": f"ts{2 * k}"}
    if label in EXPRESSIONS:
        attributes["CVE_REF"] = _entry(label)
    with writer.element("ANNOTATION"), writer.element("ALIGNABLE_ANNOTATION", attributes):
        writer.leaf("ANNOTATION_VALUE", text=label)


def _vocabulary(writer: _Writer) -> None:
    writer.leaf(
        "LINGUISTIC_TYPE",
        {
            "CONTROLLED_VOCABULARY_REF": _VOCABULARY,
            "GRAPHIC_REFERENCES": "false",
            "LINGUISTIC_TYPE_ID": _TYPE,
            "TIME_ALIGNABLE": "true",
        },
    )
    definition = "http://cdb.iso.org/lg/CDB-00138502-001"  # ELAN's own for English
    writer.leaf("LANGUAGE", {"LANG_DEF": definition, "LANG_ID": _LANGUAGE, "LANG_LABEL": "English (eng)"})
    with writer.element("CONTROLLED_VOCABULARY", {"CV_ID": _VOCABULARY}):
        writer.leaf("DESCRIPTION", {"LANG_REF": _LANGUAGE}, "what a face shows")
        for name in EXPRESSIONS:
            with writer.element("CV_ENTRY_ML", {"CVE_ID": _entry(name)}):
                writer.leaf("CVE_VALUE", {"DESCRIPTION": "", "LANG_REF": _LANGUAGE}, name)


def _entry(label: str) -> str:
    return f"cve_{label.lower()}"


def _media(video: Video) -> dict[str, str]:
    """The video file, for ELAN to open; empty where the source is not a file by its path."""
    source = video.source
    if not source or "://" in source or "\x00" in source:
        return {}
    path = Path(source)
    url = path.as_uri() if path.is_absolute() else f"./{quote(path.as_posix())}"
    kind = mimetypes.guess_type(source)[0] or "unknown"
    return {"MEDIA_URL": url, "MIME_TYPE": kind, "RELATIVE_MEDIA_URL": f"./{quote(path.name)}"}


def _date(video: Video) -> str:
    """When the run began: the same export has the same bytes."""
    return dt.datetime.fromtimestamp(int(video.started_s), dt.UTC).isoformat()


def _printable(text: str) -> str:
    """`text` without the characters that XML 1.0 cannot say."""
    return _UNSPEAKABLE.sub("?", text)
