"""Values as parts of keys: ASCII letters and digits stay, everything else is one `_` each.

    ResNet-50 -> resnet_50      Ünïcode Nét -> _n_code_n_t      True -> true      -7 -> _7

Source: spec 000, "Utilities".
"""

import re

TELEMETRY_SANITIZE_PATTERN = re.compile(r"[^a-zA-Z0-9]")

# Names of networks, actions, versions and devices are few, and come again with every job. What is
# remembered is forgotten as a whole when it is full: no order to keep, and 2,000 networks fit.
REMEMBERED_MAX = 8192
REMEMBERED_CHARS_MAX = 256
lowered: dict[str, str] = {}


def sanitize_field_value(value: object, uppercase: bool = False) -> str:
    """`str(value)` with every character outside [A-Za-z0-9] replaced by `_`; lower or upper."""
    text = TELEMETRY_SANITIZE_PATTERN.sub("_", str(value))
    return text.upper() if uppercase else text.lower()


def lower(value: object) -> str:
    """The same, in lower case, and remembered."""
    if type(value) is not str:
        return sanitize_field_value(value)
    found = lowered.get(value)
    if found is None:
        found = sanitize_field_value(value)
        if len(value) <= REMEMBERED_CHARS_MAX:
            if len(lowered) >= REMEMBERED_MAX:
                lowered.clear()
            lowered[value] = found
    return found
