"""Vega-Lite drawings as SVG that follow the page's colours.

They are drawn once, without JavaScript: colours are the page's CSS variables, so that light, dark and print
need no second picture, and what a mark means is its title, which a browser shows under the pointer.
"""

from __future__ import annotations

import re

import altair as alt
import vl_convert

# Stand-ins that Vega accepts as colours and that are replaced by the page's variables afterwards.
_COLOURS = {
    "#010101": "var(--ink)",
    "#010102": "var(--muted)",
    "#010103": "var(--line)",
    "#010104": "var(--accent)",
    "#010105": "var(--good)",
    "#010106": "var(--bad)",
    "#010107": "var(--card)",
}
INK, MUTED, LINE, ACCENT, GOOD, BAD, CARD = _COLOURS


def svg(chart: alt.LayerChart | alt.Chart, width: int, height: int) -> str:
    """A chart as an SVG element that scales, in the page's colours, with the description of each mark as its title."""
    styled = (
        chart.properties(width=width, height=height, background="transparent", padding=4)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=LINE,
            domainColor=LINE,
            tickColor=LINE,
            labelColor=MUTED,
            titleColor=INK,
            labelFontSize=12,
            titleFontSize=12.5,
            titleFontWeight=500,
            titlePadding=10,
            labelFont="sans-serif",
            titleFont="sans-serif",
        )
        .configure_text(font="sans-serif")
    )
    drawn: str = vl_convert.vegalite_to_svg(styled.to_dict())
    for stand_in, variable in _COLOURS.items():
        drawn = drawn.replace(stand_in, variable)
    drawn = re.sub(r'(<path [^>]*?)aria-label="([^"]*)"([^>]*?)/>', r"\1\3><title>\2</title></path>", drawn)
    drawn = re.sub(r'^<svg [^>]*?width="(\d+)" height="(\d+)"', r'<svg xmlns="http://www.w3.org/2000/svg"', drawn)
    return drawn.replace('font-family="sans-serif"', "")
