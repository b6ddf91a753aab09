"""What is to be measured: the right adapter, on the right text, and not measured already.

Digests in the record tell: of the weights, the base, the text and the settings that measures were taken with.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hubkit import adapter, base_model, class_scores, files, freshness, recorded, runs
from hubkit.base_model import weight_files
from hubkit.errors import DataError, SettingsError
from hubkit.hub_rules import COMMIT_OID_PATTERN
from hubkit.record import BaseModel, Classification, Measures, Perplexity, Record
from hubkit.runs import Run
from hubkit.settings import Data

if TYPE_CHECKING:
    from hubkit.adapter import Adapter
    from hubkit.models.corpus import Corpus


NF4 = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": "bfloat16",
}  # as QLoRA's paper has it


def check_subject(run: Run, found: Adapter, known: Record, *, reading: bool = False) -> None:
    """The settings must speak of the adapter that lies there, and of the base it was trained on.

    `reading`: nothing is to be written, and the base is to be the one that was measured on; local weights
    that a Hub's base cannot be told from will do. Raises SettingsError.
    """
    named = (
        known.base_model.id if known.training and known.base_model else base_model.hub_id(found.base_model)
    )
    wanted = run.settings.base.id
    if named and named.rpartition("/")[2].lower() != wanted.rpartition("/")[2].lower():
        raise SettingsError(
            f"{run.adapter_dir} is an adapter of {named}, and base_model says {wanted}",
            "name the base it was trained on, or another adapter",
        )
    if known.training and known.task and known.task != run.task.NAME:
        raise SettingsError(
            f"{run.adapter_dir} was trained for {known.task}, and task says {run.task.NAME}",
            f"task: {known.task}",
        )
    if known.base_model and (known.training or reading):
        _check_base(run, known.base_model, "trained" if known.training else "measured", reading)
    trained_with = known.method.name if known.training and known.method else None
    if run.settings.adapter and trained_with and trained_with != run.method.NAME:
        raise SettingsError(
            f"{run.adapter_dir} was trained by {trained_with}, and method says {run.method.NAME}",
            f"method: {trained_with}",
        )


def _check_base(run: Run, trained: BaseModel, done: str, reading: bool) -> None:
    """A trained adapter is measured on the base it was trained on: the record has room for one.

    Raises SettingsError where the weights at hand are others, or nobody knows that they are the same.
    """
    now, was = run.settings.base, f"{run.adapter_dir} was {done} on"
    if now.path is None:
        if trained.source == "local":
            raise SettingsError(
                f"{was} local weights of {trained.id}", "name their directory: --base-path DIR"
            )
        pinned = now.revision and COMMIT_OID_PATTERN.fullmatch(now.revision)
        if pinned and trained.revision and now.revision != trained.revision:
            raise SettingsError(
                f"{was} commit {trained.revision[:12]} of {trained.id}, not {str(now.revision)[:12]}",
                "leave out --base-revision and base_model.revision: the record knows the commit",
            )
        return
    files_there = weight_files(Path(now.path))
    if not files_there:
        return  # loading says what is wrong
    if trained.source == "hub" and not reading and Path(now.path).resolve().name != trained.revision:
        raise SettingsError(
            f"{was} {trained.id} from the Hub, and nobody knows that the weights in {now.path} are the same",
            "leave out --base-path and base_model.path; a snapshot of that commit in the Hub's cache will do",
        )
    if trained.weights_sha256 and (sha256 := files.sha256_of(files_there)) != trained.weights_sha256:
        raise SettingsError(
            f"{was} weights of {trained.id} with digest {trained.weights_sha256[:12]}, and those in"
            f" {now.path} have {sha256[:12]}",
            f"name the directory of the weights it was {done} on: --base-path DIR",
        )


def on_known_base(run: Run, known: Record) -> Run:
    """The run with the commit of the Hub's base that the record names, where it names none itself."""
    base, before = run.settings.base, known.base_model
    if before is None or before.revision is None or base.path or base.revision:
        return run
    pinned = msgspec.structs.replace(base, revision=before.revision)
    return replace(run, settings=msgspec.structs.replace(run.settings, base_model=pinned))


