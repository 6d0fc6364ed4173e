"""HTML and SVG by the standard library's elements, so that every text is escaped."""

from __future__ import annotations

from xml.etree import ElementTree

Element = ElementTree.Element
Child = Element | str | None


def tag(name: str, /, *children: Child, **attributes: object) -> Element:
    """An element. `class_` is `class`, underscores are hyphens, and what is None is left out.

    >>> ElementTree.tostring(tag("p", "a < b", tag("b", "!"), class_="x", aria_label=None))
    b'<p class="x">a &lt; b<b>!</b></p>'
    """
    element = Element(name)
    for key, value in attributes.items():
        if value is not None:
            element.set(key.rstrip("_").replace("_", "-"), _written(value))
    for child in children:
        _append(element, child)
    return element


def svg(title: str, description: str, width: float, height: float, *children: Child) -> Element:
    """A picture that is as wide as its place, with words for those who don't see it."""
    picture = tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        aria_label=f"{title}. {description}",
    )
    picture.set("viewBox", f"0 0 {_written(width)} {_written(height)}")
    return picture


def page(language: str, head: list[Element], body: list[Element]) -> str:
    """A whole document."""
    html = tag("html", tag("head", *head), tag("body", *body), lang=language)
    return "<!DOCTYPE html>\n" + ElementTree.tostring(html, encoding="unicode", method="html") + "\n"


def _append(element: Element, child: Child) -> None:
    if child is None:
        return
    if not isinstance(child, str):
        element.append(child)
    elif len(element):
        element[-1].tail = (element[-1].tail or "") + child
    else:
        element.text = (element.text or "") + child


def _written(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
