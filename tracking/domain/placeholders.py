"""Placeholders: one list of what software writes where it has no value, for every way in.

A digest or a key made of a placeholder would be shared by everybody whose form, export or
template left the field empty.
"""

import re

# Marks that no person, product or campaign has for a name, whatever stands around them.
PLACEHOLDERS = frozenset(
    {
        "null",
        "nil",
        "nan",
        "nat",
        "none",
        "undefined",
        "n/a",
        "n.a.",
        "not set",
        "notset",
        "not specified",
        "unspecified",
        "no value",
        "no data",
        "not provided",
        "not available",
        "not applicable",
        "object object",
        "unset",
        "unavailable",
        "anonymous",
        "guest",
        "true",
        "false",
    }
)
# Words that are a value in some fields: NA is Namibia and Naples, 0 an amount, Unknown a song.
_MARKS_OF_IDS = frozenset({"na", "no", "yes", "unknown", "empty", "blank", "missing", "default"})
_OPENERS, _CLOSERS = "(<[{\"'`", ")>]}\"'`"
# Errors of spreadsheets (#N/A, #REF!, #NAME?), and how PostgreSQL and MySQL export NULL.
_CELL_ERROR = re.compile(r"#(?:n/a|ref!|value!|div/0!|name\?|null!|num!|spill!|calc!)|\\+n")
_SEPARATORS = re.compile(r"[\s_-]+")
# No mark is made of these alone but for the words.
_WORDS = re.compile(r"[a-z0-9][a-z0-9 .@:/+-]*")
# A UUID of zeros, and the -1 by which tables say that nobody signed in, are the same for everybody.
_NOTHING_BUT_SIGNS = re.compile(r"[\W_0]+|-1")
# A template that was not filled in: {epik}, {{campaign.id}}, {{${id}}}, ${id}, #{id},
# {campaign_name}_{adid}, %%ID%%, __CLICKID__, [ID], [[id]], *|ID|*, <%= id %>, <?= $id ?>.
_MACRO = re.compile(
    r"[$#]?\{+(?:\$\{+)?[^{}]*\}+(?:[\s_|.-]*[$#]?\{+(?:\$\{+)?[^{}]*\}+)*"
    r"|%[A-Za-z_.]+%|%%[^%]*%%|__[A-Z][A-Z0-9_]*__|\[[A-Z][A-Z0-9_ ]*\]|\[\[[^\[\]]*\]\]"
    r"|\*\|[^|]*\|\*|<%.*%>|<\?.*\?>"
)
_ENCODED_BRACES = {"%7b": "{", "%7d": "}"}


def is_macro(text: str) -> bool:
    """Returns True if a text is a template's variable that nobody filled in, such as
    `{campaignid}`."""
    if "%" in text:
        text = re.sub(
            r"%(?:25)*(7[bBdD])", lambda found: _ENCODED_BRACES[f"%{found[1].lower()}"], text
        )
    return _MACRO.fullmatch(text.strip()) is not None


def is_placeholder(text: str) -> bool:
    """Returns True if a text stands for no value in any field: `\\N`, `(not set)`, `#N/A`,
    `{epik}`."""
    low = text.strip().lower()
    if low.isalnum():
        return low in PLACEHOLDERS
    if _WORDS.fullmatch(low):
        return _SEPARATORS.sub(" ", low).strip() in PLACEHOLDERS
    if _CELL_ERROR.fullmatch(low) or is_macro(text):
        return True
    # Not with an expression: one with a repetition at either end takes the cube of the length.
    is_wrapped = low[:1] in _OPENERS and low[-1:] in _CLOSERS
    inner = low.lstrip(_OPENERS).rstrip(_CLOSERS) if is_wrapped else low
    bare = _SEPARATORS.sub(" ", inner).strip()
    return bare in PLACEHOLDERS or (is_wrapped and bare in _MARKS_OF_IDS)


def browser_patterns() -> tuple[str, str]:
    """Returns what `is_placeholder` looks for, as two regular expressions of JavaScript.

    The first matches templates that nobody filled in. The second matches words for no value; it
    ignores case.
    """
    words, marks = (
        "|".join(re.escape(word).replace("\\ ", r"[\s_-]+") for word in sorted(group))
        for group in (PLACEHOLDERS, PLACEHOLDERS | _MARKS_OF_IDS)
    )
    wrapped = rf"[(<\[{{\"'`]+[\s_-]*(?:{marks})[\s_-]*[)>\]}}\"'`]+"
    no_value = rf"{_CELL_ERROR.pattern}|[\s_-]*(?:{words})[\s_-]*|{wrapped}"
    return f"^(?:{_MACRO.pattern})$", f"^(?:{no_value})$"


def names_nothing(text: str) -> bool:
    """Returns True if a text is no id: a placeholder, a word for nothing, or signs and zeros."""
    low = text.strip().lower()
    if low.isalnum():
        return low in PLACEHOLDERS or low in _MARKS_OF_IDS or not low.strip("0")
    return is_placeholder(text) or _NOTHING_BUT_SIGNS.fullmatch(low) is not None
