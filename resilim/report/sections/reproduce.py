"""How to get this page again."""

from __future__ import annotations

from resilim.report.markup import paragraph, text, titled
from resilim.report.view import View


def section(view: View, command: str) -> str:
    """The command that gives the same result, and what shows that it is the same."""
    lines = "\n".join(text(line) for line in command.splitlines())
    return titled(
        "reproduce",
        "Reproduce",
        f"<pre><code>{lines}</code></pre>",
        paragraph(
            f"The same version (resilim {text(view.result.version)}) and the same input give the same "
            f"digest, <code>{text(view.result.digest)}</code>, and the same figures to the last digit."
        ),
    )
