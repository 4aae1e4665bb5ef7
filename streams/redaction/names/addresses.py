"""Street addresses by their form: house numbers with streets, flats and suites, post boxes, postcodes beside a state.

Formats are those of the US, UK, Canada, Australia, India, and of German, Dutch, Nordic, French, Italian, Spanish,
Portuguese and Polish streets; street words after the USPS list (Publication 28, appendix C1) and common knowledge.
A piece needs a digit, so a text without one costs a single search.
"""

from __future__ import annotations

import re
from typing import Final

from streams.redaction import Finding

RULE: Final = "names:address"
SCORE: Final = 0.85

_SURE: Final = (
    "street|str|avenue|ave|av|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|terrace|ter|parkway|pkwy|highway|hwy|crescent|"
    "cres|freeway|expressway|turnpike|tpke|causeway|broadway|mews|alley|circle|cir|plaza|trail|place|pl|square|sq|st|close|way"
)
_PERHAPS: Final = (
    "bayou|beach|bend|bluffs?|bottom|branch|bridge|brooks?|burgs?|bypass|camp|canyon|cape|cent(?:er|re)s?|circles|cliffs?|club|"
    "common|commons|copse|corners?|course|courts|coves?|creek|crest|cross|crossing|crossroad|curve|dale|dam|divide|drives|estates?|"
    "extensions?|falls|ferry|fields?|flats?|fords?|forests?|forges?|forks?|fort|gardens?|gateway|glens?|greens?|groves?|harbors?|"
    "harbours?|haven|heights|hills?|hollow|inlet|islands?|isle|junctions?|keys?|knolls?|lakes?|landing|light|lights|loaf|locks?|"
    "lodge|loop|mall|manors?|meadows?|mills?|mission|mount|mountains?|motorway|neck|nagar|orchard|oval|overpass|parade|parks?|"
    "parkways|pass|passage|path|pathway|pike|pines?|plains?|points?|ports?|prairie|quay|radial|ramp|ranch|rapids?|rest|ridges?|"
    "rise|river|roads|route|row|rue|run|shoals?|shores?|skyway|springs?|spurs?|squares|station|strand|stravenue|stream|streets|"
    "subdivision|summit|throughway|trace|track|trafficway|trailer|tunnel|underpass|unions?|valleys?|via|viaduct|views?|villages?|"
    "ville|vista|walks?|walk|wall|ways|wells?|wharf|wood|woods"
)
"""Street words that are common words too: they count only in capitals and after a number of two digits."""

_NUMBER: Final = r"\d{1,5}(?:[-–/]\d{1,4})?[A-Za-z]?"
_NAME: Final = r"(?:[A-ZÀ-Þ][\w'’.\-]{0,30}|\d{1,3}(?:st|nd|rd|th)|of|the|de|la|du|del|der|van)"
_UNIT: Final = (
    r"(?:apartment|apt|suite|ste|flat|studio|unit|room|rm|floor|fl|level|bldg|building|lot|depto|edif|piso|appartamento)\.?\s{0,2}"
    r"#?\s?(?:\d{1,5}[a-z]?|[a-z]\d{0,4})\b"
)
_STATES: Final = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AIT]|W[AIVY]|"
    "A[AEP]|AS|GU|MP|FM|MH|PW|ACT|NSW|NT|QLD|TAS|VIC|AB|BC|MB|NB|NL|NS|NU|ON|PE|QC|SK|YT"
)
_UK: Final = r"[A-Z]{1,2}\d[A-Z\d]?\s?\d[ABD-HJLNP-UW-Z]{2}"
_CANADA: Final = r"[A-CEGHJ-NPR-TVXY]\d[A-CEGHJ-NPR-TV-Z]\s?\d[A-CEGHJ-NPR-TV-Z]\d"

_STREET_BEFORE: Final = (
    r"(?i:rue|avenue|boulevard|bd|impasse|chemin|all[ée]e|quai|route|via|viale|piazza|corso|vicolo|largo|strada|calle|c/|avenida|"
    r"av\.|paseo|plaza|camino|carrera|calzada|rua|travessa|pra[çc]a|ul\.|ulica|al\.|pl\.|os\.|aleja|blvd\.?)"
)
_STREET_GLUED: Final = (
    r"[A-ZÀ-Þ][\w\-]{1,40}(?:straße|strasse|str\.|weg|allee|platz|gasse|ring|damm|ufer|straat|laan|gracht|plein|dreef|kade|singel|"
    r"gatan|gata|vägen|gränd|torget|stigen|vej|gade|alle|veien|vei|katu|tie|kuja|polku)"
)

