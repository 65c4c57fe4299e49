"""Draws what benchmarks have measured: a PNG beside each JSON file that says what its bars are.

python benchmarks/_plots.py
"""

import argparse
import json
import textwrap
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
BAR, TARGET = "#4c78a8", "#e45756"
WIDTH = 9.0  # inches
BAR_HEIGHT = 0.34  # inches
LABEL_WIDTH = 60  # letters


def draw_all(folder):
    """Draws every result in a folder that has a plot. Returns the paths of the PNG files."""
    records = {path: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    return [draw(record, path.with_suffix(".png")) for path, record in records.items() if "plot" in record]


def draw(record, path):
    """Draws one result: a bar a number, its target as a line across it. Returns `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plot = record["plot"]
    bars = plot["bars"]
    figure = Figure(figsize=(WIDTH, 1.4 + BAR_HEIGHT * len(bars)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_bars(axes, bars)
    axes.set_xlabel(plot["axis"])
    figure.suptitle(textwrap.fill(plot["title"], 90), fontsize=11)
    machine = record["machine"]
    figure.supxlabel(f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}", fontsize=8, color="gray")
    figure.savefig(path, dpi=120)
    return path


def _draw_bars(axes, bars):
    values = [bar["value"] for bar in bars]
    places = range(len(bars))
    axes.barh(places, values, height=0.7, color=BAR)
    for place, bar in zip(places, bars, strict=True):
        _draw_target(axes, place, bar["target"])
        _write_value(axes, place, bar["value"], bar["target"])
    axes.set_yticks(places, [textwrap.shorten(bar["label"], LABEL_WIDTH, placeholder=" …") for bar in bars], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.5 / max(len(bars), 1))
    axes.axvline(0, color="black", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    if any(bar["target"] is not None for bar in bars):
        axes.plot([], [], color=TARGET, linewidth=2.5, label="target")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize=8)


def _draw_target(axes, place, target):
    if target is not None:
        axes.vlines(target, place - 0.45, place + 0.45, color=TARGET, linewidth=2.5)


def _write_value(axes, place, value, target):
    """Writes a number at the end of its bar, or beyond its target where that would lie under the number."""
    end = value if target is None or value < 0 else max(value, target)
    side = "right" if value < 0 else "left"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
    offset = (-4, 0) if value < 0 else (4, 0)
    axes.annotate(text, (end, place), offset, textcoords="offset points", va="center", ha=side, fontsize=8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder with the JSON files")
    print(*draw_all(parser.parse_args().results), sep="\n")
