"""MkDocs hook: formulas in LaTeX become MathML, which browsers show without a script.

The extension arithmatex has put them into elements of the class `arithmatex`.
"""

import html
import re
from typing import Any, Final

from latex2mathml.converter import convert

FORMULA: Final = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def on_page_content(html_text: str, **_: Any) -> str:
    """Return the page with each formula in MathML."""
    return FORMULA.sub(_as_mathml, html_text)


def _as_mathml(found: re.Match[str]) -> str:
    latex = html.unescape(found["latex"]).strip()
    display = "block" if found["tag"] == "div" else "inline"
    return str(convert(latex, display=display))
