"""What a card still lacks, in the order of its worth to a reader, each with the way to fill it in."""

from __future__ import annotations

import shlex

from hubkit.adapter import UNMEASURED
from hubkit.card import fragments
from hubkit.card.facts import Facts
from hubkit.card.ran import is_stale, ran
from hubkit.tasks import TASKS


def missing(facts: Facts) -> list[tuple[str, str]]:
    """Pairs of what is missing and how to fill it; empty where the card has all that hubkit knows to say.

    What begins with an option is one of `hubkit card`; a file in card/ lies in the adapter's directory.
    """
    author, record, measures = facts.author, facts.record, facts.record.measures
    measure = measuring(facts)
    quality, on_text = _quality(facts, measure)
    perplexity, base = measures.perplexity, record.base_model
    looked_for = (
        (not author.license, "license", "--license ID, such as --license apache-2.0"),
        (facts.repo_id is None, "repo id, for the snippets", "--repo-id USER/NAME"),
        (facts.base_id is None, "base model's Hub id", "--base-model USER/NAME"),
        (facts.task is None, "task, and with it how to load the model", "--task NAME or --base-config FILE"),
        (measures.on_text is None and not author.evaluation, quality, on_text),
        (
            perplexity is not None and perplexity.base_value is None and not perplexity.base_left_out,
            "perplexity of the base alone",
            on_text,
        ),
        (not author.intended_use, "intended use", _by("--intended-use TEXT", "intended_use")),
        (
            facts.trained_on is None and not author.training_data,
            "training data",
            _by("`dataset` in the settings: hubkit train CONFIG.yaml", "training_data"),
        ),
        (not author.language, "language of the text", "--language CODE, such as --language en"),
        (not author.out_of_scope, "out-of-scope use", _by("--out-of-scope TEXT", "out_of_scope")),
        (not author.risks, "risks and bias", _by("--risks TEXT", "risks")),
        (
            facts.parameters.total is None,
            "total parameters",
            "--base-path DIR, --base-from-hub, or --base-config FILE (the base model's config.json)",
        ),
        (record.training is None, "training procedure", "hubkit train CONFIG.yaml writes it"),
        (measures.throughput is None, "throughput", measure),
        (
            facts.base_id is not None and facts.task is not None and ran(facts) is None,
            "a run of its code" + (", as the known one is of other code or files" if is_stale(facts) else ""),
            "--verify-usage" + (" --base-path DIR" if base and base.source == "local" else ""),
        ),
        (measures.size is None, "sizes of base and merged model", measure),
        (not author.authors, "authors", "--author NAME"),
        (not author.contact, "contact", _by("--contact TEXT", "contact")),
    )
    described_only = facts.task is not None and facts.task.NAME not in TASKS
    measurable = facts.adapter.peft_type not in UNMEASURED and not described_only
    return [
        (what, how)
        for is_missing, what, how in looked_for
        if is_missing and (measurable or not how.startswith(measure))
    ]


def _quality(facts: Facts, measure: str) -> tuple[str, str]:
    """What an adapter of its task is measured by, and the command that does it."""
    on_hub = facts.record.dataset and facts.record.dataset.id
    if getattr(facts.task, "has_labels", False):
        more = "" if on_hub else " --text FILE --set dataset.label_column=NAME"
        return "accuracy and F1", measure + more
    return "perplexity", measure if on_hub else f"{measure} --text FILE"


def _by(flag: str, words: str) -> str:
    return f"{flag}, or {fragments.name_of(words)}"


def measuring(facts: Facts) -> str:
    """The command that measures this adapter, with places for what its files and its record do not tell."""
    base = facts.record.base_model
    command = f"hubkit measure --adapter {shlex.quote(str(facts.adapter.directory))}"
    if facts.base_id is None:
        command += " --base-model USER/NAME"
    if base and base.source == "local":
        command += " --base-path DIR"
    return command + (" --task NAME" if facts.task is None else "")
