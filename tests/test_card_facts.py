"""Facts: from the record, the files, or both; the weights' word goes first."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
from card_cases import CASES, CAUSAL, LORA_CONFIG, lora_tensors, with_digest, write_adapter, write_weights

from hubkit import record as records
from hubkit.card import front_matter, kinds
from hubkit.card.citations import BIBTEX
from hubkit.card.facts import gather
from hubkit.card.missing import missing
from hubkit.card.render import render
from hubkit.errors import BaseModelError, CardError
from hubkit.record import Author, BaseModel, Measures, Method, Parameters, Record


def test_a_measure_on_other_weights_is_left_out_and_named(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    write_weights(
        directory / "adapter_model.safetensors", lora_tensors("model.layers", 2, ["q_proj"], 288, 8)
    )
    facts = gather(directory)
    assert facts.stale == ("parameters", "size", "perplexity", "throughput", "training")
    card = render(facts)
    assert "15.06" not in card
    assert "Throughput" not in card
    assert f"{2 * 2 * 8 * 288:,}" in card  # counted from the new file
    assert "perplexity" in dict(missing(facts))


def test_what_another_configuration_was_trained_and_measured_to_is_left_out(tmp_path: Path) -> None:
    directory = CASES["causal-sparse-lora"](tmp_path / "a")
    config = json.loads((directory / "adapter_config.json").read_text())
    (directory / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 64}))
    facts = gather(directory)
    assert facts.stale == ("parameters", "size", "perplexity", "training")
    card = render(facts)
    for claim in ("15.06", "Sparse LoRA", "Trained on", "trained for", "Training data", "Training procedure"):
        assert claim not in card
    assert facts.weights_sha256[:12] in card


def test_a_foreign_adapter_is_read_from_its_files(tmp_path: Path) -> None:
    facts = gather(CASES["foreign"](tmp_path / "a"))
    assert facts.parameters.adapter == facts.parameters.trainable == 442_368
    assert facts.parameters.total is None
    assert facts.kind.title == "QLoRA"
    assert facts.task is None
    assert not facts.has_record
    assert "Made by hubkit" in render(facts)
    assert "`hubkit.json`" not in render(facts)


def test_a_total_counted_elsewhere_is_taken_in(tmp_path: Path) -> None:
    facts = gather(CASES["foreign"](tmp_path / "a"))
    counted = Parameters(
        adapter_sha256=facts.adapter.sha256(),
        adapter=442_368,
        trainable=442_368,
        total=109_956_666,
        counted_on="base configuration",
    )
    card = render(facts.with_total(counted))
    assert "Counted from the base model's configuration" in card
    assert "442,368 of 109,956,666 (0.40%)" in card


def test_embeddings_that_peft_saves_are_not_called_trainable(tmp_path: Path) -> None:
    tensors = lora_tensors("model.layers", 1, ["q_proj"], 8, 2)
    tensors["base_model.model.model.embed_tokens.weight"] = ("F32", [10, 8])
    facts = gather(write_adapter(tmp_path / "a", LORA_CONFIG, tensors))
    assert facts.parameters.trainable is None
    assert facts.parameters.adapter == 32 + 80
    assert "Adapter parameters" in render(facts)


def test_the_authors_words_are_merged(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    facts = gather(directory, author=Author(title="Mine", language=["de"]), repo_id="ada/other")
    assert facts.author.title == "Mine"
    assert facts.author.language == ["de"]
    assert facts.author.license == "apache-2.0"
    assert facts.repo_id == "ada/other"
    assert records.read(directory).author.title is None


def test_a_repo_id_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="not the id of a repo"):
        gather(CASES["causal-lora"](tmp_path / "a"), repo_id="a/b/c")


def test_a_quantization_file_that_is_no_json(tmp_path: Path) -> None:
    directory = CASES["foreign"](tmp_path / "a")
    (directory / "quantization_config.json").write_text("{")
    with pytest.raises(BaseModelError, match="not JSON"):
        gather(directory)


@pytest.mark.parametrize(
    ("config", "method", "quantized", "title", "papers"),
    [
        ({"peft_type": "LORA"}, None, False, "LoRA", ("lora",)),
        ({"peft_type": "LORA"}, None, True, "QLoRA", ("lora", "qlora")),
        ({"peft_type": "LORA", "use_dora": True}, None, False, "DoRA", ("lora", "dora")),
        (
            {"peft_type": "LORA", "use_rslora": True},
            None,
            True,
            "QLoRA with rsLoRA",
            ("lora", "qlora", "rslora"),
        ),
        ({"peft_type": "LORA"}, "sparse-lora", False, "Sparse LoRA", ("lora", "gradual-pruning")),
        ({"peft_type": "HIRA"}, None, False, "HiRA", ("hira",)),
        ({"peft_type": "LORA"}, "hira", False, "LoRA", ("lora",)),  # the record cannot make it a HiRA adapter
        ({"peft_type": "IA3"}, "lora", False, "(IA)³", ("ia3",)),
        ({"peft_type": "LOHA"}, None, False, "LoHa", ("fedpara", "lycoris")),
        ({"peft_type": "SOMETHING_NEW"}, None, False, "SOMETHING_NEW", ()),
    ],
)
def test_kinds(
    config: dict[str, object], method: str | None, quantized: bool, title: str, papers: tuple[str, ...]
) -> None:
    kind = kinds.of(config, method, quantized)
    assert kind.title == title
    assert kind.papers == papers
    assert ("lora" in kind.tags) == (config["peft_type"] == "LORA")


def test_every_paper_that_is_cited_is_known() -> None:
    cited = {paper for kind in kinds.PEFT_KINDS.values() for paper in kind.papers}
    pruned = {"gradual-pruning", "proximal", "group-lasso"}
    begun = {"pissa", "olora", "loftq"}
    assert cited | pruned | {"lora", "qlora", "hira", "dora", "rslora"} | begun == set(BIBTEX)
    for entry in BIBTEX.values():
        assert entry.count("{") == entry.count("}")
        assert all(f" {field} " in entry for field in ("title", "author", "year"))


def test_any_peft_type_has_a_card(tmp_path: Path) -> None:
    for peft_type in (*kinds.PEFT_KINDS, "SOMETHING_NEW"):
        config = {"peft_type": peft_type, "task_type": "CAUSAL_LM", "base_model_name_or_path": "a/b"}
        tensors: dict[str, tuple[str, list[int]]] = {"prompt_embeddings": ("F32", [8, 16])}
        card = render(gather(write_adapter(tmp_path / peft_type, config, tensors)))
        assert "None" not in card


def test_nothing_is_missing_from_a_whole_record_but_the_authors_words(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    assert missing(gather(directory)) == [
        ("risks and bias", "--risks TEXT, or card/risks.md"),
        ("a run of its code", "--verify-usage --base-path DIR"),
        ("contact", "--contact TEXT, or card/contact.md"),
    ]
    (directory / "card").mkdir()
    (directory / "card" / "risks.md").write_text("None are known.")
    (directory / "card" / "contact.md").write_text("<!-- none yet -->")
    assert [what for what, _ in missing(gather(directory))] == ["a run of its code", "contact"]


def test_what_is_missing_is_sorted_by_worth(tmp_path: Path) -> None:
    directory = write_adapter(tmp_path / "a", LORA_CONFIG, lora_tensors("model.layers", 1, ["q_proj"], 8, 2))
    whats = [what for what, _ in missing(gather(directory))]
    assert whats[:3] == ["license", "repo id, for the snippets", "perplexity"]
    assert all(how for _, how in missing(gather(directory)))


def test_a_record_without_training_does_not_say_trained(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    record = msgspec.structs.replace(
        with_digest(directory, CAUSAL), training=None, method=Method(name="lora")
    )
    card = render(gather(directory, record=record))
    assert "trained for" not in card
    assert "Trained on" not in card
    assert "Training procedure" not in card


def test_a_text_that_was_only_measured_on_is_no_training_data(tmp_path: Path) -> None:
    directory = CASES["causal-hira"](tmp_path / "a")
    known = records.read(directory)
    facts = gather(directory, record=msgspec.structs.replace(known, training=None))
    card = render(facts)
    assert "## Evaluation data" in card
    assert "Training data" not in card
    assert "datasets" not in front_matter.metadata(facts)
    assert "type: Salesforce/wikitext" in card
    assert "training data" in dict(missing(facts))
    unmeasured = msgspec.structs.replace(known, training=None, measures=Measures())
    assert "Evaluation data" not in render(gather(directory, record=unmeasured))


def test_perplexity_names_its_own_text(tmp_path: Path) -> None:
    directory = CASES["causal-hira"](tmp_path / "a")
    known = records.read(directory)
    other = msgspec.structs.replace(
        known.measures.perplexity,
        dataset_name="org/other",
        dataset_id="org/other",
        dataset_config="small",
        dataset_revision=None,
        split="validation",
    )
    measures = msgspec.structs.replace(known.measures, perplexity=other)
    facts = gather(directory, record=msgspec.structs.replace(known, measures=measures))
    card = render(facts)
    link = "[org/other](https://huggingface.co/datasets/org/other)"
    assert f"On {link} (validation), its perplexity is" in card
    assert f"| {link}, `small`, validation, `sha256:cd34cd34cd34`" in card
    metadata = front_matter.metadata(facts)
    assert metadata["datasets"] == ["Salesforce/wikitext"]
    assert metadata["model-index"][0]["results"][0]["dataset"] == {
        "type": "org/other", "name": "org/other", "config": "small", "split": "validation",
    }  # fmt: skip


def test_the_overlap_is_of_the_text_that_was_measured_on(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    known = records.read(directory)
    assert "perplexity here may be lower" in render(gather(directory))
    other = msgspec.structs.replace(known.measures.perplexity, dataset_sha256="ef56" * 16)
    for perplexity in (other, None):
        measures = msgspec.structs.replace(known.measures, perplexity=perplexity)
        card = render(gather(directory, record=msgspec.structs.replace(known, measures=measures)))
        assert "8-word" not in card


def test_the_record_names_the_base(tmp_path: Path) -> None:
    directory = write_adapter(
        tmp_path / "a",
        {**LORA_CONFIG, "base_model_name_or_path": "./local"},
        lora_tensors("model.layers", 1, ["q_proj"], 8, 2),
    )
    facts = gather(directory, record=Record(base_model=BaseModel(id="org/base")))
    assert facts.base_id == "org/base"
    assert "./local" not in render(facts)
    assert json.loads((directory / "adapter_config.json").read_text())["base_model_name_or_path"] == "./local"


@pytest.mark.parametrize(
    ("config", "shown", "hidden"),
    [
        ({"peft_type": "LORA", "r": 8, "lora_alpha": 16}, ["LoRA, rank 8", "(scale alpha / r = 2)"], []),
        (
            {"peft_type": "OFT", "r": 0, "oft_block_size": 32},
            ["Block size | `32`"],
            ["rank", "Rank", "Blocks"],
        ),
        ({"peft_type": "OFT", "r": 4}, ["Blocks (r)"], ["rank", "Rank"]),
        (
            {"peft_type": "ADALORA", "r": 8, "init_r": 12, "target_r": 6, "lora_alpha": 32},
            ["Rank at the start (init_r)", "Mean rank at the end (target_r)"],
            ["rank 8", "Rank (r)", "scale alpha"],
        ),
        ({"peft_type": "LOKR", "r": 8, "alpha": 8}, ["LoKr, rank 8", "(scale alpha / r = 1)"], []),
        ({"peft_type": "IA3"}, ["An (IA)³ adapter"], ["rank", "Rank"]),
        ({"peft_type": "LORA", "r": True, "lora_alpha": 1}, [], ["rank True", "alpha / r"]),
    ],
)
def test_rank_and_alpha_mean_what_the_type_says(
    config: dict[str, object], shown: list[str], hidden: list[str], tmp_path: Path
) -> None:
    tensors: dict[str, tuple[str, list[int]]] = {"base_model.model.x.q_proj.lora_A.weight": ("F32", [8, 16])}
    card = re.sub(" +", " ", render(gather(write_adapter(tmp_path / "a", config, tensors))))
    body = card.partition("## Citation")[0]
    for words in shown:
        assert words in body
    for words in hidden:
        assert words not in body


def test_lora_that_trains_more_does_not_say_that_the_base_is_frozen(tmp_path: Path) -> None:
    config = {**LORA_CONFIG, "bias": "all", "modules_to_save": ["lm_head"]}
    tensors = lora_tensors("model.layers", 1, ["q_proj"], 8, 2)
    assert "frozen" not in render(gather(write_adapter(tmp_path / "a", config, tensors)))


def test_a_head_that_nobody_brings_is_called_random(tmp_path: Path) -> None:
    directory = CASES["masked-qlora"](tmp_path / "a")
    card = render(gather(directory))
    assert "the adapter brings one that was trained." in card
    assert "warns of a newly initialized head" in card
    config = json.loads((directory / "adapter_config.json").read_text())
    (directory / "adapter_config.json").write_text(json.dumps({**config, "modules_to_save": None}))
    card = render(gather(directory))
    assert "it is drawn at random." in card
    assert "warns of a newly initialized head" not in card


def cells(tmp_path: Path, config: dict[str, object], tensors: dict[str, tuple[str, list[int]]]) -> str:
    """The body of a card, without the blanks that line its tables up."""
    card = render(gather(write_adapter(tmp_path / "a", config, tensors)))
    return re.sub(" +", " ", card.partition("## Citation")[0])


def test_several_kinds_of_dropout_are_told_apart(tmp_path: Path) -> None:
    config = {"peft_type": "LOHA", "r": 4, "module_dropout": 0.0, "rank_dropout": 0.25}
    card = cells(tmp_path, config, {"base_model.model.x.q_proj.hada_w1_a": ("F32", [4, 16])})
    assert "| Dropout (module_dropout) | 0 |\n| Dropout (rank_dropout) | 0.25 |" in card
    assert "| Dropout |" not in card


def test_a_module_that_the_file_does_not_hold_is_not_called_trained_whole(tmp_path: Path) -> None:
    tensors = lora_tensors("model.layers", 1, ["q_proj"], 16, 8)
    assert "trained whole" not in cells(tmp_path, {**LORA_CONFIG, "modules_to_save": ["lm_head"]}, tensors)


@pytest.mark.parametrize(
    ("pattern", "ranks", "said"),
    [
        ({"q_proj": 4, "v_proj": 2}, {"q_proj": 4, "v_proj": 2}, "LoRA, rank 2 to 4"),
        ({"q_proj": 4, "v_proj": 4}, {"q_proj": 4, "v_proj": 4}, "LoRA, rank 4"),
        ({"up_proj": 64}, {"q_proj": 8, "v_proj": 8}, "LoRA, rank 8"),
        ({}, {"q_proj": 8, "v_proj": 8}, "LoRA, rank 8"),
    ],
)
def test_ranks_are_those_of_the_file_where_a_pattern_changes_them(
    pattern: dict[str, int], ranks: dict[str, int], said: str, tmp_path: Path
) -> None:
    tensors: dict[str, tuple[str, list[int]]] = {}
    for module, rank in ranks.items():
        tensors |= lora_tensors("model.layers", 1, [module], 16, rank)
    card = cells(tmp_path, {**LORA_CONFIG, "rank_pattern": pattern}, tensors)
    assert f"| Method | {said} |" in card
    assert ("(scale alpha / r = 2)" in card) == (not pattern)


def test_an_evaluation_of_the_authors_is_an_evaluation(tmp_path: Path) -> None:
    for name, without, with_words in (
        ("foreign", "is on record", None),
        ("causal-lora", "It was evaluated by perplexity on", "Its perplexity was measured on"),
    ):
        directory = CASES[name](tmp_path / name)
        assert without in render(gather(directory))
        card = render(gather(directory, author=Author(evaluation="Accuracy 0.9 on my own test.")))
        assert without not in card
        assert with_words is None or with_words in card


@pytest.mark.parametrize("peft_type", ["BEFT", "LN_TUNING", "TRAINABLE_TOKENS"])
def test_no_kind_denies_that_modules_were_trained_whole(peft_type: str, tmp_path: Path) -> None:
    tensors: dict[str, tuple[str, list[int]]] = {"base_model.model.classifier.weight": ("F32", [2, 8])}
    config = {"peft_type": peft_type, "modules_to_save": ["classifier"]}
    card = cells(tmp_path, config, tensors)
    assert "| Modules trained whole | `classifier` |" in card
    assert not re.search(r"\balone\b|nothing else", card.partition("## Adapter configuration")[2])
