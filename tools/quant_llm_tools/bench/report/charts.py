"""The report's plots, as SVG that takes its colours from the page.

A series is told apart by its colour and by the form of its marks, so that colour alone says nothing. Each
mark says its value when a pointer rests on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from quant_llm_tools.bench.report.markup import Element, svg, tag
from quant_llm_tools.bench.report.scales import Scale, at_values, from_zero, logarithmic

SERIES = 6
"""So many colours and marks there are; then they begin again."""

_WIDTH, _HEIGHT = 560.0, 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 16.0, 14.0, 46.0
_ROW, _BAR = 44.0, 18.0
_LONGEST_NAME = 36
_MARKS = (
    "M-4.5,0A4.5,4.5 0 1,0 4.5,0A4.5,4.5 0 1,0 -4.5,0Z",
    "M-4.2,-4.2H4.2V4.2H-4.2Z",
    "M0,-5.5L5,4H-5Z",
    "M0,-6L6,0L0,6L-6,0Z",
    "M0,5.5L5,-4H-5Z",
    "M-2,-5H2V-2H5V2H2V5H-2V2H-5V-2H-2Z",
)


@dataclass(frozen=True)
class Range:
    """A median with what lies above it."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Bar:
    """A bar of `value`; a paler part up to `whole`, a whisker, and a limit, where they are known."""

    name: str
    series: int
    value: float
    label: str
    whole: float | None = None
    limit: float | None = None
    whisker: tuple[float, float] | None = None


def mark(series: int, x: float, y: float, words: str | None = None) -> Element:
    """A series' own mark at a place."""
    return tag(
        "path",
        tag("title", words) if words else None,
        d=_MARKS[series % SERIES],
        transform=f"translate({x:.1f},{y:.1f})",
        class_=f"mark series-{series % SERIES}",
    )


def key(series: int) -> Element:
    """A series' line and mark, for a legend; the name stands beside it."""
    picture = tag(
        "svg",
        tag("line", x1=0, x2=32, y1=8, y2=8, class_=f"range series-{series % SERIES}"),
        mark(series, 16, 8),
        aria_hidden="true",
    )
    picture.set("viewBox", "0 0 32 16")
    return picture


def curves(
    title: str,
    x_name: str,
    y_name: str,
    series: Mapping[str, Mapping[int, float]],
    *,
    logarithmic_y: bool = False,
    even_at: Mapping[str, float] | None = None,
) -> Element:
    """A line for each series: y by x, on a logarithmic x.

    `even_at`: where a series meets another, by its name; a vertical line says so.
    """
    x = at_values((at for points in series.values() for at in points), _LEFT + 8, _WIDTH - _RIGHT - 8)
    y = _upright((value for points in series.values() for value in points.values()), logarithmic_y)
    children = _axes(x, y, x_name, y_name)
    for row, (name, at) in enumerate((even_at or {}).items()):
        if x.low <= at <= x.high:
            children += _vertical(list(series).index(name), at, x(at), row)
    for number, (name, points) in enumerate(series.items()):
        places = [(x(at), y(value)) for at, value in sorted(points.items())]
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
        children.append(tag("polyline", points=path, class_=f"curve series-{number % SERIES}"))
        for at, value in sorted(points.items()):
            words = f"{name}, {x_name} {at}: {_short(value)} {y_name}"
            children.append(mark(number, x(at), y(value), words))
    told = "; ".join(
        f"{name}: " + ", ".join(f"{at}: {_short(value)}" for at, value in sorted(points.items()))
        for name, points in series.items()
    )
    return svg(title, f"{y_name} by {x_name}. {told}", _WIDTH, _HEIGHT, *children)


def ranges(title: str, x_name: str, y_name: str, series: Mapping[str, Mapping[int, Range]]) -> Element:
    """For each x, a bar from the median (the mark) to p99, with a tick at p90; on a logarithmic y."""
    x = at_values((at for points in series.values() for at in points), _LEFT + 24, _WIDTH - _RIGHT - 24)
    values = (value for points in series.values() for one in points.values() for value in (one.p50, one.p99))
    y = _upright(values, logarithmic_y=True)
    children = _axes(x, y, x_name, y_name)
    for number, (name, points) in enumerate(series.items()):
        aside = (number - (len(series) - 1) / 2) * 12
        for at, one in sorted(points.items()):
            place, colour = x(at) + aside, f"range series-{number % SERIES}"
            children += [
                tag("line", x1=place, x2=place, y1=y(one.p50), y2=y(one.p99), class_=colour),
                tag("line", x1=place - 4, x2=place + 4, y1=y(one.p90), y2=y(one.p90), class_=colour),
                tag("line", x1=place - 4, x2=place + 4, y1=y(one.p99), y2=y(one.p99), class_=colour),
                mark(number, place, y(one.p50), f"{name}, {x_name} {at}: {_percentiles(one)} {y_name}"),
            ]
    told = "; ".join(
        f"{name}: " + ", ".join(f"{at}: {_percentiles(one)}" for at, one in sorted(points.items()))
        for name, points in series.items()
    )
    return svg(title, f"{y_name} by {x_name}, p50/p90/p99. {told}", _WIDTH, _HEIGHT, *children)


