"""The sentences of a card: what it is, how perplexity is defined, and what is limited by construction."""

from __future__ import annotations

from hubkit.card import evaluation, text
from hubkit.card.evaluation import dataset_name, split_name
from hubkit.card.facts import Facts
from hubkit.card.passage import paragraph
from hubkit.card.tables import license_name
from hubkit.record import Classification, Perplexity

SMALL_SAMPLE = 10_000  # predictions below which a perplexity is called one of a small sample
SMALL_TEXT = 1_000  # documents below which an accuracy is called one of a small sample
KINDS = {"masked": "masked-token perplexity", "answers": "perplexity of the answers, given the prompts,"}
# Beginnings of a method's name that are spoken with a vowel first.
_VOWELS = ("A", "E", "I", "O", "a", "rs", "X-", "HRA")


def title(facts: Facts) -> str:
    """The card's heading."""
    if facts.author.title and text.plain(facts.author.title):
        return text.phrase(facts.author.title)
    method = text.phrase(facts.kind.title)
    return f"{_short(facts.base_id)}, {method} adapter" if facts.base_id else f"{method} adapter"


def _short(repo_id: str) -> str:
    return text.phrase(repo_id.rpartition("/")[2])


def lead(facts: Facts) -> str:
    """One or two sentences: what it is, on which base, for what, trained on what, and what came of it."""
    if facts.author.summary and text.plain(facts.author.summary):
        return paragraph(facts.author.summary)
    return " ".join(filter(None, [_what_it_is(facts), _what_came_of_it(facts)]))


def _what_it_is(facts: Facts) -> str:
    dataset = facts.record.dataset
    article = "An" if facts.kind.title.lstrip("(").startswith(_VOWELS) else "A"
    base = f" for {text.model_link(facts.base_id)}" if facts.base_id else ""
    done = facts.record.training is not None and dataset is not None
    for_task = f", {'trained ' if done else ''}for {facts.task.TITLE}" if facts.task else ""
    data = ""
    if dataset and done:
        name = text.dataset_link(dataset.id) if dataset.id else text.phrase(dataset.name)
        data = f"{'' if for_task else ', trained'} on {name}"
    return f"{article} {text.phrase(facts.kind.title)} adapter{base}{for_task}{data}."


def _what_came_of_it(facts: Facts) -> str:
    measured, classified = facts.record.measures.perplexity, facts.record.measures.classification
    if measured is None:
        return _told_apart(facts, classified) if classified else ""
    where = _where_measured(facts, measured)
    kind = KINDS.get(measured.definition, "perplexity")
    found = f"On {where}, its {kind} is {text.perplexity(measured.value)}"
    if measured.base_value is None or measured.change is None:
        return f"{found}."
    change = text.percent(measured.change, signed=True)
    return f"{found}, against {text.perplexity(measured.base_value)} for the base model alone ({change})."


def _told_apart(facts: Facts, measured: Classification) -> str:
    """How well a classifier tells labels, against always answering the most frequent one."""
    return (
        f"On {_where_measured(facts, measured)}, its accuracy is {text.score(measured.accuracy)} (macro F1"
        f" {text.score(measured.macro_f1)}), against {text.score(measured.majority_accuracy)} for always"
        " answering the most frequent class."
    )


def _where_measured(facts: Facts, measured: Perplexity | Classification) -> str:
    """The text that was measured on; short where the sentence before has named the dataset."""
    dataset, split = facts.record.dataset, split_name(measured.dataset_name, measured.split)
    same = dataset and (dataset.id, dataset.name) == (measured.dataset_id, measured.dataset_name)
    if not same or facts.record.training is None:
        name = dataset_name(measured.dataset_id, measured.dataset_name)
        return name + (f" ({split})" if split else "")
    if split == "held out":
        return "text held out from it"
    return f"its {split} split" if split else "it"


