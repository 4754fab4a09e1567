"""How a build step is written in vagga.yaml: data that each module of `build/steps` declares and `steps.py` reads.

The steps themselves live above this package; a `Shape` is handed down to `bind`, so that a new step needs no change
here. Pure.
"""

from __future__ import annotations

from vaggapy.config.fields import Field, Fields
from vaggapy.record import Record

NOTHING = "nothing"
TEXT = "text"
TEXTS = "list of texts"
PAIRS = "pairs"
KEYS = "keys"


class Shape(Record):
    """One step: its tag, what may follow the tag, and the keys of the long form.

    `forms`: which of NOTHING (`!UbuntuUniverse`), TEXT (`!Sh TEXT`), TEXTS (`!Install [..]`), PAIRS (`!Env {K: V}`)
    and KEYS (`!Download {url: ..}`) may be written. A TEXT, TEXTS or PAIRS argument becomes the field `argument`,
    with the type that `fields` gives it. `fields`: key in kebab-case -> type and default; only keys that were written
    get a value, under the name in snake_case.

    Types of fields, and what their values become: text, texts or list of texts (a tuple), name: text (a dict), true or
    false, number (from 0), numbers or list of numbers (a tuple), file mode (to 0o1777), absolute path (`/` too), path
    below / (an absolute one, not `/`), relative path (`.` becomes ""), absolute paths (a tuple, none of them `/`),
    path: text (a dict, absolute paths), path: name (a dict from absolute to relative paths), container (the name of
    one that is built), choice A, B, C.
    """

    tag: str
    forms: tuple[str, ...]
    fields: Fields
    argument: str = ""
    later: str = ""
    """Not empty: the step is known, but cannot be used; this is the remedy of the error, as in "use !Py3Install"."""


__all__ = ["KEYS", "NOTHING", "PAIRS", "TEXT", "TEXTS", "Field", "Fields", "Shape"]