def bars(title: str, x_name: str, rows: Sequence[Bar]) -> Element:
    """Horizontal bars, each under its name."""
    ends = [
        value
        for bar in rows
        for value in (bar.value, bar.whole, bar.limit, *(bar.whisker or ()))
        if value is not None
    ]
    height = _TOP + _ROW * len(rows) + _BOTTOM
    x = from_zero(ends, 8, _WIDTH - _RIGHT - 8)
    bottom = height - _BOTTOM + 4
    children = [tag("line", x1=x(tick), x2=x(tick), y1=_TOP, y2=bottom, class_="grid") for tick in x.ticks]
    children += _x_labels(x, bottom, x_name, height)
    for number, bar in enumerate(rows):
        children += _bar(bar, x, _TOP + number * _ROW)
    told = "; ".join(f"{bar.name}: {bar.label}" for bar in rows)
    return svg(title, f"{x_name}. {told}", _WIDTH, height, *children)


def _bar(bar: Bar, x: Scale, top: float) -> list[Element]:
    start, colour, at = x(0), f"series-{bar.series % SERIES}", top + 20
    drawn = [
        tag("text", tag("title", bar.name), _cut(bar.name), x=start, y=top + 13, class_="name"),
        tag("text", bar.label, x=_WIDTH - _RIGHT, y=top + 13, text_anchor="end", class_="value"),
    ]
    if bar.limit is not None:
        width = x(bar.limit) - start
        drawn.append(tag("rect", x=start, y=at, width=width, height=_BAR, class_="capacity"))
    if bar.whole is not None:
        width = x(bar.whole) - start
        drawn.append(tag("rect", x=start, y=at, width=width, height=_BAR, class_=f"rest {colour}"))
    width = x(bar.value) - start
    drawn.append(
        tag("rect", tag("title", bar.label), x=start, y=at, width=width, height=_BAR, class_=f"bar {colour}")
    )
    if bar.whisker is not None:
        low, high, middle = x(bar.whisker[0]), x(bar.whisker[1]), at + _BAR / 2
        drawn += [
            tag("line", x1=low, x2=high, y1=middle, y2=middle, class_="axis"),
            *(
                tag("line", x1=end, x2=end, y1=middle - 5, y2=middle + 5, class_="axis")
                for end in (low, high)
            ),
        ]
    return drawn


def _upright(values: Iterable[float], logarithmic_y: bool) -> Scale:
    make = logarithmic if logarithmic_y else from_zero
    return make(values, _HEIGHT - _BOTTOM, _TOP)


def _axes(x: Scale, y: Scale, x_name: str, y_name: str) -> list[Element]:
    drawn = []
    for tick in y.ticks:
        drawn.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y(tick), y2=y(tick), class_="grid"))
        drawn.append(tag("text", _short(tick), x=_LEFT - 8, y=y(tick) + 4, text_anchor="end"))
    bottom = _HEIGHT - _BOTTOM
    drawn.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=bottom, y2=bottom, class_="axis"))
    middle = (_TOP + bottom) / 2
    drawn.append(
        tag("text", y_name, x=14.0, y=middle, text_anchor="middle", transform=f"rotate(-90 14 {middle:.1f})")
    )
    return drawn + _x_labels(x, bottom, x_name, _HEIGHT)


def _x_labels(x: Scale, bottom: float, name: str, height: float) -> list[Element]:
    drawn = [tag("text", _short(tick), x=x(tick), y=bottom + 16, text_anchor="middle") for tick in x.ticks]
    return [*drawn, tag("text", name, x=(x.start + x.end) / 2, y=height - 8, text_anchor="middle")]


def _vertical(series: int, at: float, place: float, row: int) -> list[Element]:
    right = place < _WIDTH / 2
    colour = f"break-even series-{series % SERIES}"
    return [
        tag("line", x1=place, x2=place, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_=colour),
        tag(
            "text",
            f"even at {at:.0f}",
            x=place + (6 if right else -6),
            y=_TOP + 12 + 16 * row,
            text_anchor="start" if right else "end",
            class_="value",
        ),
    ]


def _cut(name: str) -> str:
    """A name that leaves room for the numbers beside it."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _percentiles(one: Range) -> str:
    return "/".join(map(_short, (one.p50, one.p90, one.p99)))


def _short(value: float) -> str:
    """Three digits at most after the first, no zeros at the end: 0.125, 3.5, 1,234."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
