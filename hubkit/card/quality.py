"""The rows of the card's tables about perplexity: values, their intervals, and all that they depend on."""

from __future__ import annotations

import math
from collections.abc import Callable

from hubkit import compare
from hubkit.card import evaluation, results, text
from hubkit.card.facts import Facts
from hubkit.card.tables import Row, known
from hubkit.measured import Interval
from hubkit.record import Perplexity

Columns = tuple[list[Row], tuple[str, ...]]
FEW = 10  # documents; of fewer an interval is plainly too narrow
OWN, ALONE = "With this adapter", "Base alone"


def values(facts: Facts) -> Columns:
    """What was found for the base alone and for base and adapter, a row each, and the head of their table."""
    measures = facts.record.measures
    rows: list[tuple[str, str, str, str]] = []
    if measures.perplexity:
        label = "Perplexity of the answers" if measures.perplexity.definition == "answers" else "Perplexity"
        rows += _rows(measures.perplexity, label)
        rows += _more_rows(measures.perplexity)
    if measures.pseudo_perplexity:
        rows += _rows(measures.pseudo_perplexity, "Pseudo-perplexity")
    if not rows:
        return [], ()
    head = ("", ALONE, OWN, "Change")
    held = [at for at in range(4) if at in (0, 2) or any(row[at] for row in rows)]
    return [tuple(row[at] for at in held) for row in rows], tuple(head[at] for at in held)


def _rows(measured: Perplexity, label: str) -> list[tuple[str, str, str, str]]:
    """The value and its interval."""
    value, base = measured.value, measured.base_value
    alone = text.perplexity(base) if base is not None else ""
    change = text.percent(measured.change, signed=True) if measured.change is not None else ""
    found = [(label, alone, f"**{text.perplexity(value)}**", change)]
    intervals = (measured.base_interval, measured.interval, measured.change_interval)
    if shown := next((one for one in (intervals[1], *intervals) if one), None):
        found.append((f"{text.percent_short(shown.confidence)} interval", *interval_cells(measured)))
    return found


def interval_cells(measured: Perplexity) -> tuple[str, str, str]:
    """The intervals of the base alone, of base and adapter, and of the change."""
    return (
        _between(measured.base_interval, text.perplexity),
        _between(measured.interval, text.perplexity),
        _between(measured.change_interval, lambda one: text.percent(one, signed=True)),
    )


def _between(interval: Interval | None, written: Callable[[float], str]) -> str:
    return f"{written(interval.low)} to {written(interval.high)}" if interval else ""


def _more_rows(measured: Perplexity) -> list[tuple[str, str, str, str]]:
    """The mean loss, and the same in bits per byte of the text."""
    unit = {"masked": "masked position", "answers": "token of an answer"}.get(measured.definition, "token")
    value, base = measured.value, measured.base_value
    found = [(f"Loss, nats per {unit}", _nats(base), _nats(value), "")]
    if measured.bits_per_byte is not None:
        had = compare.base_bits_per_byte(measured)
        alone = text.perplexity(had) if had else ""
        change = text.percent(measured.bits_per_byte / had - 1, signed=True) if had else ""
        found.append(("Bits per byte", alone, text.perplexity(measured.bits_per_byte), change))
    return found


def _nats(value: float | None) -> str:
    return results.loss(math.log(value)) if value is not None and value > 0 else ""


def note(facts: Facts) -> str | None:
    """Of what the intervals are, in a sentence."""
    measures = facts.record.measures
    for measured in (measures.perplexity, measures.pseudo_perplexity):
        if measured and (interval := measured.interval or measured.base_interval):
            kind = "conversation" if measured.definition == "answers" else "document"
            over = text.plural(measured.documents, kind)
            drawn = f"{text.plural(interval.resamples, 'resample')}, seed {interval.seed}"
            few = " With so few documents they are too narrow." if measured.documents < FEW else ""
            pseudo = measures.pseudo_perplexity
            if pseudo and pseudo.interval and pseudo.tokens_scored < pseudo.tokens_total:
                few += f" Pseudo-perplexity's is over those of its {text.count(pseudo.tokens_scored)} tokens."
            return (
                f"The intervals are percentiles of a bootstrap over {over} ({drawn}): how far the value moves"
                f" with the choice of {kind}s.{few}"
            )
    return None


