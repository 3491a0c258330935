"""The training curve as a small SVG that reads on light and on dark pages."""

STYLE = """
text{font:12px system-ui,sans-serif;fill:#444}
.grid{stroke:#888;stroke-opacity:.25}
.a{stroke:#8a8a8a;fill:none;stroke-width:1.2}.b{stroke:#0b62b8;fill:none;stroke-width:2}.c{stroke:#b3471d;fill:none;stroke-width:2}
.la{fill:#6f6f6f}.lb{fill:#0b62b8}.lc{fill:#b3471d}
@media (prefers-color-scheme:dark){text{fill:#ccc}.a{stroke:#9a9a9a}.b{stroke:#6db3f2}.c{stroke:#f0986b}
.la{fill:#aaa}.lb{fill:#6db3f2}.lc{fill:#f0986b}}
"""


def draw(path, title, series, x_label):
    """series: list of (label, [(x, y)]), at most three; x in millions of tokens, y in bits per byte."""
    width, height, left, right, top, bottom = 760, 340, 52, 172, 34, 44
    points = [p for _, values in series for p in values]
    x_max = max(x for x, _ in points)
    low = min(y for _, y in points)
    high = min(max(y for _, y in points), max([low + 0.5] + [values[-1][1] + 0.1 for _, values in series]))  # the first steps go far above; the interest is below
    low, high = int(low * 20) / 20, int(high * 20 + 1) / 20
    sx = lambda x: left + x / x_max * (width - left - right)
    sy = lambda y: top + (high - min(y, high)) / (high - low) * (height - top - bottom)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">',
        f"<title>{title}</title><style>{STYLE}</style>",
        f'<text x="{left}" y="18">{title}</text>',
    ]
    y = -(-low * 10 // 1) / 10
    while y <= high + 1e-9:
        out.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{sy(y):.1f}" y2="{sy(y):.1f}"/>')
        out.append(f'<text x="{left - 8}" y="{sy(y) + 4:.1f}" text-anchor="end">{y:.1f}</text>')
        y += 0.1
    tick = next(t for t in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10**9) if x_max / t <= 8)
    for i in range(int(x_max // tick) + 1):
        out.append(f'<text x="{sx(i * tick):.1f}" y="{height - bottom + 18}" text-anchor="middle">{i * tick}</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 8}" text-anchor="middle">{x_label}</text>')
    labels = sorted(((sy(v[-1][1]), name, v[-1][1], c) for c, (name, v) in zip("abc", series)), key=lambda r: r[0])
    at = -100
    for y0, name, value, c in labels:
        at = max(y0 + 4, at + 15)
        out.append(f'<text class="l{c}" x="{width - right + 8}" y="{at:.1f}">{name} {value:.3f}</text>')
    for c, (_, values) in zip("abc", series):
        visible = [p for p in values if p[1] <= high]
        out.append(f'<polyline class="{c}" points="{" ".join(f"{sx(x):.1f},{sy(y):.1f}" for x, y in visible)}"/>')
    out.append("</svg>\n")
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out))
