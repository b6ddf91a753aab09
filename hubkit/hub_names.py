"""Names on the Hub: ids that moved below an owner, ids that are none, licenses by the words of cards."""

from __future__ import annotations

import re

from hubkit.hub_rules import LICENSES, REPO_NAME_MAX, is_repo_id

# Models and datasets that once had no owner on the Hub, and where they are now. The old ids redirect.
MODELS = {
    "bert-base-uncased": "google-bert/bert-base-uncased",
    "bert-base-cased": "google-bert/bert-base-cased",
    "bert-large-uncased": "google-bert/bert-large-uncased",
    "bert-large-cased": "google-bert/bert-large-cased",
    "bert-base-multilingual-cased": "google-bert/bert-base-multilingual-cased",
    "bert-base-multilingual-uncased": "google-bert/bert-base-multilingual-uncased",
    "bert-base-chinese": "google-bert/bert-base-chinese",
    "distilbert-base-uncased": "distilbert/distilbert-base-uncased",
    "distilbert-base-cased": "distilbert/distilbert-base-cased",
    "distilgpt2": "distilbert/distilgpt2",
    "distilroberta-base": "distilbert/distilroberta-base",
    "roberta-base": "FacebookAI/roberta-base",
    "roberta-large": "FacebookAI/roberta-large",
    "xlm-roberta-base": "FacebookAI/xlm-roberta-base",
    "xlm-roberta-large": "FacebookAI/xlm-roberta-large",
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "openai-gpt": "openai-community/openai-gpt",
    "albert-base-v2": "albert/albert-base-v2",
    "t5-small": "google-t5/t5-small",
    "t5-base": "google-t5/t5-base",
    "t5-large": "google-t5/t5-large",
}
DATASETS = {
    "wikitext": "Salesforce/wikitext",
    "wikitext2": "Salesforce/wikitext",
    "wikitext-2": "Salesforce/wikitext",
    "wikitext103": "Salesforce/wikitext",
    "wikitext-103": "Salesforce/wikitext",
    "imdb": "stanfordnlp/imdb",
    "sst2": "stanfordnlp/sst2",
    "snli": "stanfordnlp/snli",
    "glue": "nyu-mll/glue",
    "squad": "rajpurkar/squad",
    "squad_v2": "rajpurkar/squad_v2",
    "c4": "allenai/c4",
    "ag_news": "fancyzhx/ag_news",
    "openwebtext": "Skylion007/openwebtext",
    "bookcorpus": "bookcorpus/bookcorpus",
    "gsm8k": "openai/gsm8k",
    "samsum": "Samsung/samsum",
    "xsum": "EdinburghNLP/xsum",
    "cnn_dailymail": "abisee/cnn_dailymail",
    "yelp_review_full": "Yelp/yelp_review_full",
    "wikipedia": "wikimedia/wikipedia",
    "ptb_text_only": "ptb-text-only/ptb_text_only",
}

