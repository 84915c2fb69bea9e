# SPDX-License-Identifier: BSD-3-Clause
"""The two kinds of plots that bench/run draws, as SVG text: bars and lines over logarithmic axes."""

import math
from xml.sax.saxutils import escape

COLOURS = ("#8a8f98", "#1a7f4b", "#c2452d")
WIDTH = 760
STYLE = "font-family: sans-serif; font-size: 13px"
GRID = "#e3e5e8"


class Picture:
    """SVG elements in a frame of a given height, on white so that it can be read on any page."""

    def __init__(self, height):
        self.height = height
        self.parts = []

    def text(self, x, y, text, anchor="start", extra=""):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(text)}</text>')

    def rectangle(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
                          f'fill="{colour}"/>')

    def line(self, x1, y1, x2, y2, colour, width=1.0):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                          f'stroke-width="{width}"/>')

    def dot(self, x, y, colour):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')

    def title(self, text):
        self.text(16, 28, text, extra='font-size="17" font-weight="bold"')

    def legend(self, y, names):
        x = 16.0
        for name, colour in zip(names, COLOURS):
            self.rectangle(x, y - 10, 12, 12, colour)
            self.text(x + 17, y, name)
            x += 17 + 8 * len(name) + 18

    def write(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" '
                       f'width="{WIDTH}" height="{self.height}" style="{STYLE}">\n')
            file.write(f'<rect width="{WIDTH}" height="{self.height}" fill="#ffffff"/>\n')
            file.write("\n".join(self.parts))
            file.write("\n</svg>\n")


def decades(values):
    """The powers of ten around the values, as exponents."""
    low = math.floor(math.log10(min(values)))
    high = math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def short(value):
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def power(exponent):
    return f"{10 ** exponent:,}" if exponent >= 0 else f"{10.0 ** exponent:g}"


def bars(path, title, unit, groups, names):
    """Horizontal bars in groups: each group is (name, second line, value, value, value)."""
    least = 0.1
    low, high = decades([least] + [value for group in groups for value in group[2:]])
    left, right, top, step = 190, 70, 92, 66

    def x_of(value):
        return left + (math.log10(max(value, least)) - low) / (high - low) * (WIDTH - left - right)

    picture = Picture(top + step * len(groups) + 40)
    picture.title(title)
    picture.legend(54, names)
    bottom = top + step * len(groups) - 8
    for exponent in range(low, high + 1):
        x = x_of(10.0 ** exponent)
        picture.line(x, top - 12, x, bottom, GRID)
        picture.text(x, bottom + 18, power(exponent), "middle")
    picture.text(WIDTH - right, bottom + 36, unit, "end", 'fill="#666"')
    for i, (name, second, *values) in enumerate(groups):
        y = top + i * step
        picture.text(16, y + 18, name)
        picture.text(16, y + 35, second, extra='fill="#666"')
        for j, value in enumerate(values):
            picture.rectangle(left, y + j * 17, max(x_of(value) - left, 1), 14, COLOURS[j])
            picture.text(max(x_of(value), left) + 5, y + j * 17 + 12, short(value))
    picture.write(path)


def lines(path, title, x_unit, y_unit, series):
    """Lines through points: each series is (name, [(x, y), ...])."""
    points = [point for _, values in series for point in values]
    x_low, x_high = decades([x for x, _ in points])
    y_low, y_high = decades([y for _, y in points])
    left, right, top, height = 80, 60, 100, 330

    def x_of(value):
        return left + (math.log10(value) - x_low) / (x_high - x_low) * (WIDTH - left - right)

    def y_of(value):
        return top + height - (math.log10(value) - y_low) / (y_high - y_low) * height

    picture = Picture(top + height + 50)
    picture.title(title)
    picture.legend(54, [name for name, _ in series])
    for exponent in range(x_low, x_high + 1):
        x = x_of(10.0 ** exponent)
        picture.line(x, top, x, top + height, GRID)
        picture.text(x, top + height + 18, power(exponent), "middle")
    for exponent in range(y_low, y_high + 1):
        y = y_of(10.0 ** exponent)
        picture.line(left, y, WIDTH - right, y, GRID)
        picture.text(left - 8, y + 4, power(exponent), "end")
    picture.text(WIDTH - right, top + height + 38, x_unit, "end", 'fill="#666"')
    picture.text(16, top - 18, y_unit, extra='fill="#666"')
    for (_, values), colour in zip(series, COLOURS):
        for (x1, y1), (x2, y2) in zip(values, values[1:]):
            picture.line(x_of(x1), y_of(y1), x_of(x2), y_of(y2), colour, 2.5)
        for x, y in values:
            picture.dot(x_of(x), y_of(y), colour)
    picture.write(path)
