"""Marks that spreadsheets leave in a file: how ids, texts and separators look afterwards."""

import re

SHORTENED = "a spreadsheet has shortened this id: let it show the column as text"

# The characters that begin a formula; Excel takes the full-width ones for the others.
FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001

# Excel's first line of a CSV file that names the separator of the others.
_SEPARATOR_LINE = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE)
# Any other formula is a text of its own: nobody writes an id as =HYPERLINK(1).
_FORMULA = re.compile(r'=(?:"([^"]*)"|([0-9]+))')
# An apostrophe marks a text that looks like a number or a formula. Names may begin with one, too.
# A word processor, and a spreadsheet that corrects what is typed, make it a typographic one.
_APOSTROPHES = ("'", "\u2018", "\u2019")
_TEXT_MARK = re.compile(r"['\u2018\u2019]+(?=[0-9+=@＋＝＠－-])")  # noqa: RUF001
# What has no width, and comes along with a text that was copied from a page: joiners, marks of the
# writing direction, the byte order mark.
_WITHOUT_WIDTH = (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF)
_UNSEEN = "".join(
    character
    for character in map(chr, (*range(0x3001), *_WITHOUT_WIDTH))
    if character.isspace() or ord(character) in _WITHOUT_WIDTH
)
_FLOAT_ID = re.compile(r"([0-9]+)\.0*")
_SHORTENED = re.compile(r"[0-9](?:[.,][0-9]+[eE]\+?|[eE]\+)[0-9]{1,2}")
# What a program makes of 5.90123E+12: at most six digits of ten or more are left.
_SHORTENED_FLOAT = re.compile(r"(?=[0-9]{10,}\.)[1-9][0-9]{0,5}0+\.0*")


def separator_named_by(line: str) -> str:
    """Returns the separator that a line such as `sep=;` names, or "" for any other line."""
    found = _SEPARATOR_LINE.fullmatch(line.removeprefix("\ufeff").rstrip("\r\n"))
    return found[1] if found else ""


def plain_text(text: str) -> str:
    """Returns the text of a cell without the formula or the apostrophe that made it a text, and
    without marks at its ends that nobody sees: `="0626"` and `'0626` are 0626."""
    text = text.strip()
    if not text.isascii():
        text = text.strip(_UNSEEN)
    if text.startswith("=") and (formula := _FORMULA.fullmatch(text)):
        text = (formula[1] or formula[2] or "").strip()
    mark = _TEXT_MARK.match(text) if text.startswith(_APOSTROPHES) else None
    return text[mark.end() :] if mark else text


def plain_id(text: str) -> str:
    """Returns the id that a cell holds: 626.0, `="626"` and '626 are 626."""
    text = plain_text(text)
    found = _FLOAT_ID.fullmatch(text) if "." in text else None
    return found[1] if found and not _SHORTENED_FLOAT.fullmatch(text) else text


def is_shortened(text: str) -> bool:
    """Returns True if a spreadsheet has shortened an id, so that others look the same:
    5.90123E+12, or 5901230000000.0 after a program read that."""
    return _SHORTENED.fullmatch(text) is not None or _SHORTENED_FLOAT.fullmatch(text) is not None