def conditions(facts: Facts, measured: Perplexity | None) -> list[Row]:
    """Everything that a perplexity depends on."""
    if measured is None:
        return []
    return known(
        [
            ("Text", evaluation.text_measured(measured)),
            (
                "Conversations" if measured.definition == "answers" else "Documents",
                f"{evaluation.documents_measured(measured)}, {_documents_kept(measured)}",
            ),
            ("Words and bytes of the text", _words_and_bytes(measured)),
            ("Bytes of the answers", _bytes_of_answers(measured)),
            ("Word perplexity", _per(measured, measured.word_perplexity, measured.words)),
            ("Byte perplexity", _per(measured, measured.byte_perplexity, measured.bytes)),
            ("Tokens scored", _scored(measured)),
            ("Context", f"{text.count(measured.context)} tokens at most"),
            ("Stride", _stride(measured)),
            ("Mask", _mask(measured)),
            ("Batch", text.plural(measured.batch_size, _window(measured))),
            (
                "Computed in",
                results.computed_in(facts, measured.dtype, measured.device, measured.environment),
            ),
            ("Kernels", text.phrase(measured.kernels) if measured.kernels else None),
            ("Adapter", "merged into the base; checked to change no number" if measured.merged else None),
            ("Processes", _processes(measured)),
            ("Peak memory of scoring", results.memory(measured)),
            ("Duration", text.duration(measured.seconds) if measured.seconds else None),
            ("Date", text.phrase(measured.date) if measured.date else None),
        ]
    )


def _scored(measured: Perplexity) -> str:
    some = f"{text.count(measured.tokens_scored)} of {text.count(measured.tokens_total)}"
    if measured.definition != "answers":
        return some
    cut = f"; {text.count(measured.tokens_cut)} beyond the context are not" if measured.tokens_cut else ""
    return f"{some}, those of the answers{cut}"


def _documents_kept(measured: Perplexity) -> str:
    if measured.documents_kept == "apart":
        return "each scored apart, none with another's text before it"
    return "joined by blank lines, which are scored too"


def _words_and_bytes(measured: Perplexity) -> str | None:
    if measured.words is None or measured.bytes is None or measured.definition == "answers":
        return None
    return f"{text.plural(measured.words, 'word')}, {text.plural(measured.bytes, 'byte')} of UTF-8"


def _window(measured: Perplexity) -> str:
    return "conversation" if measured.definition == "answers" else "window"


def _bytes_of_answers(measured: Perplexity) -> str | None:
    return text.count(measured.bytes) if measured.bytes and measured.definition == "answers" else None


def _per(measured: Perplexity, value: float | None, units: int | None) -> str | None:
    """A perplexity for each of so many units of the text, and that of the base alone."""
    if value is None:
        return None
    base = compare.base_per(measured, units)
    alone = f", base alone {text.perplexity(base)}" if base is not None else ""
    return f"{text.perplexity(value)}{alone}"


def _stride(measured: Perplexity) -> str | None:
    if measured.definition == "answers":
        return None  # a conversation is one window
    if measured.definition == "pseudo":
        return None  # each token is scored by a window of its own
    if measured.definition == "masked":
        return (
            f"{text.count(measured.stride)} tokens of text per window, between `[CLS]` and `[SEP]`;"
            " windows do not overlap"
        )
    if measured.stride >= measured.context:
        return (
            f"{text.count(measured.stride)} tokens: only the last window of a text sees tokens scored before"
        )
    shared = text.count(measured.context - measured.stride)
    return (
        f"{text.count(measured.stride)} tokens scored per window, with up to {shared} before them as context"
    )


def _mask(measured: Perplexity) -> str | None:
    if measured.definition == "pseudo":
        return "each token in turn, alone"
    if measured.definition != "masked" or measured.mask_probability is None:
        return None
    seed = f", seed {measured.mask_seed}" if measured.mask_seed is not None else ""
    same = ", the same positions for base and adapter" if measured.base_value is not None else ""
    return f"probability {text.number(measured.mask_probability)}{seed}{same}"


def _processes(measured: Perplexity) -> str | None:
    if not measured.processes or measured.processes < 2:
        return None
    return f"{text.count(measured.processes)}, each with windows of its own"


def in_short(facts: Facts) -> list[tuple[str, str | None]]:
    """What a terminal shows of it beside the card's glance."""
    measured = facts.record.measures.perplexity
    if measured is None:
        return []
    base, own, change = interval_cells(measured)
    found: list[tuple[str, str | None]] = []
    if own:
        shown = measured.interval.confidence if measured.interval else 0.95
        both = f"{own}, base alone {base} ({change})" if base and change else own
        found.append((f"{text.percent_short(shown)} interval", both))
    if measured.bits_per_byte is not None:
        had = compare.base_bits_per_byte(measured)
        alone = f", base alone {text.perplexity(had)}" if had else ""
        found.append(("Bits per byte", text.perplexity(measured.bits_per_byte) + alone))
    return found
