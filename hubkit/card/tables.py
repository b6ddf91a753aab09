"""The rows of the card's tables about the adapter itself: at a glance, details, parameters, size.

A row is a label and a value, ready for `text.table`. What is not known gives no row.
"""

from __future__ import annotations

from hubkit.card import pruned, text
from hubkit.card.configuration import quantization as quantization
from hubkit.card.configuration import ranks as ranks
from hubkit.card.configuration import ranks_in_short
from hubkit.card.facts import MANY_LABELS, Facts
from hubkit.card.text import Row as Row
from hubkit.card.text import known as known
from hubkit.record import Classification, Parameters, Perplexity, Throughput

PLACES = {"masked": " at masked positions", "answers": " of the answers, given the prompts"}


def base_link(facts: Facts) -> str | None:
    """The base model's id as a link, with the commit that was loaded."""
    if facts.base_id is None:
        return None
    base = facts.record.base_model
    commit = f" at {text.code(base.revision[:12])}" if base and base.revision else ""
    return text.model_link(facts.base_id) + commit


def at_a_glance(facts: Facts) -> list[Row]:
    """What a reader of ten seconds sees."""
    dataset, measures = facts.record.dataset, facts.record.measures
    parameters, pseudo = facts.parameters, measures.pseudo_perplexity
    rank = ranks_in_short(facts.adapter)
    method = ", ".join(filter(None, [text.phrase(facts.kind.title), rank]))
    name = None
    if dataset and facts.record.training:
        name = text.dataset_link(dataset.id) if dataset.id else text.phrase(dataset.name)
    return known(
        [
            ("Base model", base_link(facts)),
            ("Task", facts.task.TITLE if facts.task else None),
            ("Method", method),
            ("Base weights", quantization(facts)),
            ("Trained on", name),
            ("Perplexity", _perplexity_in_short(measures.perplexity) if measures.perplexity else None),
            ("Accuracy", _accuracy_in_short(measures.classification) if measures.classification else None),
            ("Pseudo-perplexity", _perplexity_in_short(pseudo) if pseudo else None),
            ("Trainable parameters", _trainable(facts)),
            ("Adapter parameters", None if parameters.trainable else text.count(parameters.adapter)),
            ("Zeros in the adapter", _sparsity(facts)),
            ("Adapter file", text.exact_size(facts.size.adapter_weights_bytes)),
            ("Throughput", _throughput_in_short(measures.throughput) if measures.throughput else None),
            ("License", license_name(facts)),
        ]
    )


def details(facts: Facts) -> list[Row]:
    """Who made it, and what it is made of."""
    author, base, run = facts.author, facts.record.base_model, facts.record.training
    names = [text.phrase(name) for name in author.authors if text.plain(name)]
    return known(
        [
            ("Developed by", ", ".join(names)),
            ("Shared by", text.phrase(author.shared_by or "")),
            ("Architecture", _architecture(facts)),
            ("Labels", _labels(facts)),
            ("Language", text.codes(author.language)),
            ("Longest sequence in training", text.plural(run.block_size, "token") if run else None),
            (
                "Longest input of the base",
                text.plural(base.max_positions, "token") if base and base.max_positions else None,
            ),
            ("Vocabulary", _vocabulary(facts)),
            ("Code", text.address(author.repository)),
            ("Paper", text.address(author.paper)),
            ("Demo", text.address(author.demo)),
        ]
    )


def _labels(facts: Facts) -> str | None:
    """A classifier's labels in the order of its head's rows; of many, how many."""
    names = facts.label_names
    if facts.task is None or not getattr(facts.task, "has_labels", False) or not (names or facts.labels):
        return None
    return (
        text.codes(list(names)) if 0 < len(names) <= MANY_LABELS else text.count(facts.labels or len(names))
    )


def _architecture(facts: Facts) -> str | None:
    base = facts.record.base_model
    if base is None or not (base.architecture or base.model_type):
        return None
    family = f" ({text.phrase(base.model_type)})" if base.architecture and base.model_type else ""
    return text.code(base.architecture or base.model_type or "") + family


def _vocabulary(facts: Facts) -> str | None:
    """Of how many tokens the embeddings are: the adapter's own, where it brings some."""
    base = facts.record.base_model
    had, own = base.vocab_size if base else None, facts.embedding_rows
    if own and had and own != had:
        return f"{text.plural(own, 'token')}, resized from the base's {text.count(had)}"
    return text.plural(own or had or 0, "token") if own or had else None


def license_name(facts: Facts) -> str | None:
    """The licence that the author gave, linked where it is not of the Hub's list."""
    author = facts.author
    if author.license == "other" and author.license_name and author.license_link:
        return f"[{text.phrase(author.license_name)}]({_address(author.license_link)})"
    return text.code(author.license) if author.license else None


