"""What is to be measured: the right adapter, on the right text, and not measured already.

Digests in the record tell: of the weights, the base, the text and the settings that measures were taken with.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hubkit import adapter, base_model, files, freshness, runs
from hubkit.base_model import weight_files
from hubkit.errors import SettingsError
from hubkit.record import Measures, Record
from hubkit.runs import Run

if TYPE_CHECKING:
    from hubkit.adapter import Adapter
    from hubkit.models.corpus import Corpus


def check_subject(run: Run, found: Adapter, known: Record) -> None:
    """The settings must speak of the adapter that lies there. Raises SettingsError."""
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
    trained_with = known.method.name if known.training and known.method else None
    if run.settings.adapter and trained_with and trained_with != run.method.NAME:
        raise SettingsError(
            f"{run.adapter_dir} was trained by {trained_with}, and method says {run.method.NAME}",
            f"method: {trained_with}",
        )


def evaluation_text(run: Run, known: Record) -> Corpus | None:
    """The text to measure perplexity on; the very documents that were held out, where some were.

    Raises SettingsError where these settings hold out others: the adapter was trained on some of those.
    """
    from hubkit.models import corpus

    data = run.settings.data
    if data is None or not run.settings.measuring.perplexity:
        return None
    text = corpus.load(data, run.settings.training.seed, only_evaluation=True)
    if text.facts.hold_out is None:
        return text
    before = known.dataset if known.training else None
    if before is None or before.name != text.facts.name:  # nobody knows that it was held out from training
        facts = msgspec.structs.replace(text.facts, eval_split=freshness.SAMPLE, hold_out=None)
        return corpus.Corpus([], text.evaluation, facts)
    if before.train_sha256 != text.facts.train_sha256:
        raise SettingsError(
            f"these settings hold out other documents of {before.name} than the training did",
            "measure with the settings it was trained with, or name the text by dataset.eval_files",
        )
    return text


def quantization(run: Run, known: Record) -> dict[str, Any] | None:
    """How the base is held while measuring: as it was in training; else as a file or the method tells."""
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
    return runs.measuring_sha256(run, known, found.sha256(), text.facts.eval_sha256 if text else None, bits)


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
