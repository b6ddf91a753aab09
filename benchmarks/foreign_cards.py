"""Cards that other tools write for adapters, and what the audit finds on each.

    python benchmarks/foreign_cards.py                      in a folder that goes away
    python benchmarks/foreign_cards.py --folder DIR         keep the adapters, to read their cards
    python benchmarks/foreign_cards.py --only trl

Tiny models are trained for a step or two by PEFT, by transformers' Trainer and, where they are installed, by
TRL and sentence-transformers, each of which then writes its own card. Nothing is fetched. What the findings
are worth is judged by reading: the judged table is in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TRL_EXPERIMENTAL_SILENCE="1")
REPOSITORY = Path(__file__).resolve().parents[1]
BASES = {
    "llama": "meta-llama/Llama-3.2-1B",
    "bert": "google-bert/bert-base-uncased",
}  # what the tiny ones say
Made = dict[str, tuple[str, Callable[[Path, Path, str | None], None]]]
MAKERS: Made = {}  # name of a card -> its base, and what makes it of base's files, folder and the base's id
NEEDS = {"trl": "trl", "sentence": "sentence_transformers", "qlora": "bitsandbytes"}


def maker(name: str, base: str) -> Callable[[Any], Any]:
    """Keep a function that makes an adapter with a card under this name."""

    def keep(make: Callable[[Path, Path, str | None], None]) -> Callable[[Path, Path, str | None], None]:
        MAKERS[name] = base, make
        return make

    return keep


def lora(task_type: str | None, base: str = "bert", **more: Any) -> Any:
    """A LoRA configuration for the tiny models."""
    import peft

    targets = ["q_proj", "v_proj"] if "llama" in base or task_type == "CAUSAL_LM" else ["query", "value"]
    return peft.LoraConfig(**{"r": 4, "target_modules": targets, "task_type": task_type, **more})


def load(auto: str, base: Path, known_as: str | None, **more: Any) -> Any:
    """The base, which calls itself by the id that a download would give it."""
    import transformers

    model = getattr(transformers, auto).from_pretrained(base, **more)
    if known_as:
        model.name_or_path = model.config._name_or_path = known_as
    return model


def save(model: Any, config: Any, folder: Path) -> None:
    import peft

    peft.get_peft_model(model, config).save_pretrained(folder)


# --- PEFT alone -----------------------------------------------------------------------------------------


@maker("peft-causal", "llama")
def peft_causal(base: Path, folder: Path, known_as: str | None) -> None:
    save(load("AutoModelForCausalLM", base, known_as), lora("CAUSAL_LM"), folder)


@maker("peft-causal-local", "llama")
def peft_causal_local(base: Path, folder: Path, _: str | None) -> None:
    save(load("AutoModelForCausalLM", base, None), lora("CAUSAL_LM"), folder)


@maker("peft-masked", "bert")
def peft_masked(base: Path, folder: Path, known_as: str | None) -> None:
    save(load("AutoModelForMaskedLM", base, known_as), lora(None), folder)


@maker("peft-classifier", "bert")
def peft_classifier(base: Path, folder: Path, known_as: str | None) -> None:
    save(load("AutoModelForSequenceClassification", base, known_as, num_labels=3), lora("SEQ_CLS"), folder)


@maker("peft-whole-head", "llama")
def peft_whole_head(base: Path, folder: Path, known_as: str | None) -> None:
    config = lora("CAUSAL_LM", modules_to_save=["lm_head"])
    save(load("AutoModelForCausalLM", base, known_as), config, folder)


@maker("peft-dora", "llama")
def peft_dora(base: Path, folder: Path, known_as: str | None) -> None:
    save(load("AutoModelForCausalLM", base, known_as), lora("CAUSAL_LM", use_dora=True), folder)


@maker("peft-ia3", "llama")
def peft_ia3(base: Path, folder: Path, known_as: str | None) -> None:
    import peft

    config = peft.IA3Config(
        target_modules=["k_proj", "v_proj", "down_proj"],
        feedforward_modules=["down_proj"],
        task_type="CAUSAL_LM",
    )
    save(load("AutoModelForCausalLM", base, known_as), config, folder)


@maker("peft-prompt", "llama")
def peft_prompt(base: Path, folder: Path, known_as: str | None) -> None:
    import peft

    config = peft.PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM")
    save(load("AutoModelForCausalLM", base, known_as), config, folder)


@maker("peft-qlora", "llama")
def peft_qlora(base: Path, folder: Path, known_as: str | None) -> None:
    save(in_4_bits(base, known_as), lora("CAUSAL_LM"), folder)


def in_4_bits(base: Path, known_as: str | None) -> Any:
    """The base in 4 bits, made ready for training."""
    import peft
    import torch
    from transformers import BitsAndBytesConfig

    four = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )
    model = load("AutoModelForCausalLM", base, known_as, quantization_config=four)
    return peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


# --- transformers' Trainer ------------------------------------------------------------------------------


def arguments(kind: Any, folder: Path, **more: Any) -> Any:
    """A step or two on a CPU, with an evaluation after each."""
    plain = {
        "output_dir": str(folder), "max_steps": 2, "per_device_train_batch_size": 2, "use_cpu": True,
        "eval_strategy": "steps", "eval_steps": 1, "logging_steps": 1, "save_strategy": "no",
        "report_to": [], "disable_tqdm": True,
    }  # fmt: skip
    return kind(**(plain | more))


def blocks(base: Path, number: int = 12) -> Any:
    """Blocks of tokens with labels."""
    import datasets
    import tiny
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    ids = [tokenizer(text)["input_ids"][:16] for text in tiny.text(number)]
    ids = [row for row in ids if len(row) == 16]
    ones = [[1] * 16 for _ in ids]
    return datasets.Dataset.from_dict({"input_ids": ids, "attention_mask": ones, "labels": ids})


@maker("trainer-causal", "llama")
def trainer_causal(base: Path, folder: Path, known_as: str | None) -> None:
    import peft
    from transformers import Trainer, TrainingArguments

    model = peft.get_peft_model(load("AutoModelForCausalLM", base, known_as), lora("CAUSAL_LM"))
    data = blocks(base)
    trainer = Trainer(model, arguments(TrainingArguments, folder), train_dataset=data, eval_dataset=data)
    trainer.train()
    trainer.save_model()
    trainer.create_model_card(model_name="notes", tasks="text-generation")


@maker("trainer-qlora", "llama")
def trainer_qlora(base: Path, folder: Path, known_as: str | None) -> None:
    import peft
    from transformers import Trainer, TrainingArguments

    model = peft.get_peft_model(in_4_bits(base, known_as), lora("CAUSAL_LM"))
    data = blocks(base)
    trainer = Trainer(model, arguments(TrainingArguments, folder), train_dataset=data, eval_dataset=data)
    trainer.train()
    trainer.save_model()
    trainer.create_model_card()


@maker("trainer-masked", "bert")
def trainer_masked(base: Path, folder: Path, known_as: str | None) -> None:
    import peft
    from transformers import Trainer, TrainingArguments

    model = peft.get_peft_model(load("AutoModelForMaskedLM", base, known_as), lora(None))
    data = blocks(base)
    trainer = Trainer(model, arguments(TrainingArguments, folder), train_dataset=data, eval_dataset=data)
    trainer.train()
    trainer.save_model()
    trainer.create_model_card(
        language="en", license="mit", dataset="Wikitext", dataset_tags="Salesforce/wikitext"
    )


@maker("trainer-classifier", "bert")
def trainer_classifier(base: Path, folder: Path, known_as: str | None) -> None:
    import numpy
    import peft
    from transformers import Trainer, TrainingArguments

    model = load("AutoModelForSequenceClassification", base, known_as, num_labels=2)
    model = peft.get_peft_model(model, lora("SEQ_CLS"))
    data = blocks(base).remove_columns("labels")
    data = data.add_column("labels", [row % 2 for row in range(len(data))])

    def measure(said: Any) -> dict[str, float]:
        return {"accuracy": float((numpy.argmax(said.predictions, -1) == said.label_ids).mean()), "f1": 0.5}

    trainer = Trainer(
        model,
        arguments(TrainingArguments, folder),
        train_dataset=data,
        eval_dataset=data,
        compute_metrics=measure,
    )
    trainer.train()
    trainer.save_model()
    trainer.create_model_card(
        language="en", license="apache-2.0", tasks="text-classification", dataset="IMDB",
        dataset_tags="stanfordnlp/imdb", dataset_args="plain_text", finetuned_from=known_as,
    )  # fmt: skip


# --- TRL ------------------------------------------------------------------------------------------------

CHAT = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def chatting(base: Path) -> Any:
    """The base's tokenizer with a chat template."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = CHAT
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def trained(trainer: Any, **card: Any) -> None:
    trainer.train()
    trainer.save_model()
    trainer.create_model_card(**card)