# Licenses that ask of every derivative to carry them on; by the Hub's ids.
RESTRICTIVE = re.compile(
    r"llama\d(?:\.\d)?|gemma|cc-by-nc(?:-[a-z]{2})?-\d\.\d|fair-noncommercial.*|h-research|intel-research"
)
PERMISSIVE = frozenset(
    "apache-2.0 mit bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear isc unlicense wtfpl zlib cc0-1.0"
    " cc-by-4.0 cc-by-3.0 cc-by-2.0 cc-by-sa-4.0 bsl-1.0 afl-3.0 artistic-2.0 ecl-2.0 ncsa ms-pl pddl"
    " cdla-permissive-2.0".split()
)
# Bases of these owners have the family's own license; mirrors of others are not known to.
_FAMILIES: tuple[tuple[str, str], ...] = (
    (r"meta-llama/llama-2-.*|nousresearch/llama-2-.*|unsloth/llama-2-.*", "llama2"),
    (r"(?:meta-llama|nousresearch|unsloth)/(?:meta-)?llama-3-.*", "llama3"),
    (r"(?:meta-llama|nousresearch|unsloth)/(?:meta-)?llama-3\.1-.*", "llama3.1"),
    (r"(?:meta-llama|unsloth)/llama-3\.2-.*", "llama3.2"),
    (r"(?:meta-llama|unsloth)/llama-3\.3-.*", "llama3.3"),
    (r"(?:meta-llama|unsloth)/llama-4-.*", "llama4"),
    (r"(?:google|unsloth)/gemma-(?:1\.1-|2-|3-|3n-|\d+b).*", "gemma"),
)
_SAID: tuple[tuple[str, str], ...] = (
    (r"apache(?:[ -]licen[sc]e)?,?[ -]*(?:version )?v?2(?:\.0)?|apache-2\.0", "apache-2.0"),
    (r"(?<![a-z])mit(?:[ -]licen[sc]e)?(?![a-z])", "mit"),
    (r"bsd[ -]3(?:[ -]clause)?", "bsd-3-clause"),
    (r"(?:a?gpl|gnu (?:affero )?general public licen[sc]e)[ -]*v?3(?:\.0)?", "gpl-3.0"),
    (r"llama[ -]?2(?![\d.])(?:[ -]community)?", "llama2"),
    (r"llama[ -]?3(?:\.([1-3]))?(?![\d.]*\d)(?:[ -]community)?", "llama3"),
    (r"gemma", "gemma"),
    (r"cc[ -]by[ -]nc[ -]sa[ -]4\.0", "cc-by-nc-sa-4.0"),
    (r"cc[ -]by[ -]nc[ -]nd[ -]4\.0", "cc-by-nc-nd-4.0"),
    (r"cc[ -]by[ -]nc[ -]4\.0", "cc-by-nc-4.0"),
    (r"cc[ -]by[ -]sa[ -]4\.0", "cc-by-sa-4.0"),
    (r"cc[ -]by[ -]4\.0", "cc-by-4.0"),
)


def canonical(model: str | None) -> str | None:
    """The id that a model has now, where this is one that it had before models had owners."""
    return MODELS.get(model, model) if model else model


def license_of_family(base_id: str | None) -> str | None:
    """The license of a base, by whose model it is; None where that does not tell it."""
    name = (base_id or "").lower()
    return next((license for pattern, license in _FAMILIES if re.fullmatch(pattern, name)), None)


def licenses_said(text: str) -> set[str]:
    """The licenses that a piece of prose names, by the Hub's ids."""
    low = text.lower()
    found = {
        word
        for word in re.findall(r"[a-z0-9][a-z0-9.+-]*[a-z0-9]", low)
        if word in LICENSES and len(word) > 3
    }
    found -= {"other", "unknown", "openrail"}
    for pattern, license in _SAID:
        for match in re.finditer(pattern, low):
            version = match[1] if match.re.groups else None
            found.add(f"{license}.{version}" if version else license)
            low = low[: match.start()] + " " * len(match[0]) + low[match.end() :]
    return {"agpl-3.0" if "agpl" in text.lower() and name == "gpl-3.0" else name for name in found}


def why_no_repo_id(text: str) -> tuple[str, str]:
    """What is wrong with what is no repo id, and what to give in its place."""
    as_address = re.match(r"https?://[^/]+/(?:models/)?([^/?#]+/[^/?#]+)", text.strip())
    if as_address and is_repo_id(as_address[1]):
        return f"{text!r} is an address, and no repo id", f"give --repo-id {as_address[1]}"
    wrong, parts = "", text.split("/")
    if len(parts) > 2:
        wrong = "it has more than one /"
    elif not all(parts):
        wrong = "user or name is empty"
    elif found := re.search(r"[^A-Za-z0-9_.\-/]", text):
        wrong = f"{found[0]!r} is no letter, digit, - _ or ."
    elif found := re.search(r"--|\.\.", text):
        wrong = f"it may not have {found[0]} in it"
    elif text.endswith(".git"):
        wrong = "it may not end with .git"
    elif long := [part for part in parts if len(part) > REPO_NAME_MAX]:
        wrong = f"{long[0][:20]}... has {len(long[0])} characters, and {REPO_NAME_MAX} are allowed"
    elif any(part[0] in "-." or part[-1] in "-." for part in parts):
        wrong = "no part may begin or end with - or ."
    shown = text if len(text) <= 130 else f"{text[:130]}..."
    return f"{shown!r} is not a repo id{': ' if wrong else ''}{wrong}", "give --repo-id as user/name"
