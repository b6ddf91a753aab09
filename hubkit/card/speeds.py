"""The rows of the card's tables about throughput: speeds, their spread, latencies, batch sizes, energy."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hubkit.card import results, text
from hubkit.card.facts import Facts
from hubkit.card.tables import Row, known
from hubkit.measured_speed import Energy, Rates
from hubkit.record import Environment, Rate, Throughput

FIELDS = ("prefill", "decode", "samples", "tokens")
LABELS = {
    "prefill": "Prompt (prefill)",
    "decode": "Generation (decode)",
    "samples": "Sequences",
    "tokens": "Tokens",
}
SHORT = {"prefill": "Prompt", "decode": "Generation", "samples": "Sequences", "tokens": "Tokens"}
NOISY = " (noisy)"
Columns = tuple[list[Row], tuple[str, ...]]


def values(facts: Facts) -> Columns:
    """Speeds with their spread, the merged model's below, and the head of their table."""
    measured = facts.record.measures.throughput
    if measured is None:
        return [], ()
    rows = [_speed(LABELS[name], rate, _latency(name, measured)) for name, rate in _rates(measured)]
    if merged := measured.merged:
        rows += [
            _speed(f"{SHORT[name]}, merged", rate, _latency(name, merged)) for name, rate in _rates(merged)
        ]
    head = ("", "Median", "Quartiles", "p50, p95", "Runs")
    held = [at for at in range(len(head)) if at != 3 or any(row[at] for row in rows)]
    return [tuple(row[at] for at in held) for row in rows], tuple(head[at] for at in held)


def _rates(measured: Throughput | Rates) -> Iterator[tuple[str, Rate]]:
    for name in FIELDS:
        if rate := getattr(measured, name):
            yield name, rate


def _speed(label: str, rate: Rate, latency: str) -> Row:
    return (
        label,
        f"{text.rate(rate.median)} {text.phrase(rate.unit)}{NOISY if rate.noisy else ''}",
        f"{text.rate(rate.low)} to {text.rate(rate.high)}",
        latency,
        text.count(rate.repeats),
    )


def _latency(name: str, measured: Throughput | Rates) -> str:
    """p50 and p95; that of tokens is the one of the sequences that they are in."""
    rate: Rate = getattr(measured, name)
    if name == "tokens" and measured.samples:
        return ""
    return ", ".join(text.latency(one) for one in (rate.p50_seconds, rate.p95_seconds) if one is not None)


def note(facts: Facts) -> str | None:
    """Of what the latencies are, and what of it all is of the merged model."""
    measured = facts.record.measures.throughput
    if measured is None:
        return None
    found = []
    every = [*_rates(measured), *(_rates(measured.merged) if measured.merged else ())]
    if any(rate.p50_seconds is not None for _, rate in every):
        of = (
            "reading the prompt, until the first new token is there, and of each new token after it"
            if measured.prefill or measured.decode
            else "one forward pass over the batch"
        )
        found.append(f"p50 and p95 are latencies: of {of}.")
    if measured.merged:
        found.append("Merged: with the adapter's weights added to the base's, as `merge_and_unload()` does.")
    return " ".join(found) or None


def noisy(facts: Facts) -> list[str]:
    """The speeds whose runs differed by more than a tenth."""
    measured = facts.record.measures.throughput
    if measured is None:
        return []
    found = _noisy(measured, "{}")
    if measured.merged:
        found += _noisy(measured.merged, "merged {}")
    for one in measured.sweep:
        found += _noisy(one, f"{{}} at batch {one.batch_size:,}")
    return found


def _noisy(measured: Throughput | Rates, called: str) -> list[str]:
    """Those of one batch size; tokens are of the runs of the sequences that they are in."""
    names = [name for name, rate in _rates(measured) if rate.noisy]
    own = [name for name in names if not (name == "tokens" and "samples" in names)]
    return [called.format(SHORT[name].lower()) for name in own]


def sweep(facts: Facts) -> Columns:
    """The speed at each batch size that was tried, and the head of its table."""
    measured = facts.record.measures.throughput
    if measured is None or not measured.sweep:
        return [], ()
    sizes = {one.batch_size: one for one in (_main(measured), *measured.sweep)}
    every = [sizes[size] for size in sorted(sizes)]
    if len(every) < 2:
        return [], ()
    names = [name for name in FIELDS if any(getattr(one, name) for one in every)]
    units = {name: next(getattr(one, name).unit for one in every if getattr(one, name)) for name in names}
    columns = [("Batch", [text.count(one.batch_size) for one in every])]
    for name in names:
        rates = [getattr(one, name) for one in every]
        columns.append((f"{SHORT[name]}, {text.phrase(units[name])}", [_in_a_cell(rate) for rate in rates]))
        if not (name == "tokens" and "samples" in names):
            columns.append((f"{SHORT[name]}, p95", [_p95(rate) for rate in rates]))
    memory = [text.size(one.peak_memory_bytes) if one.peak_memory_bytes else "" for one in every]
    columns.append(("Peak memory", memory))
    held = [(head, cells) for head, cells in columns if any(cells)]
    return [*zip(*(cells for _, cells in held), strict=True)], tuple(head for head, _ in held)


def _main(measured: Throughput) -> Rates:
    """The main figures as those of a batch size."""
    return Rates(
        batch_size=measured.batch_size,
        peak_memory_bytes=measured.peak_memory_bytes,
        **{name: getattr(measured, name) for name in FIELDS},
    )


def _in_a_cell(rate: Rate | None) -> str:
    return f"{text.rate(rate.median)}{NOISY if rate.noisy else ''}" if rate else ""


