"""The benchmark's tables: what was measured, as Markdown and as data."""

from __future__ import annotations

import os
import platform
import statistics
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench_rows import GROUPS, OURS, OURS_BF16, ROOFLINE, Row

LIBRARIES = ("torch", "transformers", "peft", "lm_eval", "evaluate", "optimum-benchmark")
WORDS = (
    "The ratio is the peer's CPU seconds over hubkit's, median of the rounds, after loading; the ceiling is"
    " what it would be if hubkit did the matrix products of the task at the machine's full rate, and nothing"
    " else. Each pair of CPU seconds, answers and memory is hubkit's and the peer's; memory is the peak of"
    " the process."
)
Results = dict[str, list[dict[str, Any]]]  # by run, one for each round


def ratios(results: Results, row: Row, clock: str) -> list[float]:
    """The peer's time over hubkit's, by rounds."""
    pairs = zip(results[row.ours], results[row.theirs], strict=False)
    return [theirs[clock] / ours[clock] for ours, theirs in pairs if clock in ours and clock in theirs]


def median(results: Results, run: str, key: str) -> float:
    """Over a run's rounds; NaN where it failed."""
    values = [found[key] for found in results[run] if key in found]
    return statistics.median(values) if values else float("nan")


def answer(results: Results, run: str) -> str:
    """What a run says, with the value pooled over tokens where it means over texts."""
    for found in results[run]:
        if "perplexity" in found:
            pooled = f" ({found['pooled']:.6g} by token)" if "pooled" in found else ""
            return f"{found['perplexity']:.6g}{pooled}"
    return "failed"


def ceiling(results: Results, row: Row) -> float | None:
    """The ratio if hubkit's run did its matrix products at the machine's rate, and nothing else."""
    least = [one["gflop"] / one["roofline"] for one in results[row.ours] if "roofline" in one]
    theirs = median(results, row.theirs, "cpu")
    return theirs / statistics.median(least) if least and theirs == theirs else None


def line(results: Results, row: Row) -> dict[str, Any]:
    """A row's figures."""
    cpu, wall = ratios(results, row, "cpu"), ratios(results, row, "wall")
    memory = median(results, row.ours, "peak")
    met: bool | None = None
    if row.target and cpu:
        met = statistics.median(cpu) >= row.target and memory <= (row.megabytes or memory)
    return {
        "work": row.work,
        "peer": row.theirs,
        "ratio": statistics.median(cpu) if cpu else None,
        "spread": [min(cpu), max(cpu)] if cpu else None,
        "rounds": len(cpu),
        "ratio_wall": statistics.median(wall) if wall else None,
        "cpu_seconds": [median(results, row.ours, "cpu"), median(results, row.theirs, "cpu")],
        "ceiling": ceiling(results, row),
        "answers": [answer(results, row.ours), answer(results, row.theirs)],
        "megabytes": [memory, median(results, row.theirs, "peak")],
        "target": row.target,
        "most_megabytes": row.megabytes,
        "reached": met,
    }


