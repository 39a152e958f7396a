"""Vega, Vega-Lite and Vega-Embed as one script that a page can carry with it."""

from __future__ import annotations

import re
from functools import lru_cache

import altair
import vl_convert

# What the page's own script calls.
EXPORT = "window.vegaEmbed = vegaEmbed;"


@lru_cache(maxsize=1)
def vega_script() -> str:
    """The three libraries, as `vegaEmbed` of the page's window, in about 0.9 MB.

    They come with `vl-convert-python`, so nothing is downloaded. Making the script takes a second
    or two, so a process makes it once.
    """
    script: str = vl_convert.javascript_bundle(EXPORT, vl_version=_version())
    # The end of the element is all that could end a script early.
    return re.sub(r"</(script)", r"<\\/\1", script, flags=re.IGNORECASE)


def _version() -> str:
    """Of Vega-Lite that Altair writes for, such as ``6.4``."""
    return ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