def _p95(rate: Rate | None) -> str:
    return text.latency(rate.p95_seconds) if rate and rate.p95_seconds is not None else ""


def largest(facts: Facts) -> str | None:
    """The largest batch size that fit, in a sentence; nothing where no other than the main one was tried."""
    measured = facts.record.measures.throughput
    if measured is None or not (measured.sweep or measured.out_of_memory_at):
        return None
    fits = max(measured.batch_size, *(one.batch_size for one in measured.sweep), 0)
    if measured.out_of_memory_at is None:
        return f"All batch sizes that were tried fit into memory, up to {text.count(fits)}."
    failed = text.count(measured.out_of_memory_at)
    how = (
        f"{failed} was not tried, as the memory that was free would not have held it"
        if measured.out_of_memory_foretold
        else f"{failed} did not fit into memory"
    )
    return f"The largest batch size tried that fits is {text.count(fits)}; {how}."


def conditions(facts: Facts) -> list[Row]:
    """What the speeds depend on."""
    measured = facts.record.measures.throughput
    if measured is None:
        return []
    environment = measured.environment
    return known(
        [
            ("Batch", text.plural(measured.batch_size, "sequence")),
            ("Sequence length", f"{text.count(measured.sequence_length)} tokens"),
            ("New tokens per sequence", text.count(measured.new_tokens) if measured.new_tokens else None),
            ("Warm-up runs", text.count(measured.warmup)),
            ("Computed in", results.computed_in(facts, measured.dtype, measured.device, environment)),
            ("Threads", text.count(environment.threads) if environment and environment.threads else None),
            ("Load of the machine at the start", _load(environment)),
            ("Peak memory", results.memory(measured)),
            ("Peak memory, merged", _merged_memory(measured)),
            *(_energy_rows(measured.energy) if measured.energy else ()),
            ("Date", text.phrase(measured.date) if measured.date else None),
        ]
    )


def _merged_memory(measured: Throughput) -> str | None:
    merged = measured.merged
    return text.size(merged.peak_memory_bytes) if merged and merged.peak_memory_bytes else None


def _load(environment: Environment | None) -> str | None:
    if environment is None or environment.load_average is None:
        return None
    cores = f" on {text.plural(environment.cpu_count, 'CPU')}" if environment.cpu_count else ""
    return f"{environment.load_average:.2f}{cores} (one-minute load average)"


def energy(facts: Facts) -> str | None:
    """What it took, in a sentence: joules and, with the factor, CO2."""
    measured = facts.record.measures.throughput
    counted = measured.energy if measured else None
    if measured is None or counted is None:
        return None
    generates = bool(measured.prefill or measured.decode)
    per = [
        f"{_joules(counted.joules / number)} per {unit}"
        for number, unit in (
            (counted.tokens, "new token (its prompt's reading included)" if generates else "token"),
            (counted.samples, "sequence"),
        )
        if number
    ]
    said = f"Energy: {' and '.join(per) or _joules(counted.joules)}"
    if counted.grams_co2 is not None and counted.samples:
        said += f"; {_grams(counted.grams_co2 / counted.samples)} of CO2 per sequence{_factor(counted)}"
    return f"{said}, as counted by {text.phrase(counted.source)}: all that ran there in that time."


def _factor(counted: Energy) -> str:
    return f" at {text.number(counted.grams_co2_per_kwh)} g per kWh" if counted.grams_co2_per_kwh else ""


def _energy_rows(counted: Energy) -> list[tuple[str, str | None]]:
    amounts = [
        text.plural(number, unit)
        for number, unit in ((counted.tokens, "token"), (counted.samples, "sequence"))
        if number is not None
    ]
    over = f", {text.listed(amounts)}" if amounts else ""
    joules = f"{_joules(counted.joules)} in {text.duration(counted.seconds)}{over}"
    factor = None
    if counted.grams_co2_per_kwh is not None:
        source = f" ({text.phrase(counted.factor_source)})" if counted.factor_source else ""
        factor = f"{text.number(counted.grams_co2_per_kwh)} g per kWh{source}"
    grams = _grams(counted.grams_co2) if counted.grams_co2 is not None else None
    return [
        ("Energy of all runs", f"{joules} ({text.phrase(counted.source)})"),
        ("CO2 of all runs", grams),
        ("CO2 factor", factor),
    ]


def _joules(value: float) -> str:
    return _scaled(value, "J")


def _grams(value: float) -> str:
    return _scaled(value, "g")


def _scaled(value: float, unit: str) -> str:
    """In the unit itself, or a thousandth or a millionth of it."""
    if value >= 0.0995:
        return f"{_three(value)} {unit}"
    if value >= 0.0000995:
        return f"{_three(1000 * value)} m{unit}"
    return f"{_three(1e6 * value)} µ{unit}"


def _three(value: float) -> str:
    """Three digits, without an exponent: 0.412, 1.41, 812, 12,345."""
    if value >= 99.95:
        return f"{value:,.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    if value >= 0.995 or value <= 0:
        return f"{value:.2f}"
    return f"{value:.{2 - math.floor(math.log10(value))}f}"


def in_short(facts: Facts) -> list[tuple[str, str | None]]:
    """What a terminal shows of it beside the card's glance."""
    measured = facts.record.measures.throughput
    if measured is None:
        return []
    merged = [
        f"{SHORT[name].lower()} {text.rate(rate.median)} {rate.unit}{NOISY if rate.noisy else ''}"
        for name, rate in (_rates(measured.merged) if measured.merged else ())
    ]
    said = (largest(facts) or "").rstrip("."), (energy(facts) or "").removeprefix("Energy: ").rstrip(".")
    return [("Merged", ", ".join(merged)), ("Batch sizes", said[0]), ("Energy", said[1])]