def _address(link: str) -> str:
    return "".join(c for c in text.plain(link) if c not in " <>()|\\\"'`")


def _perplexity_in_short(measured: Perplexity) -> str:
    value = f"**{text.perplexity(measured.value)}**"
    where = PLACES.get(measured.definition, "")
    if measured.base_value is None or measured.change is None:
        return value + where
    change = text.percent(measured.change, signed=True)
    return f"{value}{where}, base alone {text.perplexity(measured.base_value)} ({change})"


def _accuracy_in_short(measured: Classification) -> str:
    return (
        f"**{text.score(measured.accuracy)}**, macro F1 {text.score(measured.macro_f1)} (always the most"
        f" frequent class: accuracy {text.score(measured.majority_accuracy)})"
    )


def _trainable(facts: Facts) -> str | None:
    parameters = facts.parameters
    if not parameters.trainable:
        return None
    if not parameters.total:
        return text.count(parameters.trainable)
    share = text.percent(parameters.trainable / parameters.total)
    return f"{text.count(parameters.trainable)} of {text.count(parameters.total)} ({share})"


def _sparsity(facts: Facts) -> str | None:
    """The share of zeros, where there are any."""
    sparsity = facts.parameters.sparsity
    return text.percent(sparsity) if sparsity else None


def _throughput_in_short(measured: Throughput) -> str:
    parts = [
        f"{label}{text.rate(rate.median)} {rate.unit}{' (noisy)' if rate.noisy else ''}"
        for label, rate in (
            ("prompt ", measured.prefill),
            ("generation ", measured.decode),
            ("", measured.samples),
            ("", measured.tokens),
        )
        if rate
    ]
    return f"{', '.join(parts)} (batch {measured.batch_size}, {measured.dtype}, {measured.device})"


def parameters(facts: Facts) -> list[Row]:
    """Parameter counts."""
    counts = facts.parameters
    rows: list[tuple[str, str | None]] = [
        (_total_label(counts.total_by_dtype), text.count(counts.total) if counts.total else None),
        *_by_dtype(counts.total_by_dtype),
        *_embeddings(counts),
        ("Trainable", text.count(counts.trainable) if counts.trainable else None),
        (
            "Trainable share",
            text.percent(counts.trainable / counts.total) if counts.total and counts.trainable else None,
        ),
        ("In the adapter file", text.count(counts.adapter)),
    ]
    if counts.adapter_nonzero is not None and counts.adapter_nonzero != counts.adapter:
        rows.append(("Not zero in the adapter file", text.count(counts.adapter_nonzero)))
    rows.append(("Zeros among the pruned matrices", _sparsity(facts)))
    rows.append(("Ranks kept by training", pruned.ranks_kept(facts)))
    return known(rows)


def _total_label(by_dtype: dict[str, int]) -> str:
    return f"Base and adapter, in {next(iter(by_dtype))}" if len(by_dtype) == 1 else "Base and adapter"


def _by_dtype(by_dtype: dict[str, int]) -> list[tuple[str, str | None]]:
    """How many of them are held in which dtype, where there are several."""
    names = {"4bit": "4 bits", "8bit": "8 bits"}
    rows = [(f"of these, in {names.get(name, name)}", text.count(n)) for name, n in by_dtype.items()]
    return [*rows] if len(rows) > 1 else []


def _embeddings(counts: Parameters) -> list[tuple[str, str | None]]:
    """How many of all are embeddings of the base's vocabulary, and how many are not."""
    if counts.embedding is None or counts.total is None:
        return []
    return [
        ("of these, embeddings", text.count(counts.embedding)),
        ("of these, not embeddings", text.count(counts.total - counts.embedding)),
    ]


def sizes(facts: Facts) -> list[Row]:
    """Bytes on disk and in memory."""
    size, base = facts.size, facts.record.base_model
    merged = f" in {size.merged_dtype}" if size.merged_dtype else ""
    base_files = size.base_weights_bytes or (base.weights_bytes if base else None)
    constants = size.quantization_constants_bytes
    in_dtype = f" in {base.dtype}" if base and base.dtype and not facts.quantization else ""
    loading = f" ({text.phrase(size.load_peak_kind)})" if size.load_peak_kind else ""
    rows = (
        ("Adapter file", size.adapter_weights_bytes),
        ("Adapter's published files, without record and card", size.adapter_directory_bytes),
        ("Base weights on disk", base_files),
        (
            "Base in memory" + (", quantization constants included" if constants else in_dtype),
            size.base_memory_bytes,
        ),
        ("Quantization constants, part of it", constants),
        ("Adapter in memory", size.adapter_memory_bytes),
        (f"Base with the adapter merged{merged}", size.merged_bytes),
        (f"Highest memory while base and adapter were loaded{loading}", size.load_peak_bytes),
    )
    return [(label, text.size(value), text.count(value)) for label, value in rows if value]