def perplexity_definition(measured: Perplexity) -> str:
    """What the number is, in words."""
    if measured.definition == "masked":
        share = f" (p = {text.number(measured.mask_probability)})" if measured.mask_probability else ""
        seed = f" by a fixed seed ({measured.mask_seed})" if measured.mask_seed is not None else ""
        return (
            f"exp of the mean loss at masked positions. Positions are chosen at random{share}{seed}, every"
            " chosen token is replaced by the mask token, and only those positions are scored. It is not the"
            " perplexity of the text, and cannot be compared with a causal model's."
        )
    if measured.definition == "pseudo":
        some = measured.tokens_scored < measured.tokens_total
        whose = f"each of the first {measured.tokens_scored:,} tokens" if some else "every token"
        return (
            f"exp of the mean loss of {whose} of the text, replaced by the mask token in turn while"
            " all others stand (Salazar et al. 2020). It depends on the tokenizer, and is neither a causal"
            " model's perplexity nor that at masked positions."
        )
    if measured.definition == "answers":
        cut = ""
        if measured.tokens_cut:
            cut = f" {text.plural(measured.tokens_cut, 'token')} of answers beyond the context are left out."
        return (
            "of the answers, given the prompts: exp of the mean negative log-likelihood, in nats, of the"
            " tokens that the chat template gives to answers, the token that ends a turn included. Each"
            " conversation is scored by itself, each of these tokens predicted from all before it there."
            f"{cut} It depends on tokenizer and template, and cannot be compared with the perplexity of plain"
            f" text.{_per_answer(measured)}"
        )
    first = " of each document" if measured.documents_kept == "apart" else ""
    return (
        "exp of the mean negative log-likelihood of the next token, in nats, over all scored tokens; the"
        f" first token{first} is predicted from the begin-of-text token, or the end-of-text token where the"
        " tokenizer has no other. It depends on the tokenizer: compare it only with numbers of the same"
        f" tokenizer, text, context and stride.{_per_byte(measured)}"
    )


def _per_answer(measured: Perplexity) -> str:
    """Over which bytes."""
    if measured.bits_per_byte is None:
        return ""
    return " Bits per byte are of the same whole loss, over the bytes of the answers' text."


def _per_byte(measured: Perplexity) -> str:
    """What may be compared where the tokenizer is another."""
    if measured.bits_per_byte is None:
        return ""
    return (
        " Bits per byte, byte and word perplexity are of the same whole loss, over the bytes and words of the"
        " text in place of its tokens: on the same text they can be compared between tokenizers too."
    )


def evaluation_loss_note(facts: Facts) -> str | None:
    """In what the evaluation loss of training differs from the loss that perplexity is made of."""
    run, measured = facts.record.training, facts.record.measures.perplexity
    if run is None or run.final_eval_loss is None:
        return None
    if run.truncated_documents is not None:
        weighed = ", with the class weights of training" if run.class_weights else ""
        return (
            "The evaluation loss is computed while training, in the training precision"
            f" ({text.phrase(run.precision)}){weighed}: it is the mean over the evaluation documents."
        )
    masked = facts.task is not None and facts.task.NAME == "masked-lm"
    how = "with tokens hidden as in training" if masked else "without a begin-of-text token"
    differs = ", and so can differ from the mean loss under Results" if measured else ""
    return (
        f"The evaluation loss is computed while training, in the training precision"
        f" ({text.phrase(run.precision)}), over packed blocks {how}, the last incomplete block left out"
        f"{differs}."
    )


def base_left_out(measured: Perplexity) -> str | None:
    """Why there is no value for the base alone."""
    if measured.base_value is not None or not measured.base_left_out:
        return None
    return text.phrase(measured.base_left_out).rstrip(".")


def base_weights(facts: Facts) -> str | None:
    """How the weights used stand to those that the base's id names, where they may not be those."""
    base = facts.record.base_model
    note = text.plain(base.note or "").rstrip(".") if base else ""
    if note:
        first = note.partition(" ")[0]
        note = note[0].upper() + note[1:] if first.isalpha() and first.islower() else note
        return (
            "The base's weights used here are not, byte for byte, those that its id names."
            f" {text.phrase(note)}."
        )
    if base and base.source == "local":
        return (
            "The base's weights were loaded from a local copy, which was not compared with the weights that"
            " its id names."
        )
    return None


def throughput_note(facts: Facts) -> str:
    """How the timed model was loaded, and in what that differs from what a reader would load."""
    said = "Timed with the adapter attached and not merged"
    if facts.base_id and facts.task:
        said += ", as the snippet above loads it"
        if base_weights(facts):
            said += ", but on the base's weights described under Limitations"
    return f"{said}."


def limitations(facts: Facts) -> list[str]:
    """What is limited by construction, one sentence or two each."""
    name = _short(facts.base_id) if facts.base_id else "its base model"
    found = [
        f"It is no model by itself: it works only together with {name}, and inherits that model's knowledge,"
        " biases and limits."
    ]
    if not facts.adapter.parameters:
        found.append("Its weights file holds no numbers: what was trained is not in it.")
    return found + [line for line in (*_limits_of_training(facts), *_limits_of_measures(facts)) if line]


