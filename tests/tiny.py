"""Tiny models, tokenizers and text, made here: no download, well under a second each.

The models are drawn at random with a wide spread, so that their predictions differ from token to token.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from hubkit import runs
from hubkit.settings import from_plain

LLAMA_ID, BERT_ID = "tiny-org/tiny-llama", "tiny-org/tiny-bert"
TARGETS = {
    "causal-lm": ["q_proj", "v_proj"],
    "masked-lm": ["query", "value"],
    "text-classification": ["query", "value"],  # on the tiny BERT; on the tiny Llama, name the others
}
LABELS = ("dark", "light", "neither")
WORDS = (
    "the a of and in with river mountain light paper garden window small old quiet bright wind stone road"
    " bird house walks sings keeps finds carries opens under over beside before after slowly never often"
).split()


def text(documents: int = 40, seed: int = 0) -> list[str]:
    """Paragraphs of made-up English, about 40 words each, no two alike."""
    draw = random.Random(seed)

    def sentence() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(6, 12))).capitalize() + "."

    return [" ".join(sentence() for _ in range(4)) for _ in range(documents)]


def labelled(documents: int = 40, seed: int = 0) -> list[tuple[str, str]]:
    """Made-up texts of 3 to 30 words, each with one of LABELS; the words tell it, half of them "dark"."""
    draw = random.Random(seed)
    rows = []
    for _ in range(documents):
        label = draw.choice(("dark", *LABELS))
        at = LABELS.index(label) * 10
        rows.append((" ".join(draw.choices(WORDS[at : at + 10], k=draw.randint(3, 30))), label))
    return rows


def llama(directory: Path, *, tied: bool = True) -> Path:
    """A LlamaForCausalLM with a byte-level tokenizer that has an end-of-text token and no other."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text(), trainer)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(directory)
    return directory


def bert(directory: Path, *, head: bool = True) -> Path:
    """A BertForMaskedLM (or, without `head`, a BertModel) with a WordPiece tokenizer."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizerFast

    tokenizer = BertWordPieceTokenizer()
    tokenizer.train_from_iterator(text(), vocab_size=200, min_frequency=1, show_progress=False)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    (BertForMaskedLM if head else BertModel)(config).save_pretrained(directory)
    tokenizer.save_model(str(directory))
    BertTokenizerFast(str(directory / "vocab.txt")).save_pretrained(directory)
    return directory


def run(task: str, base: Path, directory: Path, **changes: Any) -> runs.Run:
    """A short run in `directory` on the tiny base; `changes` are dotted keys with `__` for the dot."""
    dataset = _dataset(task, directory)
    plain: dict[str, Any] = {
        "base_model": {"id": LLAMA_ID if task == "causal-lm" else BERT_ID, "path": str(base)},
        "task": {"name": task},
        "method": {"name": "lora", "r": 4, "target_modules": TARGETS[task]},
        "dataset": {**dataset, "name": "made-up English", "eval_fraction": 0.2},
        "output_dir": str(directory / "run"),
        "training": {
            "max_steps": 4,
            "batch_size": 2,
            "block_size": 32,
            "learning_rate": 1e-2,
            "precision": "float32",
            "log_steps": 1,
            "threads": 1,
        },
        "measuring": {
            "kernels": "plain",
            "throughput": False,
            "speed": {"warmup": 0, "repeats": 3, "min_seconds": 0, "sequence_length": 8, "new_tokens": 16},
        },
        "verifying": {"usage": False},  # it imports torch once more
    }
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        place = plain
        for name in parents:
            place = place[name]
        place[last] = place[last] | value if isinstance(value, dict) and last in place else value
    return runs.prepare(*from_plain(plain))


def _dataset(task: str, directory: Path) -> dict[str, Any]:
    """Where the text of a run lies, written there where it is not."""
    if task == "text-classification":
        file = directory / "labelled.jsonl"
        lines = [json.dumps({"text": text, "label": label}) for text, label in labelled()]
        whole, more = "\n".join(lines), {"label_column": "label"}
    else:
        file, whole, more = directory / "text.txt", "\n\n".join(text()), {}
    if not file.exists():
        file.write_text(whole, encoding="utf-8")
    return {"files": [str(file)], **more}


def quiet(line: str) -> None:
    """Where a test does not care what is said."""