@maker("trl-sft", "llama")
def trl_sft(base: Path, folder: Path, known_as: str | None) -> None:
    import datasets
    import tiny
    from trl import SFTConfig, SFTTrainer

    data = datasets.Dataset.from_dict({"text": tiny.text(8)})
    trainer = SFTTrainer(
        load("AutoModelForCausalLM", base, known_as), arguments(SFTConfig, folder, max_length=32),
        train_dataset=data, eval_dataset=data, processing_class=chatting(base), peft_config=lora("CAUSAL_LM"),
    )  # fmt: skip
    trained(trainer, model_name="notes", dataset_name="trl-lib/Capybara")


@maker("trl-sft-local", "llama")
def trl_sft_local(base: Path, folder: Path, _: str | None) -> None:
    import datasets
    import tiny
    from trl import SFTConfig, SFTTrainer

    data = datasets.Dataset.from_dict({"text": tiny.text(8)})
    trainer = SFTTrainer(
        load("AutoModelForCausalLM", base, None), arguments(SFTConfig, folder, max_length=32),
        train_dataset=data, eval_dataset=data, processing_class=chatting(base), peft_config=lora("CAUSAL_LM"),
    )  # fmt: skip
    trained(trainer)


def preferences() -> Any:
    import datasets
    import tiny

    texts = tiny.text(8)
    return datasets.Dataset.from_dict(
        {
            "prompt": ["the river"] * 8,
            "chosen": [text[:60] for text in texts],
            "rejected": [t[60:120] for t in texts],
        }
    )