def check_loaded(loaded: BaseModel, known: Record) -> None:
    """A branch or tag of the base may have moved since the training. Raises SettingsError."""
    trained = known.base_model if known.training else None
    if trained and trained.revision and loaded.revision and loaded.revision != trained.revision:
        raise SettingsError(
            f"the adapter was trained on commit {trained.revision[:12]} of {trained.id}, and"
            f" {loaded.revision[:12]} was loaded",
            f"--base-revision {trained.revision}",
        )


def evaluation_text(run: Run, known: Record) -> Corpus | None:
    """The text to measure perplexity or accuracy on; the very documents that were held out, where some were.

    Raises SettingsError where these settings hold out others: the adapter was trained on some of those.
    """
    from hubkit.models import corpus

    data, asked = run.settings.data, run.settings.measuring
    classified = asked.classification and getattr(run.task, "has_labels", False)
    if data is None or not (asked.perplexity or asked.pseudo_perplexity or classified):
        return None
    text = corpus.load(data, run.settings.training.seed, only_evaluation=True)
    if text.facts.hold_out is None:
        return _held_out_of(data, known) or text
    before = known.dataset if known.training else None
    if before is None or before.name != text.facts.name:  # nobody knows that it was held out from training
        facts = msgspec.structs.replace(text.facts, eval_split=freshness.SAMPLE, hold_out=None)
        return replace(text, train=[], train_labels=(), facts=facts)
    if before.train_sha256 != text.facts.train_sha256:
        raise SettingsError(
            f"these settings hold out other documents of {before.name} than the training did",
            "measure with the settings it was trained with, or name the text by dataset.eval_files",
        )
    return text


def _held_out_of(data: Data, known: Record) -> Corpus | None:
    """The documents held out of the training text, where files named to measure on are that very text.

    To measure on all of it would be to measure on what the adapter was trained on.
    """
    trained_on = known.dataset if known.training else None
    if not (data.eval_files and trained_on and trained_on.hold_out and trained_on.train_sha256):
        return None
    text = _read_as(recorded.local_texts(known, data.eval_files)[0], data, trained_on.hold_out.seed)
    return text if text and text.facts.train_sha256 == trained_on.train_sha256 else None


def _read_as(way: dict[str, Any], data: Data, seed: int) -> Corpus | None:
    """Text read in one of the ways of `recorded.local_texts`; None where it cannot be read so."""
    from hubkit.models import corpus

    try:
        return corpus.load(Data(**{"text_column": data.text_column, **way}), seed, only_evaluation=True)
    except DataError:
        return None


def labels(run: Run, found: Adapter, known: Record, text: Corpus | None) -> tuple[str, ...]:
    """The labels of a classifier, in the order of its head's rows: as training or earlier measures had them.

    Of an adapter that nothing is known of, as the settings name them; without labelled text, by number, as
    transformers calls them. Raises SettingsError where nobody told the order.
    """
    if not getattr(run.task, "has_labels", False):
        return ()
    measured, rows = known.measures.classification, found.labels
    told = (
        known.training.labels
        if known.training
        else [one.label for one in measured.classes]
        if measured
        else []
    )
    if told and rows in (None, len(told)):
        return tuple(told)
    names = text.label_names if text and run.settings.measuring.classification else ()
    if not names:
        return tuple(f"LABEL_{row}" for row in range(rows or 0))
    if run.settings.data is None or not run.settings.data.labels or rows not in (None, len(names)):
        raise SettingsError(
            f"nothing tells which label each of the {rows or len(names)} rows of {found.directory}'s head"
            f" stands for; the text has {', '.join(names[:20])}",
            "name all labels in the order of the rows: dataset.labels; or leave it out: --no-classification",
        )
    return names


def recorded_text(run: Run, known: Record) -> tuple[Corpus | None, str | None]:
    """The text that the recorded perplexity or accuracy was measured on, told by its digest.

    Without it, what to say: that there is none at hand, or that the one at hand is another.
    Raises DataError where text that is named cannot be read.
    """
    from hubkit.models import corpus

    measured, data = known.measures.on_text, run.settings.data
    if measured is None or data is None:
        return None, None
    given = corpus.load(data, run.settings.training.seed, only_evaluation=True)
    cut = data.kind == "labelled" and data.max_eval_documents
    every = msgspec.structs.replace(data, max_eval_documents=None)
    again = (corpus.load(one, run.settings.training.seed, only_evaluation=True) for one in [every] if cut)
    seed = known.dataset.hold_out.seed if known.dataset and known.dataset.hold_out else 0
    ways = recorded.local_texts(known, data.eval_files or data.files) if not data.id else []
    texts = itertools.chain([given], again, filter(None, (_read_as(way, data, seed) for way in ways)))
    for text in itertools.chain.from_iterable(_selected(text, measured, known) for text in texts):
        if corpus.digest(text.evaluation) == measured.dataset_sha256:
            return replace(text, train=[]), None
    return None, corpus.digest(given.evaluation[: measured.documents])


