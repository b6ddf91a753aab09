"""The card's tables about work done."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from card_cases import CASES

from hubkit import record as records
from hubkit.card import results, summary
from hubkit.card.facts import gather
from hubkit.card.render import render


def test_peak_memory_of_training_is_said_to_be_of_what_it_is(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    known = records.read(directory)
    kind = "peak allocated on the device"
    told = msgspec.structs.replace(known.training, peak_memory_bytes=2_000_000_000, memory_kind=kind)
    facts = gather(directory, record=msgspec.structs.replace(known, training=told))
    rows = {row[0]: row[1] for row in results.training_more(facts)}
    assert rows["Peak memory"].endswith(f"({kind})")
    known.training = msgspec.structs.replace(told, memory_kind=None)
    rows = {row[0]: row[1] for row in results.training_more(gather(directory, record=known))}
    assert "(" not in rows["Peak memory"]


def test_weights_from_a_local_copy_are_said_to_be_that(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    known = records.read(directory)

    def card(**base: str | None) -> str:
        told = msgspec.structs.replace(known.base_model, **base)
        return render(gather(directory, record=msgspec.structs.replace(known, base_model=told)))

    differ = "The base's weights used here are not, byte for byte, those that its id names."
    local = "loaded from a local copy, which was not compared with the weights that its id names."
    noted = card(note="made of a 4-bit file.")
    assert noted.count(f"{differ} Made of a 4-bit file.\n") == 2  # beside perplexity, and as a limitation
    assert local not in noted
    assert f"{differ} SmolLM2 of old." in card(note="SmolLM2 of old")
    silent = card(note=None, source="local")
    assert silent.count(local) == 2
    assert "described under Limitations" in silent
    published = card(note=None, source="hub")
    assert local not in published
    assert "as the snippet above loads it.\n" in published


@pytest.mark.parametrize(
    ("epochs", "said"),
    [
        (0.5319, "46,080 tokens of one dataset, 0.53 of an epoch; other"),
        (0.0042, "46,080 tokens of one dataset, 0.0042 of an epoch; other"),
        (1.0, "46,080 tokens of one dataset, in one epoch; other"),
        (2.5, "46,080 tokens of one dataset, in 2.5 epochs; other"),
    ],
)
def test_how_much_was_seen_in_training(epochs: float, said: str, tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    known = records.read(directory)
    run = msgspec.structs.replace(known.training, epochs=epochs, tokens_seen=46_080)
    card = render(gather(directory, record=msgspec.structs.replace(known, training=run)))
    assert said in card
    assert "All it was trained on" not in card


def test_a_small_evaluation_is_called_small(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    known = records.read(directory)

    def card(**perplexity: object) -> str:
        told = msgspec.structs.replace(known.measures.perplexity, **perplexity)
        measures = msgspec.structs.replace(known.measures, perplexity=told)
        return render(gather(directory, record=msgspec.structs.replace(known, measures=measures)))

    small = "Fewer than 10,000 predictions are a small sample"
    large = card(tokens_scored=10_000)
    assert "alone (10,000 tokens of 134 documents)." in large
    assert small not in large
    assert small in card(tokens_scored=9_999)
    assert "alone (1 masked token of 1 document)." in card(definition="masked", tokens_scored=1, documents=1)


def test_what_the_first_token_is_predicted_from(tmp_path: Path) -> None:
    packed = render(gather(CASES["causal-lora"](tmp_path / "packed")))
    assert "; the first token is predicted from the begin-of-text token" in packed
    apart = render(gather(CASES["causal-hira"](tmp_path / "apart")))
    assert "; the first token of each document is predicted from the begin-of-text token" in apart
    assert "begin-of-text" not in render(gather(CASES["masked-qlora"](tmp_path / "masked")))


def test_the_evaluation_loss_of_training_is_told_from_that_of_perplexity(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    known = records.read(directory)
    card = render(gather(directory))
    assert "| Final evaluation loss, while training | 2.7122 " in card
    assert "in the training precision (bfloat16), over packed blocks without a begin-of-text token" in card
    assert "so can differ from the mean loss under Results." in card
    unmeasured = msgspec.structs.replace(known, measures=records.Measures())
    assert "the last incomplete block left out.\n" in render(gather(directory, record=unmeasured))
    run = msgspec.structs.replace(known.training, final_eval_loss=None)
    assert "packed blocks without" not in render(
        gather(directory, record=msgspec.structs.replace(known, training=run))
    )


def test_a_file_that_was_measured_on_is_named_once(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    known = records.read(directory)
    name = "README.md"
    told = msgspec.structs.replace(known.measures.perplexity, dataset_name=name, split=name)
    record = msgspec.structs.replace(
        known,
        training=None,
        dataset=records.Dataset(name=name, source="local", eval_split=name, eval_documents=1, eval_words=9),
        measures=msgspec.structs.replace(known.measures, perplexity=told),
    )
    card = render(gather(directory, record=record))
    assert "On README.md, its perplexity is" in card
    assert "| README.md, `sha256:cd34cd34cd34`" in card
    assert "split" not in card.lower()


def test_a_speed_of_noisy_runs_says_so_at_a_glance(tmp_path: Path) -> None:
    facts = gather(CASES["causal-lora"](tmp_path / "a"))
    assert "prompt 1,234 tokens/s, generation 21.4 tokens/s (noisy) (batch 1" in render(facts)
    assert any("21.4 tokens/s (noisy)" in line for line in summary.lines(facts))