def table(lines: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    heads = "work | peer | ratio | spread | ceiling | in wall time | CPU s | answers | memory (MB)"
    text = [
        f"| {heads} | target | reached |",
        "| --- | --- | ---: | --- | ---: | ---: | --- | --- | --- | --- | --- |",
    ]
    for one in lines:
        if one["ratio"] is None:
            text.append(
                f"| {one['work']} | {one['peer']} | failed | | | | | {' and '.join(one['answers'])} | | | |"
            )
            continue
        target = f"{one['target']}x" if one["target"] else "-"
        target += f", {one['most_megabytes']:,} MB" if one["most_megabytes"] else ""
        reached = {True: "yes", False: "no", None: "-"}[one["reached"]]
        spread = f"{one['spread'][0]:.2f}-{one['spread'][1]:.2f} of {one['rounds']}"
        cells = [
            one["work"],
            one["peer"],
            f"{one['ratio']:.2f}",
            spread,
            f"{one['ceiling']:.2f}" if one["ceiling"] else "-",
            f"{one['ratio_wall']:.2f}",
            " and ".join(f"{value:.1f}" for value in one["cpu_seconds"]),
            " and ".join(one["answers"]),
            " and ".join(f"{value:,.0f}" for value in one["megabytes"]),
            target,
            reached,
        ]
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join(text)


def shares(every: dict[str, Results]) -> list[dict[str, Any]]:
    """How much of the machine's matrix rate hubkit's runs reach."""
    found = []
    for group, run, dtype, least in ROOFLINE:
        done = [one for one in every.get(group, {}).get(run, []) if "roofline" in one]
        if not done:
            continue
        rates = [one["gflop"] / one["cpu"] for one in done]
        part = statistics.median(rate / one["roofline"] for rate, one in zip(rates, done, strict=True))
        whole = statistics.median(one["roofline"] for one in done)
        found.append(
            {
                "work": f"{group}, {dtype}",
                "gflops": statistics.median(rates),
                "roofline": whole,
                "share": part,
                "target": least,
                "reached": part >= least,
                "kernels": done[0].get("kernels"),
                "merged": done[0].get("merged"),
            }
        )
    return found


def share_table(found: list[dict[str, Any]]) -> str:
    """The shares in Markdown."""
    heads = "work | GFLOP/s | of the machine's | share | target | reached | kernels | merged"
    lines = [f"| {heads} |", "| --- | ---: | ---: | ---: | ---: | --- | --- | --- |"]
    for one in found:
        words = ["no" if not one[key] else "yes" for key in ("reached", "merged")]
        lines.append(
            f"| {one['work']} | {one['gflops']:.0f} | {one['roofline']:.0f} | {one['share']:.0%}"
            f" | {one['target']:.0%} | {words[0]} | {one['kernels'] or 'plain'} | {words[1]} |"
        )
    return "\n".join(lines)


def apart(one: dict[str, Any]) -> str:
    """How far two answers are apart."""
    return f"failed: {one['error']}" if "error" in one else f"{one['relative_difference']:.1e} apart"


def agreement_table(found: list[dict[str, Any]]) -> str:
    """lm_eval's answers beside hubkit's, in Markdown."""
    lines = ["| model and text | tokens | hubkit | lm_eval | relative difference of the log-likelihood |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for one in found:
        if "error" in one:
            lines.append(f"| {one['text']} | {apart(one)} | | | |")
            continue
        ours, theirs = one["perplexity"]
        tokens = " and ".join(f"{count:,}" for count in dict.fromkeys(one["tokens"]))
        difference = f"{one['relative_difference']:.1e}"
        lines.append(f"| {one['text']} | {tokens} | {ours:.8g} | {theirs:.8g} | {difference} |")
    return "\n".join(lines)


def throughput_table(found: Any) -> str:
    """Prefill and decode by hubkit and by optimum-benchmark, medians of the turns, in Markdown."""
    if isinstance(found, dict):
        return apart(found)
    lines = ["| tokens/s | prefill | decode |", "| --- | ---: | ---: |"]
    for name in found[0]:
        prefill, decode = (statistics.median(turn[name][at] for turn in found) for at in (0, 1))
        lines.append(f"| {name} | {prefill:.0f} | {decode:.1f} |")
    parts = [
        statistics.median(turn["hubkit"][at] / turn["optimum-benchmark"][at] for turn in found)
        for at in (0, 1)
    ]
    lines.append(f"| hubkit's over the other's, of each turn | {parts[0]:.2f} | {parts[1]:.2f} |")
    return "\n".join(lines)


def rounding(groups: dict[str, Results]) -> str:
    """How far hubkit's answers in bfloat16 are from its own in float32."""
    parts = []
    for name, results in groups.items():
        if {OURS, OURS_BF16} <= results.keys():
            full, half = (median(results, run, "perplexity") for run in (OURS, OURS_BF16))
            parts.append(f"{name} {100 * (half / full - 1):+.3f} %")
    return f"hubkit's perplexity in bf16 beside its own in fp32: {', '.join(parts)}." if parts else ""


def page(data: dict[str, Any]) -> str:
    """All that is known, in Markdown."""
    minutes, load = data["minutes"], data["load"]
    parts = ", ".join(f"{name} {minutes[name]} min under a load of {load[name]}" for name in minutes)
    conditions = f"{data['machine']}.\n\nParts: {parts}; {sum(minutes.values()):.1f} minutes in all."
    groups: dict[str, Results] = data["groups"]
    data["rows"] = [
        line(groups[group.name], row) for group in GROUPS if group.name in groups for row in group.rows
    ]
    data["shares"] = shares(groups)
    texts = {
        "Conditions": conditions,
        "Time and memory": f"{WORDS}\n\n{table(data['rows'])}\n\n{rounding(groups)}",
        "Share of the machine's own matrix rate": share_table(data["shares"]),
    }
    if "agreement" in data:
        texts["Answers beside lm_eval's, float32"] = agreement_table(data["agreement"])
    if "counting" in data:
        texts["Parameters and facts of a base of 110M with its adapter"] = data["counting"]
    if "throughput" in data:
        texts["Throughput of SmolLM2-135M, float32, one thread"] = throughput_table(data["throughput"])
    sections = [f"## {title}\n\n{text}" for title, text in texts.items()]
    return "\n\n".join(["# hubkit beside its peers", *sections]) + "\n"


def machine(threads: int) -> str:
    """Processor, cores and versions; nothing that names the machine."""
    name = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        models = [
            row.partition(":")[2].strip()
            for row in cpus.read_text().splitlines()
            if row.startswith("model name")
        ]
        name = models[0] if models else name
    wide = " with avx512_bf16" if cpus.exists() and "avx512_bf16" in cpus.read_text() else ""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES if installed(name))
    counted = f"{threads} thread{'s' if threads > 1 else ''} a run"
    return (
        f"{datetime.now(UTC).date().isoformat()}, {os.cpu_count()} cores of {name}{wide}, {counted},"
        f" Python {platform.python_version()}, {libraries}"
    )


def installed(name: str) -> bool:
    """Whether a library is there."""
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
