"""Whether a file is an EAF 3.0 document as its schema has it, and what it says; written from the format's description.

"ELAN Annotation Format", Max Planck Institute for Psycholinguistics; the elements that we write, and no others.
"""

from __future__ import annotations

import datetime as dt
import xml.etree.ElementTree as ET
from pathlib import Path

_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_ORDER = ("HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LANGUAGE", "CONTROLLED_VOCABULARY")
# Of each element: the attributes it must have, those it may have, and its children.
_RULES: dict[str, tuple[set[str], set[str], set[str]]] = {
    "ANNOTATION_DOCUMENT": (
        {"AUTHOR", "DATE", "VERSION"},
        {"FORMAT", f"{_XSI}noNamespaceSchemaLocation"},
        set(_ORDER),
    ),
    "HEADER": (set(), {"MEDIA_FILE", "TIME_UNITS"}, {"MEDIA_DESCRIPTOR", "PROPERTY"}),
    "MEDIA_DESCRIPTOR": (
        {"MEDIA_URL", "MIME_TYPE"},
        {"RELATIVE_MEDIA_URL", "TIME_ORIGIN", "EXTRACTED_FROM"},
        set(),
    ),
    "PROPERTY": (set(), {"NAME"}, set()),
    "TIME_ORDER": (set(), set(), {"TIME_SLOT"}),
    "TIME_SLOT": ({"TIME_SLOT_ID"}, {"TIME_VALUE"}, set()),
    "TIER": (
        {"TIER_ID", "LINGUISTIC_TYPE_REF"},
        {"PARTICIPANT", "ANNOTATOR", "DEFAULT_LOCALE", "PARENT_REF", "EXT_REF", "LANG_REF"},
        {"ANNOTATION"},
    ),
    "ANNOTATION": (set(), set(), {"ALIGNABLE_ANNOTATION"}),
    "ALIGNABLE_ANNOTATION": (
        {"ANNOTATION_ID", "TIME_SLOT_REF1", "TIME_SLOT_REF2"},
        {"SVG_REF", "EXT_REF", "LANG_REF", "CVE_REF"},
        {"ANNOTATION_VALUE"},
    ),
    "ANNOTATION_VALUE": (set(), set(), set()),
    "LINGUISTIC_TYPE": (
        {"LINGUISTIC_TYPE_ID"},
        {"TIME_ALIGNABLE", "CONSTRAINTS", "GRAPHIC_REFERENCES", "CONTROLLED_VOCABULARY_REF", "EXT_REF"},
        set(),
    ),
    "LANGUAGE": ({"LANG_ID"}, {"LANG_DEF", "LANG_LABEL"}, set()),
    "CONTROLLED_VOCABULARY": ({"CV_ID"}, {"EXT_REF"}, {"DESCRIPTION", "CV_ENTRY_ML"}),
    "DESCRIPTION": ({"LANG_REF"}, set(), set()),
    "CV_ENTRY_ML": ({"CVE_ID"}, {"EXT_REF"}, {"CVE_VALUE"}),
    "CVE_VALUE": ({"LANG_REF"}, {"DESCRIPTION"}, set()),
}
_IDS = ("TIME_SLOT_ID", "TIER_ID", "ANNOTATION_ID", "LINGUISTIC_TYPE_ID", "LANG_ID", "CV_ID", "CVE_ID")
_REFERENCES = {
    "TIME_SLOT_REF1": "TIME_SLOT_ID",
    "TIME_SLOT_REF2": "TIME_SLOT_ID",
    "LINGUISTIC_TYPE_REF": "LINGUISTIC_TYPE_ID",
    "CONTROLLED_VOCABULARY_REF": "CV_ID",
    "CVE_REF": "CVE_ID",
    "LANG_REF": "LANG_ID",
}


def checked_tiers(path: Path) -> dict[str, list[tuple[int, int, str]]]:
    """Of each tier its annotations: start and end in milliseconds, and value. Fails where the document is none."""
    root = ET.parse(path).getroot()
    assert root.tag == "ANNOTATION_DOCUMENT"
    _check_element(root)
    assert root.attrib["FORMAT"] == "3.0"
    assert root.attrib[f"{_XSI}noNamespaceSchemaLocation"].endswith("/EAFv3.0.xsd")
    assert dt.datetime.fromisoformat(root.attrib["DATE"]).tzinfo is not None
    places = [_ORDER.index(child.tag) for child in root]
    assert places == sorted(places), "the children of the document come in the schema's order"
    assert [child.tag for child in root].count("HEADER") == [child.tag for child in root].count("TIME_ORDER") == 1
    _check_references(root)
    slots = {slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) for slot in root.iter("TIME_SLOT")}
    assert list(slots.values()) == sorted(slots.values())
    assert min(slots.values(), default=0) >= 0
    tiers = {tier.attrib["TIER_ID"]: [_annotation(one, slots) for one in tier] for tier in root.iter("TIER")}
    for name, found in tiers.items():
        times = [time for start, end, _ in found for time in (start, end)]
        assert times == sorted(times), f"annotations of {name} overlap"
        assert all(start < end for start, end, _ in found), f"{name} has an empty annotation"
    return tiers


def _check_element(element: ET.Element) -> None:
    required, optional, children = _RULES[element.tag]
    assert required <= element.attrib.keys() <= required | optional, element.tag
    assert {child.tag for child in element} <= children, element.tag
    for child in element:
        _check_element(child)


def _check_references(root: ET.Element) -> None:
    ids: dict[str, set[str]] = {}
    for name in _IDS:
        found = [element.attrib[name] for element in root.iter() if name in element.attrib]
        assert len(set(found)) == len(found), f"{name} is not unique"
        ids[name] = set(found)
    for element in root.iter():
        for name, to in _REFERENCES.items():
            assert name not in element.attrib or element.attrib[name] in ids[to], (element.tag, element.attrib)


def _annotation(one: ET.Element, slots: dict[str, int]) -> tuple[int, int, str]:
    [aligned] = one
    [value] = aligned
    return slots[aligned.attrib["TIME_SLOT_REF1"]], slots[aligned.attrib["TIME_SLOT_REF2"]], value.text or ""