@maker("trl-dpo", "llama")
def trl_dpo(base: Path, folder: Path, known_as: str | None) -> None:
    from trl import DPOConfig, DPOTrainer

    trainer = DPOTrainer(
        load("AutoModelForCausalLM", base, known_as), args=arguments(DPOConfig, folder, max_length=32),
        train_dataset=preferences(), eval_dataset=preferences(), processing_class=chatting(base),
        peft_config=lora("CAUSAL_LM"),
    )  # fmt: skip
    trained(trainer, dataset_name="trl-lib/ultrafeedback_binarized", tags=["chat"])


@maker("trl-reward", "llama")
def trl_reward(base: Path, folder: Path, known_as: str | None) -> None:
    from trl import RewardConfig, RewardTrainer

    model = load("AutoModelForSequenceClassification", base, known_as, num_labels=1)
    model.config.pad_token_id = 0
    trainer = RewardTrainer(
        model, args=arguments(RewardConfig, folder, max_length=32),
        train_dataset=preferences().remove_columns("prompt"),
        eval_dataset=preferences().remove_columns("prompt"), processing_class=chatting(base),
        peft_config=lora("SEQ_CLS", "llama"),
    )  # fmt: skip
    trained(trainer)


# --- sentence-transformers ------------------------------------------------------------------------------


@maker("sentence-transformers", "bert")
def sentences(base: Path, folder: Path, known_as: str | None) -> None:
    import datasets
    import tiny
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
        losses,
        models,
    )

    words = models.Transformer(str(base), max_seq_length=32)
    model = SentenceTransformer(
        modules=[words, models.Pooling(words.get_embedding_dimension())], device="cpu"
    )
    model.model_card_data.base_model = known_as
    model.model_card_data.language = ["en"]
    model.model_card_data.license = "apache-2.0"
    words.auto_model.name_or_path = words.auto_model.config._name_or_path = known_as
    model.add_adapter(lora("FEATURE_EXTRACTION"))
    texts = tiny.text(8)
    data = datasets.Dataset.from_dict({"anchor": texts, "positive": texts[1:] + texts[:1]})
    trainer = SentenceTransformerTrainer(
        model, arguments(SentenceTransformerTrainingArguments, folder), train_dataset=data, eval_dataset=data,
        loss=losses.MultipleNegativesRankingLoss(model),
    )  # fmt: skip
    trainer.train()
    model.save_pretrained(str(folder))


# --- all of them ----------------------------------------------------------------------------------------


def make(name: str, bases: Path, folder: Path) -> str | None:
    """Make one; why it could not be made, or None."""
    for part, package in NEEDS.items():
        if part in name and importlib.util.find_spec(package) is None:
            return f"{package} is not installed"
    base, work = MAKERS[name]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            work(bases / base, folder, BASES[base])
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return None


def audit(folder: Path, base_config: Path) -> list[dict[str, Any]]:
    """The findings of `hubkit audit --json`."""
    from hubkit.cli.main import run

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = run(["audit", str(folder), "--base-config", str(base_config), "--json"])
    if code not in (0, 1):
        raise SystemExit(f"the audit of {folder} ended with {code}")
    found: list[dict[str, Any]] = json.loads(said.getvalue())["cards"][0]["findings"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="Keep the adapters here.")
    parser.add_argument("--only", default="", help="Those whose name has this in it.")
    options = parser.parse_args()
    sys.path.insert(0, str(REPOSITORY / "tests"))
    import tiny

    with tempfile.TemporaryDirectory() as passing:
        root = options.folder or Path(passing)
        bases = root / "bases"
        for name, build in (("llama", tiny.llama), ("bert", tiny.bert)):
            if not (bases / name).is_dir():
                build(bases / name)
        failed = False
        for name in [name for name in MAKERS if options.only in name]:
            problem = make(name, bases, root / name)
            if problem:
                failed = failed or "not installed" not in problem
                print(f"\n{name}: no card: {problem}")
                continue
            found = audit(root / name, bases / MAKERS[name][0] / "config.json")
            print(f"\n{name}: {len(found)} findings")
            for each in found:
                print(
                    f"  {each['code']} {each['severity']:7} line {each.get('line', '-')}: {each['message']}"
                )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
