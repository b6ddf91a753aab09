"""Text classification: labels, the head that tells them, the loss that counts them, and what is saved."""

from __future__ import annotations

import ast
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tiny
import torch
from card_cases import CASES
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig
from transformers import BertForSequenceClassification as BertClassifier

from hubkit import adapter, counting, methods, to_measure
from hubkit.card.facts import gather
from hubkit.card.usage import usage
from hubkit.counting import base_files
from hubkit.errors import BaseModelError, DataError, SettingsError
from hubkit.extras import require_train
from hubkit.models import counting as in_memory
from hubkit.models import labels as label_names
from hubkit.models import loading
from hubkit.models.corpus import Corpus
from hubkit.models.whole import whole
from hubkit.record import Dataset, Record, Training
from hubkit.settings import Base
from hubkit.settings import Training as Settings
from hubkit.tasks import text_classification as task
from hubkit.training import fit, saving
from hubkit.training.by_length import ByLength
from hubkit.training.job import Job

NAMES = tiny.LABELS
MODULES = {"llama": ["q_proj", "v_proj"], "bert": ["query", "value"]}


def corpus(names: tuple[str, ...] = NAMES) -> Corpus:
    rows, held = tiny.labelled(24), tiny.labelled(8, seed=1)
    numbers = [tuple(names.index(label) for _, label in part) for part in (rows, held)]
    return Corpus(
        [text for text, _ in rows], [text for text, _ in held], Dataset(name="made up"), names, *numbers
    )


def job(directory: Path, kind: str, method: str = "lora", text: Corpus | None = None, **training: Any) -> Job:
    """Two steps on a tiny base."""
    settings = {"max_steps": 2, "batch_size": 6, "block_size": 16, "learning_rate": 1e-2, "log_steps": 1}
    module = methods.get(method)
    return Job(
        Settings(**{**settings, "precision": "float32", **training}),
        task,
        task.Parameters(class_weights="balanced"),
        module,
        module.Parameters(r=4, target_modules=MODULES[kind]),
        text or corpus(),
        directory / "run",
        "digest",
    )


def trained(base: Path, made: Job, monkeypatch: pytest.MonkeyPatch) -> tuple[fit.Outcome, Any, list[str]]:
    """What came of it, the model at the end of training, and what was said."""
    require_train()
    seen, said = [], []
    save = saving.save
    monkeypatch.setattr(
        saving, "save", lambda model, *rest, **more: (seen.append(model), save(model, *rest, **more))[1]
    )
    return fit.fit(Base(id="a/b", path=str(base)), made, said.append), seen[0].eval(), said


def stock(base: Path, outcome: fit.Outcome, **more: Any) -> Any:
    """Base and adapter as the card tells a reader to load them."""
    given = {"num_labels": len(NAMES), "id2label": dict(enumerate(NAMES)), **more}
    if outcome.base.pad_token_id is not None:
        given["pad_token_id"] = outcome.base.pad_token_id
    model = AutoModelForSequenceClassification.from_pretrained(base, **given)
    return PeftModel.from_pretrained(model, outcome.adapter_dir).eval()


