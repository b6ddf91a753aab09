"""Perplexity of answers, given the prompts: by a direct computation, and never beside that of plain text."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tiny
import torch

from hubkit import adapter, compare, recorded
from hubkit.card import comparison, facts
from hubkit.errors import MeasureError
from hubkit.measures import run as measuring
from hubkit.measures.subject import Subject
from hubkit.models.corpus import Corpus
from hubkit.record import Dataset, Measures, Perplexity, Record
from hubkit.settings import Base, Measuring
from hubkit.tasks import causal_lm, masked_lm

TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'] + ': ' + message['content'] + eos_token + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
SAID = [[part[:24].strip() for part in text.split(". ")] for text in tiny.text(6, seed=3)]
TALKS = [
    [{"role": "user", "content": one[0]}, {"role": "assistant", "content": one[1]}]
    + ([{"role": "user", "content": one[2]}, {"role": "assistant", "content": one[3]}] if at % 2 else [])
    for at, one in enumerate(SAID)
]


@pytest.fixture(scope="module")
def on_llama(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter that changes the base, with the tokenizer beside it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = tmp_path_factory.mktemp("chat")
    torch.manual_seed(0)
    config = LoraConfig(
        task_type="CAUSAL_LM", r=2, target_modules=tiny.TARGETS["causal-lm"], init_lora_weights=False
    )
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_llama), config).save_pretrained(where)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(where)
    return where


def subject(base: Path, directory: Path, **more: Any) -> Subject:
    talks = [json.dumps(one) for one in TALKS]
    given: dict[str, Any] = {
        "text": Corpus([], talks, Dataset(name="talks"), kind="chat", chat_template=TEMPLATE),
        "settings": Measuring(throughput=False, kernels="plain", context=128),
        "task": causal_lm,
    }
    return Subject(
        adapter=adapter.read(directory),
        base=Base(id=tiny.LLAMA_ID, path=str(base)),
        task_parameters=causal_lm.Parameters(),
        quantization=None,
        context=128,
        **given | more,
    )


def measured(what: Subject) -> Perplexity:
    kept: list[Measures] = []
    measuring.measure(what, Measures(), tiny.quiet, lambda measures, _: kept.append(measures))
    found = kept[-1].perplexity
    assert found is not None
    return found


def by_hand(base: Path, context: int) -> list[tuple[float, int]]:
    """Of the base alone, the loss of the answers of each conversation, and how many tokens they have."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    found = []
    for talk in TALKS:
        ids: list[int] = []
        answers: list[int] = []
        for message in talk:
            head, said = f"{message['role']}: ", f"{message['content']}<|end|>"
            for piece, own in ((head, False), (said, message["role"] == "assistant"), ("\n", False)):
                tokens = tokenizer(piece, add_special_tokens=False).input_ids
                answers += [len(ids) + at for at in range(len(tokens))] if own else []
                ids += tokens
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids[: context + 1]])).logits[0].double().log_softmax(-1)
        counted = [at for at in answers if at <= context]
        found.append((-sum(float(logits[at - 1, ids[at]]) for at in counted), len(counted)))
    return found


def test_it_is_the_loss_of_the_answers_each_in_its_own_conversation(tiny_llama: Path, on_llama: Path) -> None:
    found, parts = measured(subject(tiny_llama, on_llama)), by_hand(tiny_llama, 128)
    assert found.tokens_scored == sum(tokens for _, tokens in parts)
    assert found.base_nll_sum == pytest.approx(sum(nll for nll, _ in parts), rel=1e-5)
    assert found.value != found.base_value
    assert (found.definition, found.documents_kept, found.documents) == ("answers", "apart", 6)
    said = sum(len(m["content"]) for talk in TALKS for m in talk if m["role"] == "assistant")
    assert (found.bytes, found.tokens_cut, found.word_perplexity) == (said, 0, None)
    assert found.nll_sum
    assert found.bits_per_byte == pytest.approx(found.nll_sum / said / math.log(2))
    assert found.interval
    assert recorded.measuring(Record(measures=Measures(perplexity=found)))["documents"] == "apart"


def test_what_lies_beyond_the_context_is_counted_and_not_scored(tiny_llama: Path, on_llama: Path) -> None:
    short = Measuring(throughput=False, kernels="plain", context=40)
    found, parts = measured(subject(tiny_llama, on_llama, settings=short)), by_hand(tiny_llama, 40)
    whole = sum(tokens for _, tokens in by_hand(tiny_llama, 127))
    assert found.tokens_scored == sum(tokens for _, tokens in parts)
    assert found.tokens_cut == whole - found.tokens_scored
    assert found.tokens_cut
    assert found.base_nll_sum == pytest.approx(sum(nll for nll, _ in parts), rel=1e-5)
    assert (found.bytes, found.bits_per_byte) == (None, None)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"settings": Measuring(throughput=False, context=64, stride=8)}, "measuring.stride"),
        ({"task": masked_lm}, "left to right"),
    ],
)
def test_what_conversations_have_no_number_for(
    tiny_llama: Path, on_llama: Path, more: dict[str, Any], said: str
) -> None:
    from transformers import AutoTokenizer

    from hubkit.measures import perplexity

    with pytest.raises(MeasureError, match=said):
        perplexity.tokens(AutoTokenizer.from_pretrained(tiny_llama), subject(tiny_llama, on_llama, **more))


def test_it_stands_beside_no_perplexity_of_plain_text(tmp_path: Path) -> None:
    from card_cases import CASES

    sides = [
        comparison.numbers(facts.gather(CASES[name](tmp_path / name))) for name in ("chat", "causal-lora")
    ]
    assert any("the definition differs: answers in" in why for why in compare.reasons(sides))
    assert compare.by(sides) is None
    other = msgspec.structs.replace(sides[0], name="other")
    assert compare.by([sides[0], other]) == "perplexity"