PATTERNS: Final = (
    # 221B Baker Street, 9791 N. Regina Mountains, 66/9 Maynard Copse
    rf"\b{_NUMBER},?\s{{1,2}}(?:{_NAME}\s{{1,2}}){{1,4}}(?i:{_SURE})\b\.?(?:\s{{1,2}}(?:[NSEW]{{1,2}}|North|South|East|West)\b)?",
    rf"\b\d{{2,5}}(?:[-/]\d{{1,4}})?[A-Za-z]?,?\s{{1,2}}(?:{_NAME}\s{{1,2}}){{1,4}}(?i:{_PERHAPS})\b",
    r"\b\d{1,5}\s(?:Broadway|(?i:highway|hwy|route|county road|state road)\s\d{1,4})\b",
    # 14 maple avenue, in lower case
    r"\b\d{1,5}[a-z]?\s(?!(?:min|minute|mile|km|block|year|day|hour|week|month|people|car|more|other|of|the|an?|different|dollar|lane)s?\b)"
    r"(?:[nsew]\.?\s)?[\w'’]{2,20}\s(?:[a-z'’]{2,20}\s)?(?:street|avenue|ave|boulevard|blvd|road|rd|lane|drive|court|terrace|parkway)\b",
    # 12 bis, rue de la Paix; Via Roma, 59; ul. Moniuszki 78/87; Hauptstraße 5a
    rf"\b\d{{1,4}}(?:\s?(?:bis|ter))?,?\s{_STREET_BEFORE}\s(?:(?:de|du|des|la|le|les|l['’]|d['’])\s?){{0,2}}"
    r"[A-ZÀ-Þ][\w'’\-]{1,30}(?:[ \-][A-ZÀ-Þ][\w'’\-]{1,30}){0,3}",
    rf"\b{_STREET_BEFORE}\s(?:[\w'’.\-]{{1,30}}\s){{0,4}}[A-ZÀ-Þ][\w'’\-]{{1,30}},?\s(?:n[°º.]?\s?)?\d{{1,4}}(?:[/\-]\d{{1,4}})?[a-z]?\b",
    rf"\b{_STREET_GLUED}\s\d{{1,4}}(?:[/\-]\d{{1,4}})?\s?[a-z]?\b",
    r"\b[A-ZÀ-Þ][\w\-]{1,30}-(?:Straße|Strasse|Weg|Allee|Platz|Ring)\s\d{1,4}[a-z]?\b",
    # boxes, and mail to forces abroad
    r"\b(?i:p\.?\s?o\.?\s?box|post\s?box|postfach|postbus|apartado|bo[iî]te postale|gpo box)\s#?\d{1,6}\b",
    r"\b(?:PSC|Unit)\s\d{1,5},?\s(?i:box)\s\d{1,5}\b|\b(?:APO|FPO|DPO)\s[A-Z]{2}\s\d{5}\b",
    # flats and suites by themselves
    r"\b(?i:apt|apartment|suite|ste|flat)\.?\s#?\d{1,5}[A-Za-z]?\b",
    # postcodes that cannot be a plain number
    rf"\b(?:{_STATES}),?\s\d{{5}}(?:-\d{{4}})?\b|\b(?:{_STATES}),?\s(?:{_CANADA}|\d{{4}})\b",
    rf"\b{_UK}\b|\b{_CANADA}\b",
    r"\b(?i:zip(?:\s?code)?|postcode|postal code|pin code)(?:\sis|:)?\s\d{4,6}(?:-\d{4})?\b",
)
"""Every repetition is bounded, so that one attempt costs a bounded time and a text a time linear in its length."""

_PIECE: Final = re.compile("|".join(f"(?:{pattern})" for pattern in PATTERNS))
_UNIT_PIECE: Final = re.compile(_UNIT, re.IGNORECASE)
_DIGIT: Final = re.compile(r"\d")
_GAP: Final = re.compile(r"[\s,\-–/()]{0,4}(?:in |at )?")
_POSTCODE_BEFORE_CITY: Final = re.compile(r"(?:[A-Z]{1,2}-)?\d{4,6}(?:-\d{3,4})?(?:\s[A-Z]{2}\b)?")


def find(text: str) -> list[Finding]:
    """Pieces of addresses, in order and without overlap: type LOCATION, rule `names:address`."""
    if _DIGIT.search(text) is None:
        return []
    return [Finding("LOCATION", *match.span(), SCORE, RULE) for match in _PIECE.finditer(text)]


def joined(text: str, pieces: list[Finding], names: list[Finding]) -> list[Finding]:
    """Pieces with the places, flats and postcodes right beside them as one LOCATION each, and the other names.

    A name inside an address is part of it: streets are called after people.
    """
    if not pieces:
        return names
    places = [name for name in names if name.type == "LOCATION"]
    merged: list[Finding] = []
    for one in sorted([*pieces, *places], key=lambda finding: finding.start):
        if merged and RULE in (merged[-1].rule, one.rule) and _beside(text, merged[-1].end, one.start):
            last = merged[-1]
            merged[-1] = Finding("LOCATION", last.start, max(last.end, one.end), max(last.score, one.score), RULE)
        else:
            merged.append(one)
        if merged[-1].rule == RULE:
            merged[-1] = merged[-1]._replace(end=_with_unit(text, merged[-1].end))
    others = [
        name
        for name in names
        if name.type != "LOCATION"
        and not any(it.start < name.end and name.start < it.end for it in merged if it.rule == RULE)
    ]
    return sorted([*merged, *others], key=lambda finding: finding.start)


def _beside(text: str, end: int, start: int) -> bool:
    """Whether only blanks, commas, a flat or a postcode lie between two places."""
    if start <= end:
        return True
    if start - end > 40:
        return False
    gap = _GAP.match(text, end)
    place = gap.end() if gap else end
    if place >= start:
        return True
    for pattern in (_UNIT_PIECE, _POSTCODE_BEFORE_CITY):
        match = pattern.match(text, place)
        if match is not None and match.end() <= start and not text[match.end() : start].strip(" ,\n-"):
            return True
    return False


def _with_unit(text: str, end: int) -> int:
    gap = _GAP.match(text, end)
    for pattern in (_UNIT_PIECE, _POSTCODE_BEFORE_CITY):
        match = pattern.match(text, gap.end() if gap else end)
        if match is not None and (match.end() == len(text) or not text[match.end()].isalnum()):
            return match.end()
    return end
