"""Draw the kernels' speed as an SVG file for light and dark mode."""

from __future__ import annotations

from pathlib import Path

BAR = 13
GAP = 22
LEFT = 112
RIGHT = 200
PLOT = 460
TOP = 62

SERIES = {
    "pytorch": ("PyTorch", "peer"),
    "onnxruntime": ("ONNX Runtime", "peer"),
    "openvino": ("OpenVINO", "peer"),
    "exact": ("winograd, exact", "exact"),
    "fast": ("winograd, fast", "fast"),
}

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.size { font-weight: 600; }
.note, .name { fill: #59636e; }
.axis { stroke: #d1d9e0; }
.peer { fill: #a3b0bd; } .exact { fill: #4a90d9; } .fast { fill: #d9632a; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; } .note, .name { fill: #9198a1; } .axis { stroke: #3d444d; }
  .peer { fill: #57606a; }
}
"""


def draw(results: list[dict], path: Path) -> None:
    """Draw images/s and the ratio to the fastest peer, with one group of bars per size.

    `results` are rows of extract.json; those with the most threads are drawn.
    """
    threads = max(row["threads"] for row in results)
    rows = [row for row in results if row["threads"] == threads]
    sizes = sorted({row["size"] for row in rows})
    highest = max(row["ratio"] for row in rows)
    scale = PLOT / max(highest, 1)
    group = len(SERIES) * BAR + GAP
    height = TOP + len(sizes) * group + 24
    width = LEFT + PLOT + RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        f"<style>{STYLE}</style>",
        "<title>Speed of the 13 convolutions of VGG16</title>",
        '<text class="title" x="12" y="22">The 13 convolutions of VGG16, float32</text>',
        f'<text class="note" x="12" y="42">images/s, and times the fastest peer; '
        f"{threads} thread{'s' if threads > 1 else ''}</text>",
    ]
    bottom = TOP + len(sizes) * group - GAP + 6
    for times in range(int(highest) + 1):
        x = LEFT + times * scale
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}"/>')
        parts.append(
            f'<text class="note" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{times}×</text>'
        )
    for index, size in enumerate(sizes):
        y = TOP + index * group
        parts += _group([row for row in rows if row["size"] == size], y, scale)
    parts.append("</svg>")
    path.write_text("\n".join(parts) + "\n")


def _group(rows: list[dict], top: int, scale: float) -> list[str]:
    """The bars of one size."""
    rates = {name: rows[0][name] for name in ("pytorch", "onnxruntime", "openvino")}
    relative = {name: rate / max(rates.values()) for name, rate in rates.items()}
    for row in rows:
        rates[row["accuracy"]] = row["images_per_s"]
        relative[row["accuracy"]] = row["ratio"]
    size = rows[0]["size"]
    parts = [f'<text class="size" x="12" y="{top + 11}">{size} px</text>']
    parts.append(f'<text class="note" x="12" y="{top + 27}">batch {rows[0]["batch"]}</text>')
    for index, (name, (label, kind)) in enumerate(SERIES.items()):
        y = top + index * BAR
        length = relative[name] * scale
        parts.append(
            f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}"/>'
        )
        ratio = f", {relative[name]:.2f}×" if kind != "peer" else ""
        parts.append(
            f'<text x="{LEFT + length + 6:.1f}" y="{y + 10}">{rates[name]:.3g}{ratio} '
            f'<tspan class="name">{label}</tspan></text>'
        )
    return parts
