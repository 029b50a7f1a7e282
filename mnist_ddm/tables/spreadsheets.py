"""Cells that a spreadsheet shows and never computes."""

import re

_FORMULA = re.compile(r"(^|\r\n|[\r\n\v\f\u0085\u2028\u2029])(?=\s*[=+\-@\t\uff1d\uff0b\uff0d\uff20|])")


def spreadsheet_cell(value: object) -> object:
    """A value for a cell of a CSV file that people open in a spreadsheet.

    A text that begins like a formula, on its first line or on a later one, gets an apostrophe there, which
    spreadsheets take for "this is text". Numbers stay numbers. What UTF-8 cannot hold is escaped.
    """
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "backslashreplace").decode().replace("\0", "")
    return _FORMULA.sub(r"\1'", text)
