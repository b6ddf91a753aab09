"""What a card still lacks, in the order of its worth to a reader, each with the way to fill it in."""

from __future__ import annotations

from hubkit.card.facts import Facts


def missing(facts: Facts) -> list[tuple[str, str]]:
    """Pairs of what is missing and how to fill it; empty where the card has all that hubkit knows to say."""
    author, record, measures = facts.author, facts.record, facts.record.measures
    measure = f"hubkit measure --adapter {facts.directory_name}"
    perplexity = measures.perplexity
    looked_for = (
        (not author.license, "license", "--license ID, such as --license apache-2.0"),
        (facts.repo_id is None, "repo id, for the snippets", "--repo-id USER/NAME"),
        (facts.base_id is None, "base model's Hub id", "--base-model USER/NAME"),
        (facts.task is None, "task, and with it how to load the model", "--task NAME or --base-config FILE"),
        (perplexity is None, "perplexity", measure),
        (
            perplexity is not None and perplexity.base_value is None and not perplexity.base_left_out,
            "perplexity of the base alone",
            measure,
        ),
        (facts.trained_on is None, "training data", "`dataset` in the settings: hubkit train CONFIG.yaml"),
        (not author.language, "language of the text", "--language CODE, such as --language en"),
        (
            facts.parameters.total is None,
            "total parameters",
            "--base-config FILE (the base model's config.json; needs hubkit[train])",
        ),
        (record.training is None, "training procedure", "hubkit train CONFIG.yaml writes it"),
        (measures.throughput is None, "throughput", measure),
        (measures.size is None, "sizes of base and merged model", measure),
        (not author.intended_use, "intended use", "`card.intended_use` in the settings"),
        (not author.out_of_scope, "out-of-scope use", "`card.out_of_scope` in the settings"),
        (not author.authors, "authors", "`card.authors` in the settings"),
        (not author.contact, "contact", "`card.contact` in the settings"),
    )
    return [(what, how) for is_missing, what, how in looked_for if is_missing]
