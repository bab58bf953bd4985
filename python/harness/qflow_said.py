"""What user code gives to `qflow.log` and `qflow.span`, made what the channel takes: clean text, within bounds."""

from qflow_entry import NAME_CHARS, Struck, clean

FIELDS = 64  # of a line or a span: more is data
FIELD_CHARS = 16 << 10  # of one
FIELDS_CHARS = 64 << 10  # of all together: a line and its fields stay well within a frame


def cut(text, most):
    """The text as UTF-8 has it, at most so long, and whether something is gone."""
    return clean(text[: most + Struck.longest])[:most], len(text) > most


def fields_of(given):
    """The fields within their bounds, and whether something is gone."""
    kept, left, lost = {}, FIELDS_CHARS, len(given) > FIELDS
    for name, value in list(given.items())[:FIELDS]:
        name, shorter = cut(name, min(NAME_CHARS, left))
        left, lost = left - len(name), lost or shorter
        if isinstance(value, str):
            value, shorter = cut(value, min(FIELD_CHARS, left))
            left, lost = left - len(value), lost or shorter
        kept[name] = value
    return kept, lost