def logits(model: Any, base: Path, texts: list[str]) -> torch.Tensor:
    """A text at a time, as a reader would."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    with torch.no_grad():
        rows = [model(input_ids=tokenizer(text, return_tensors="pt").input_ids).logits for text in texts]
    return torch.cat(rows)


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_stock_peft_loads_the_head_that_was_trained(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    base: Path = request.getfixturevalue(f"tiny_{kind}")
    outcome, model, said = trained(base, job(tmp_path, kind, eval_steps=2), monkeypatch)
    texts = corpus().evaluation
    mine = logits(stock(base, outcome), base, texts)
    torch.testing.assert_close(mine, logits(model, base, texts), atol=1e-5, rtol=1e-5)
    batch = task.collator(_tokenizer(base), None)(
        [{"input_ids": ids, "label": 0} for ids in _ids(base, texts)]
    )
    del batch["labels"]
    with torch.no_grad():  # padding changes no answer
        torch.testing.assert_close(model(**batch).logits, mine, atol=1e-4, rtol=1e-4)
    head = ["score"] if kind == "llama" else ["classifier", "bert.pooler.dense"]
    config = json.loads((outcome.adapter_dir / adapter.CONFIG_NAME).read_text())
    assert config["modules_to_save"] == head
    assert config["task_type"] == "SEQ_CLS"
    assert said[1] == f"trained whole and saved too: {', '.join(head)}"
    assert outcome.base.head_newly_initialized
    facts = outcome.facts
    assert facts.labels == list(NAMES)
    assert facts.class_weights == list(
        task.class_weights(task.Parameters(class_weights="balanced"), NAMES, corpus().train_labels) or ()
    )
    lengths = [len(ids) for ids in _ids(base, corpus().train)]
    assert facts.truncated_documents == sum(length > 16 for length in lengths)
    assert outcome.text["train_tokens"] == sum(min(length, 16) for length in lengths)
    assert 0 < facts.tokens_seen <= 2 * 6 * 16
    assert facts.final_eval_loss is not None
    check_counts(base, outcome)


def check_counts(base: Path, outcome: fit.Outcome) -> None:
    """What is counted from files is what the loaded model has."""
    found = adapter.read(outcome.adapter_dir)
    loaded = loading.load_base(Base(id="a/b", path=str(base)), task, dtype="float32", labels=NAMES)
    counted = in_memory.count(loading.load_adapter(loaded.model, found), found)
    from_files = counting.count(found, base_files.local(base), task)
    assert (counted.total, counted.trainable) == (from_files.total, from_files.trainable)
    assert found.labels == len(NAMES)


def _tokenizer(base: Path) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer


def _ids(base: Path, texts: list[str]) -> list[list[int]]:
    return list(AutoTokenizer.from_pretrained(base)(texts)["input_ids"])


def test_the_head_is_trained_in_float32_on_a_base_in_bfloat16(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(tmp_path, "llama", "hira", precision="bfloat16", learning_rate=1e-4)
    outcome, model, _ = trained(tiny_llama, made, monkeypatch)
    assert model.dtype == torch.bfloat16 or next(model.parameters()).dtype == torch.bfloat16
    head = load_file(outcome.adapter_dir / adapter.WEIGHTS_NAME)["base_model.model.score.weight"]
    assert head.dtype == torch.float32
    assert not torch.equal(head, head.bfloat16().float())  # steps of 1e-4 would be lost in 16 bits


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_the_head_stays_out_of_4_bits(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    base: Path = request.getfixturevalue(f"tiny_{kind}")
    loaded = loading.load_base(
        Base(id="a/b", path=str(base)),
        task,
        dtype="float32",
        quantization={"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        labels=NAMES,
    )
    packed = {name for name, parameter in loaded.model.named_parameters() if loading.is_packed(parameter)}
    heads = {"score.weight"} if kind == "llama" else {"classifier.weight", "bert.pooler.dense.weight"}
    assert packed
    assert heads <= {name for name, _ in loaded.model.named_parameters()}
    assert not heads & packed


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ((), (), "the training text has no labels"),
        ((0, 0, 0), ("one", "two"), "all training texts have one label, 'one'"),
        ((1, 1, 1), ("one", "two"), "all training texts have one label, 'two'"),
        ((0, 1, 0), ("one", "two", "three"), r"no text has the label 'three' \("),
        ((1, 2, 1), ("one", "two", "three"), "no training text has the label 'one', which the evaluation"),
    ],
)
def test_labels_from_which_nothing_is_learnt(
    labels: tuple[int, ...], names: tuple[str, ...], message: str, tmp_path: Path, tiny_bert: Path
) -> None:
    text = Corpus(["a", "b", "c"], ["d"], Dataset(name="made up"), names, labels, (0,) if labels else ())
    with pytest.raises(DataError, match=message):
        fit.fit(Base(id="a/b", path=str(tiny_bert)), job(tmp_path, "bert", text=text), tiny.quiet)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1.0], "has 1 numbers, and the data has 3 labels"),
        ({"dim": 2.0}, "names no label of the data: 'dim'"),
    ],
)
def test_class_weights_that_fit_no_label(given: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        task.class_weights(task.Parameters(class_weights=given), NAMES, (0, 1, 2))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40).map(lambda drawn: (0, 1, 2, *drawn)))
def test_balanced_weights_let_each_class_count_the_same(labels: tuple[int, ...]) -> None:
    weights = task.class_weights(task.Parameters(class_weights="balanced"), NAMES, labels)
    assert weights is not None
    shares = [weights[label] * labels.count(label) for label in range(3)]
    assert shares == pytest.approx([len(labels) / 3] * 3)


def test_class_weights_by_name_leave_the_others_at_one() -> None:
    assert task.class_weights(task.Parameters(class_weights={"light": 4}), NAMES, (0, 1, 2)) == (1, 4, 1)
    assert task.class_weights(task.Parameters(), NAMES, (0, 1, 2)) is None


def test_the_loss_is_the_weighted_mean_over_the_texts_of_a_step() -> None:
    torch.manual_seed(0)
    scores, labels = torch.randn(8, 3), torch.tensor([0, 1, 2, 0, 0, 1, 2, 2])
    weights = (0.5, 2.0, 1.0)
    compute = task.loss(weights)
    wanted = -sum(
        weights[label] * math.log(math.exp(row[label]) / sum(map(math.exp, row)))
        for row, label in zip(scores.tolist(), labels.tolist(), strict=True)
    ) / len(labels)
    assert compute({"logits": scores}, labels).item() == pytest.approx(wanted, rel=1e-5)
    parts = [compute({"logits": scores[at]}, labels[at], 8).item() for at in (slice(0, 3), slice(3, 8))]
    assert sum(parts) == pytest.approx(wanted, rel=1e-5)  # gradient accumulation adds up to the same


def test_documents_are_cut_at_their_end_and_keep_their_special_tokens(tiny_bert: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    short, long = "the river", "the river and the mountain in the light"
    sequences, cut = whole(tokenizer, [short, long], 6)
    assert cut == 1
    assert sequences[0] == tokenizer(short)["input_ids"]
    assert sequences[1] == [*tokenizer(long)["input_ids"][:5], tokenizer.sep_token_id]
    assert whole(tokenizer, [], 6) == ([], 0)


def test_a_text_without_tokens_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(DataError, match="makes no token of the text ''"):
        whole(AutoTokenizer.from_pretrained(tiny_llama), ["a", ""], 8)


def test_a_base_with_a_head_for_other_labels_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertClassifier(BertConfig(vocab_size=200, num_labels=2, **small)).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    base = Base(id="a/b", path=str(tmp_path))
    with pytest.raises(BaseModelError, match="hold a head that does not fit 3 labels"):
        loading.load_base(base, task, dtype="float32", labels=NAMES)
    loaded = loading.load_base(base, task, dtype="float32", labels=("no", "yes"))
    assert loaded.model.config.id2label == {0: "no", 1: "yes"}
    assert loaded.new_modules == frozenset()


def test_a_tokenizer_without_a_token_to_pad_with(tiny_llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.eos_token = None
    with pytest.raises(BaseModelError, match="neither a padding nor an end-of-text token"):
        label_names.pad(None, tokenizer, "a/b")


def test_multi_label_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="multi-label is not supported"):
        msgspec.convert({"problem_type": "multi-label"}, task.Parameters)
    with pytest.raises(msgspec.ValidationError, match="not below zero"):
        msgspec.convert({"class_weights": {"a": -1}}, task.Parameters)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("foreign") / "adapter"
    CASES["foreign-classifier"](directory)
    return gather(directory)


def with_labels(facts: Any, names: list[str]) -> Any:
    """The same, as if training had told these labels."""
    run = msgspec.convert(
        {**dict.fromkeys(Training.__struct_fields__[1:16], 1), **TOLD, "labels": names}, Training
    )
    return replace(facts, labels=len(names), record=msgspec.structs.replace(facts.record, training=run))


TOLD = {
    "settings_sha256": "", "scheduler": "linear", "optimizer": "adamw_torch", "precision": "float32",
    "seconds": 1.0, "started": "2026-01-01",
}  # fmt: skip


@given(st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=20, unique=True))
def test_the_snippet_names_any_labels(foreign: Any, names: list[str]) -> None:
    code = usage(with_labels(foreign, names))
    assert code is not None
    calls = [node for node in ast.walk(ast.parse(code.code)) if isinstance(node, ast.Call)]
    given = {word.arg: ast.literal_eval(word.value) for call in calls for word in call.keywords if word.arg}
    assert given["num_labels"] == len(names)
    assert given["id2label"] == dict(enumerate(names))


def test_a_thousand_labels_are_counted_and_not_named(foreign: Any) -> None:
    code = usage(with_labels(foreign, [f"label {number}" for number in range(1000)]))
    assert code is not None
    assert "num_labels=1000" in code.load
    assert "id2label" not in code.load
    assert code.notes[0].startswith("The names of its 1,000 labels")


@given(st.lists(st.integers(1, 60), min_size=1, max_size=300), st.integers(1, 16), st.integers(0, 3))
def test_each_epoch_reads_every_document_once_in_an_order_of_its_own(
    lengths: list[int], batch: int, epoch: int
) -> None:
    order = ByLength(lengths, batch, seed=1)
    order.set_epoch(epoch)
    once, again = list(order), list(order)
    assert once == again
    assert sorted(once) == list(range(len(lengths)))
    assert len(order) == len(lengths)


def test_documents_of_like_length_share_a_batch() -> None:
    lengths = [at % 40 + 1 for at in range(4000)]
    order = ByLength(lengths, 20, seed=1)
    batches = [[lengths[at] for at in chosen] for chosen in zip(*[iter(order)] * 20, strict=True)]
    assert sum(max(batch) * 20 for batch in batches) < 1.05 * sum(lengths)
    firsts = [batch[0] for batch in batches]
    assert firsts != sorted(firsts)
    assert firsts != sorted(firsts, reverse=True)
    order.set_epoch(1)
    assert [lengths[at] for at in order] != [length for batch in batches for length in batch]


def test_the_order_of_a_foreign_heads_rows_is_never_guessed(tmp_path: Path, foreign: Any) -> None:
    found, known = foreign.adapter, Record()
    text = corpus()
    run = tiny.run("text-classification", tmp_path, tmp_path)
    with pytest.raises(SettingsError, match="nothing tells which label each of the 3 rows"):
        to_measure.labels(run, found, known, text)
    assert to_measure.labels(run, found, known, None) == ("LABEL_0", "LABEL_1", "LABEL_2")
    named = tiny.run("text-classification", tmp_path, tmp_path, dataset={"labels": list(NAMES)})
    assert to_measure.labels(named, found, known, text) == NAMES
    with pytest.raises(SettingsError, match="the 3 rows"):
        to_measure.labels(named, found, known, replace(text, label_names=("dark", "light")))
