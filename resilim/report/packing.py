"""Packing for the page: gzip, written as base64, which `page.js` undoes.

* What is packed cannot hold markup, so no name in it can end a script block or begin one.
* There is no time stamp inside: the same text gives the same characters.
"""

from __future__ import annotations

import base64
import gzip

PACKED = "application/gzip+base64"  # the type of the page's script blocks that hold it


def packed(text: str) -> str:
    """The text, packed."""
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()