def _limits_of_training(facts: Facts) -> list[str]:
    run, dataset = facts.record.training, facts.record.dataset
    found = []
    if facts.four_bit and run:
        found.append(
            "It was trained on 4-bit weights of the base. On weights of another precision its output differs"
            " from what was measured."
        )
    if run and run.truncated_documents is not None:
        most = text.plural(run.block_size, "token")
        found.append(f"It was trained on texts of at most {most}; longer ones were cut at their end.")
    elif run:
        found.append(
            f"It was trained on sequences of {text.plural(run.block_size, 'token')}, and on none longer."
        )
    if dataset and run:
        found.append(
            f"In training it saw {text.plural(run.tokens_seen, 'token')} of one dataset,"
            f" {_epochs(run.epochs)}; other kinds of text are unknown to it."
        )
    if facts.base_lacks_head:
        brought = "the adapter brings one that was trained" if facts.brings_head else "it is drawn at random"
        found.append(f"The base has no weights for this task's head: {brought}.")
    if facts.parameters.sparsity:
        found.append(
            "Its zeros save neither disk space nor time: the file is dense, and stock PEFT computes with"
            " them."
        )
    return found


def _epochs(epochs: float) -> str:
    """`0.53 of an epoch`, `in one epoch`, `in 2.5 epochs`."""
    if epochs < 0.995:
        return f"{epochs:.2g} of an epoch"
    return "in one epoch" if epochs < 1.005 else f"in {text.number(round(epochs, 2))} epochs"


def _limits_of_measures(facts: Facts) -> list[str]:
    measured, overlap = facts.record.measures.perplexity, facts.overlap
    classified = facts.record.measures.classification
    found = []
    if classified:
        found += _limits_of_classification(facts, classified)
    elif measured:
        how = "Its perplexity was measured" if facts.author.evaluation else "It was evaluated by perplexity"
        found.append(
            f"{how} on {text.phrase(measured.dataset_name)} alone ({_amount_scored(measured)}). That says"
            " nothing about other text, nor whether what it writes is true, useful or safe."
        )
        if measured.tokens_scored < SMALL_SAMPLE:
            found.append(
                f"Fewer than {text.count(SMALL_SAMPLE)} predictions are a small sample: its perplexity would"
                " be another on other text of the same kind."
            )
    elif not facts.author.evaluation:
        found.append("No measurement of its quality is on record.")
    if overlap and overlap.shared_ngrams:
        found.append(
            f"{text.percent(overlap.fraction)} of the evaluation text's"
            f" {overlap.ngram_words}-word sequences also stand in the training text, so"
            f" {'accuracy here may be higher' if classified else 'perplexity here may be lower'} than it"
            " would be on text that shares none."
        )
    if weights := base_weights(facts):
        found.append(weights)
    return found


def _limits_of_classification(facts: Facts, measured: Classification) -> list[str]:
    how = "Its accuracy was measured" if facts.author.evaluation else "It was evaluated by accuracy and F1"
    found = [
        f"{how} on {text.phrase(measured.dataset_name)} alone"
        f" ({evaluation.some_of(measured, 'document')}). That says nothing about other text, nor about"
        " labels that it does not know: it gives one of its own to any text."
    ]
    if measured.documents < SMALL_TEXT:
        found.append(
            f"Fewer than {text.count(SMALL_TEXT)} documents are a small sample: its accuracy would be another"
            " on other text of the same kind."
        )
    return found


def _amount_scored(measured: Perplexity) -> str:
    """`10,157 tokens of 134 documents`."""
    kind = "masked token" if measured.definition == "masked" else "token"
    if measured.definition == "answers":
        of_all = evaluation.some_of(measured, "conversation")
        return f"{text.plural(measured.tokens_scored, 'token')} of the answers in {of_all}"
    return f"{text.plural(measured.tokens_scored, kind)} of {evaluation.some_of(measured, 'document')}"


def license_text(facts: Facts) -> str | None:
    """What the licence covers; the base's own is named where it is known."""
    if not facts.author.license:
        return None
    base = facts.record.base_model
    its = f": {text.code(base.license)}" if base and base.license else ""
    return (
        f"The adapter is licensed under {license_name(facts)}. The base model is not part of it and keeps its"
        f" own license{its}."
    )


def footer(facts: Facts) -> str:
    """Where every number is from."""
    source = "`hubkit.json` and the adapter's files" if facts.has_record else "the adapter's files"
    return f"Made by hubkit {facts.version} from {source}; weights {text.digest(facts.weights_sha256)}."
