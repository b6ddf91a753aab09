"""A classifier's numbers from its saved files: by the model's own answers, however documents are batched."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from hubkit import adapter, class_scores
from hubkit.errors import HubkitError, MeasureError, SettingsError
from hubkit.measures import run as measuring
from hubkit.measures.classified_rows import ClassifiedRows
from hubkit.measures.subject import Subject
from hubkit.models.corpus import Corpus
from hubkit.record import Classification, Dataset, Measures
from hubkit.settings import Base, Measuring
from hubkit.tasks import text_classification

LABELS = ("calm", "loud", "odd")
TEXTS = [text[: 20 + 37 * (at % 5)] for at, text in enumerate(tiny.text(12, seed=5))]
GOLD = tuple(at % 3 for at in range(12))


def classifier(base: Path, where: Path, seed: int = 0) -> Path:
    """A LoRA adapter with a head, drawn at random, saved as PEFT saves it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(LABELS))
    targets = tiny.TARGETS["masked-lm" if model.config.model_type == "bert" else "causal-lm"]
    names = ["classifier", "pooler"] if model.config.model_type == "bert" else ["score"]
    config = LoraConfig(
        task_type="SEQ_CLS", r=2, target_modules=targets, init_lora_weights=False, modules_to_save=names
    )
    adapted = get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if "modules_to_save" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    adapted.save_pretrained(where)
    AutoTokenizer.from_pretrained(base).save_pretrained(where)
    return where


@pytest.fixture(scope="module")
def on_bert(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier(tiny_bert, tmp_path_factory.mktemp("classifier"))


def subject(base: Path, directory: Path, **more: Any) -> Subject:
    given: dict[str, Any] = {
        "text": Corpus(
            [],
            TEXTS,
            Dataset(name="moods", source="local", eval_split="held out"),
            label_names=LABELS,
            evaluation_labels=GOLD,
        ),
        "settings": Measuring(throughput=False, kernels="plain"),
        "context": 24,
        "labels": LABELS,
    }
    return Subject(
        adapter=adapter.read(directory),
        base=Base(id=tiny.BERT_ID, path=str(base)),
        task=text_classification,
        task_parameters=text_classification.Parameters(),
        quantization=None,
        **given | more,
    )


def measured(what: Subject) -> Classification:
    kept: list[Measures] = []
    measuring.measure(what, Measures(), tiny.quiet, lambda measures, _: kept.append(measures))
    found = kept[-1].classification
    assert found is not None
    return found


def answers(base: Path, directory: Path, context: int) -> tuple[list[int], float]:
    """Each text by itself, by transformers and PEFT alone: the classes, and the mean loss."""
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(LABELS))
    model = PeftModel.from_pretrained(model, directory).eval()
    tokenizer = AutoTokenizer.from_pretrained(base)
    logits = []
    for text in TEXTS:
        inputs = tokenizer(text, truncation=True, max_length=context, return_tensors="pt")
        with torch.no_grad():
            logits.append(model(**inputs).logits[0])
    rows = torch.stack(logits)
    return rows.argmax(1).tolist(), float(torch.nn.functional.cross_entropy(rows, torch.tensor(GOLD)))


def test_the_numbers_are_those_of_each_text_by_itself(tiny_bert: Path, on_bert: Path) -> None:
    found, (told, loss) = measured(subject(tiny_bert, on_bert)), answers(tiny_bert, on_bert, 24)
    confusion = [[0] * 3 for _ in range(3)]
    for true, one in zip(GOLD, told, strict=True):
        confusion[true][one] += 1
    assert found.confusion == confusion
    assert found.accuracy == sum(a == b for a, b in zip(GOLD, told, strict=True)) / 12
    assert found.loss == pytest.approx(loss, rel=1e-5)  # batches round elsewhere
    assert found.macro_f1 == class_scores.of(confusion).macro_f1
    assert [one.label for one in found.classes] == list(LABELS)
    assert found.majority_accuracy == pytest.approx(4 / 12)
    assert 0 < found.truncated < 12  # some of the texts are longer than 24 tokens
    interval = found.accuracy_interval
    assert interval
    assert interval.low <= found.accuracy <= interval.high


def test_labels_go_by_name_and_not_by_number(tiny_bert: Path, on_bert: Path) -> None:
    usual = subject(tiny_bert, on_bert)
    assert usual.text
    turned = replace(
        usual.text, label_names=LABELS[::-1], evaluation_labels=tuple(2 - label for label in GOLD)
    )
    one, other = measured(usual), measured(replace(usual, text=turned))
    assert (other.confusion, other.labels_sha256) == (one.confusion, one.labels_sha256)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"evaluation_labels": ()}, "no labels"),
        ({"label_names": ("calm", "loud", "new")}, "the label of document 3, 'new', is none of the model's"),
        ({"evaluation": ["  ", *TEXTS[1:]]}, "document 1 of the text is empty"),
        ({"evaluation": TEXTS[1:]}, "11 documents and 12 labels"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_name(
    tiny_bert: Path, on_bert: Path, more: dict[str, Any], said: str
) -> None:
    from transformers import AutoTokenizer

    from hubkit.measures.classification import labelled

    usual = subject(tiny_bert, on_bert)
    assert usual.text
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    with pytest.raises(MeasureError, match=said) as error:
        labelled(tokenizer, replace(usual, text=replace(usual.text, **more)))
    assert error.value.hint


def test_a_context_beyond_the_positions_is_refused(tiny_bert: Path, on_bert: Path) -> None:
    settings = Measuring(throughput=False, kernels="plain", context=129)
    with pytest.raises(SettingsError, match="129 tokens are longer than the model's 128 positions"):
        measured(subject(tiny_bert, on_bert, settings=settings))


def test_another_number_of_labels_is_refused(tiny_bert: Path, on_bert: Path) -> None:
    with pytest.raises(HubkitError):
        measured(subject(tiny_bert, on_bert, labels=("calm", "loud", "odd", "more")))


class Peeking(torch.nn.Module):
    """A model that looks at padding, whatever the mask says; `steps` counts what it was run on."""

    def __init__(self, peeks: bool) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(50, 3)
        self.peeks, self.shapes = peeks, []
        self.config, self.dtype, self.device = None, torch.float32, torch.device("cpu")

    def forward(self, input_ids: Any, attention_mask: Any = None) -> Any:
        self.shapes.append(tuple(input_ids.shape))
        there = torch.ones(input_ids.shape) if attention_mask is None else attention_mask.float()
        weight = torch.ones_like(there) if self.peeks else there
        mean = (self.table(input_ids) * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
        return type("Output", (), {"logits": mean})()


@pytest.mark.parametrize("peeks", [True, False])
def test_padding_changes_no_number(peeks: bool) -> None:
    torch.manual_seed(0)
    model = Peeking(peeks)
    sequences = [[1 + (at + step) % 40 for step in range(3 + at % 4)] for at in range(16)]
    with torch.inference_mode():
        alone = torch.stack([model(torch.tensor([row])).logits[0] for row in sequences])
        rows = ClassifiedRows(model, pad=0)
        rows.prepare(sequences, "plain")
        model.shapes.clear()
        found = rows.logits(sequences, 8)
    assert torch.allclose(found.float(), alone, atol=1e-6)
    assert (rows.padded, rows.masked) == (not peeks, True)
    assert len(model.shapes) == (4 if peeks else 2)  # one length a batch, or eight documents
    assert not math.isnan(float(found.sum()))
