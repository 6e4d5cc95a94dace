"""Results as a table, as JSON and as a picture."""

from __future__ import annotations

import json
from pathlib import Path

# What a work is judged by, its unit, and whether less is better.
FIGURES = {
    "seconds": ("s", True),
    "per_s": ("inserts/s", False),
    "p50_ms": ("ms (p50)", True),
}
STREAMS = ("ingest, acknowledged", "ingest, in Parquet", "select *", "select * from memtables")


def write_report(folder: Path, host: dict, bench, failed: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"tpch-sf{bench.scale:g}"
    whole = {"host": host, "scale": bench.scale, "rounds": bench.rounds, "failed": failed,
             "lineitem_bytes": bench.lineitem.nbytes, "results": bench.results}
    (folder / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n")
    (folder / f"{name}.md").write_text(markdown(whole, name))
    draw(folder / f"{name}.png", bench.results)
    print(f"-- {folder / name}.md")


def markdown(whole: dict, name: str) -> str:
    host = whole["host"]
    lines = [
        f"# Quiver beside its peers, TPC-H scale factor {whole['scale']:g}",
        "",
        f"{host['date']}, commit {host['commit']}, {host['processor']}, {host['cores']} cores, "
        f"{host['memory_gb']} GB, Linux {host['kernel']}; load {host['load_before']:.1f} before and "
        f"{host['load_after']:.1f} after. Medians of {whole['rounds']} rounds; all servers and clients on one "
        f"machine, one server at a time. `lineitem` has {whole['lineitem_bytes'] / 1e6:.0f} MB in Arrow, and MB/s "
        "count those, whatever goes over the wire.",
        "",
        f"![the same as a picture]({name}.png)",
        "",
        "| work | who | figure | MB/s | to Quiver | more |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for work, peers in whole["results"].items():
        ours = judged(peers["Quiver"])[0] if "Quiver" in peers else None
        for peer, figures in peers.items():
            value, unit, less = judged(figures)
            ratio = ""
            if ours is not None and peer != "Quiver":
                times = value / ours if less else ours / value
                ratio = f"Quiver is {times:.2f}x as fast"
            megabytes = f"{figures['mb_per_s']:.0f}" if "mb_per_s" in figures else ""
            lines.append(f"| {work} | {peer} | {value:.4g} {unit} | {megabytes} | {ratio} | {more(figures)} |")
    if whole["failed"]:
        lines += ["", f"Failed and missing here: {', '.join(whole['failed'])}."]
    return "\n".join(lines) + "\n"


def judged(figures: dict) -> tuple[float, str, bool]:
    for name, (unit, less) in FIGURES.items():
        if name in figures:
            return figures[name], unit, less
    raise KeyError(f"nothing to judge by in {figures}")


def more(figures: dict) -> str:
    parts = []
    if "wire_per_logical" in figures:
        parts.append(f"{figures['wire_per_logical']:.3f} bytes on the wire per logical byte")
    if "server_cpu_s_per_gb" in figures:
        parts.append(f"{figures['server_cpu_s_per_gb']:.2f} CPU s per GB in the server")
    if "p99_ms" in figures:
        parts.append(f"p99 {figures['p99_ms']:.2f} ms")
    if "spread" in figures:
        parts.append(f"slowest round {figures['spread']:.2f}x the fastest")
    if "durability" in figures:
        parts.append(figures["durability"])
    return "; ".join(parts)


def draw(path: Path, results: dict) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    works = list(results)
    columns = 3
    rows = -(-len(works) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(16, 2.6 * rows), squeeze=False)
    for axis in axes.flat[len(works):]:
        axis.set_visible(False)
    for work, axis in zip(works, axes.flat):
        peers = results[work]
        values = [judged(figures)[0] for figures in peers.values()]
        unit = judged(next(iter(peers.values())))[1]
        colours = ["#0b6e4f" if peer == "Quiver" else "#b9c4c9" for peer in peers]
        bars = axis.barh(list(peers), values, color=colours)
        axis.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
        axis.set_title(f"{work} [{unit}]", fontsize=10, loc="left")
        axis.margins(x=0.15)
        axis.invert_yaxis()
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