def _selected(text: Corpus, measured: Perplexity | Classification, known: Record) -> Iterator[Corpus]:
    """The text with as many documents as were measured: drawn as the record tells, and the first of it."""
    drawn = measured.selection
    if drawn and drawn.seed is not None:
        text = replace(text, seed=drawn.seed)
        yield text.limited(measured.documents)
        if known.dataset:  # drawn once to train beside, and of those to measure
            yield text.limited(known.dataset.eval_documents).limited(measured.documents)
    first = measured.documents
    yield replace(text, evaluation=text.evaluation[:first], evaluation_labels=text.evaluation_labels[:first])


def quantization(run: Run, known: Record) -> dict[str, Any] | None:
    """How the base is held while measuring: as in training; else as settings, a file or the method tell.

    Raises SettingsError where settings contradict the record of the training.
    """
    bits = run.settings.base.bits
    if known.training and bits:
        raise SettingsError(
            f"the record of {run.adapter_dir} knows how the base was held in training",
            "leave out base_model.bits",
        )
    if bits:
        return {"load_in_8bit": True} if bits == 8 else dict(NF4)
    if known.training:
        recorded = known.base_model.quantization if known.base_model else None
        # a base that is published quantized carries its own configuration, and needs none from here
        return None if "quant_method" in (recorded or {}) else recorded
    beside = run.adapter_dir / "quantization_config.json"
    if run.settings.adapter and beside.is_file():
        recipe = base_model.read_json(beside)
        recipe.pop("quant_method", None)
        return recipe
    if run.quantization and "quant_method" not in run.quantization:
        return run.quantization
    return run.method.quantization(run.method_parameters)  # type: ignore[no-any-return]


def taken_with(
    run: Run, found: Adapter, known: Record, text: Corpus | None, bits: dict[str, Any] | None
) -> str:
    """The digest of everything that the measures depend on."""
    of_text = text.facts.eval_sha256 if text else None
    if text and text.evaluation_labels:
        limited = text.limited(run.settings.measuring.max_eval_documents)
        if limited is not text:  # drawn under a seed that no setting of measuring tells
            of_text = f"{of_text} {limited.selection}"
        of_text = f"{of_text} {class_scores.labels_sha256(text.label_names, text.evaluation_labels)}"
    return runs.measuring_sha256(run, known, found.sha256(), of_text, bits)


def is_measured(run: Run, known: Record) -> bool:
    """Whether the record holds the measures of these weights under these settings."""
    found = adapter.read(run.adapter_dir)
    check_subject(run, found, known)
    text, bits = evaluation_text(run, known), quantization(run, known)
    return known.measuring_sha256 == taken_with(run, found, known, text, bits)


def still_valid(run: Run, found: Adapter, known: Record, bits: dict[str, Any] | None) -> Measures:
    """The known measures that were taken on these weights and this base."""
    base, now = known.base_model, run.settings.base
    if base is None:
        return Measures()
    weights = files.sha256_of(weight_files(Path(now.path))) if now.path else None
    revision = None if now.path else now.revision or base.revision
    if (base.id, base.revision, base.weights_sha256) != (now.id, revision, weights):
        return Measures()
    if _recipe(base.quantization) != _recipe(bits):
        return Measures()
    return freshness.fresh_measures(known.measures, found.sha256())[0]


def _recipe(quantization: dict[str, Any] | None) -> dict[str, Any] | None:
    """How weights are quantised while loading, names of modules apart; not at all where they are already."""
    if not quantization or "quant_method" in quantization:
        return None
    return {key: value for key, value in quantization.items() if key != "llm_int8_skip_modules"}
