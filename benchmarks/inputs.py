"""What the benchmark measures on: models, adapters and texts, made once in a directory, without a Hub.

    python benchmarks/inputs.py DIRECTORY

SmolLM2-135M-Instruct and Python's help topics are those of `make quickstart`; the other models are drawn at
random, with tokenizers trained on the sources of Python's standard library. Adapters are LoRA of rank 8 with
random weights. A text for a model is cut to a number of its tokens.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "real_inputs.py"
TARGETS = {
    "smollm2": ["q_proj", "k_proj", "v_proj"],
    "llama-11m": ["q_proj", "k_proj", "v_proj"],
    "gpt2-13m": ["c_attn"],
    "bert-base": ["query", "key", "value"],
}
SPREAD = 0.06  # of random weights: wide enough for predictions that differ from token to token
TEXTS = [  # model, source, tokens
    ("smollm2", "topics", 4096),
    ("smollm2", "topics", 2560),
    ("smollm2", "topics", 1500),
    ("smollm2", "sources", 1500),
    ("llama-11m", "sources", 4096),
    ("llama-11m", "sources", 1500),
    ("llama-11m", "topics", 1500),
    ("gpt2-13m", "sources", 1500),
    ("gpt2-13m", "topics", 1500),
    ("bert-base", "topics", 32 * 126),
]


def sources() -> Iterator[str]:
    """The files of the standard library, in an order of their own."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [*root.glob("*.py"), *root.glob("*/*.py")]
    chosen = sorted(
        file for file in files if not {"test", "tests", "site-packages"} & {*file.relative_to(root).parts}
    )
    random.Random(0).shuffle(chosen)
    for file in chosen:
        text = file.read_text(encoding="utf-8", errors="replace")
        if len(text) > 800:
            yield text


def whole_text(directory: Path, source: str) -> str:
    """All of one source's documents, joined by blank lines."""
    if source == "sources":
        return "\n\n".join(sources())
    lines = (directory / "topics.jsonl").read_text(encoding="utf-8").splitlines()
    return "\n\n".join(json.loads(line)["text"] for line in lines)


def text_file(directory: Path, model: str, source: str, tokens: int) -> Path:
    """A file with exactly so many tokens of the model, made if it is not there."""
    from transformers import AutoTokenizer

    path = directory / f"{model}-{source}-{tokens}.txt"
    if not path.exists():
        tokenizer = AutoTokenizer.from_pretrained(directory / model)
        path.write_text(cut(whole_text(directory, source), tokenizer, tokens), encoding="utf-8")
    return path


def cut(text: str, tokenizer: Any, tokens: int) -> str:
    """A piece of a text that has exactly so many tokens and no space at its ends, from its first lines on.

    Lines are left out at the beginning until the last token is none of space.
    """
    text = text[: tokens * 16].strip()
    while len(text) > tokens:
        ends = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)[
            "offset_mapping"
        ]
        part = text[: ends[tokens - 1][1]].rstrip()
        if len(tokenizer(part, add_special_tokens=False)["input_ids"]) == tokens:
            return part
        text = text.partition("\n")[2].strip()
    raise SystemExit(f"the text cannot be cut to {tokens} tokens")


def bpe(directory: Path, size: int, specials: list[str]) -> Any:
    """A byte-level tokenizer trained on the sources."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sources(), trainer)
    named = (
        {"eos_token": specials[0]}
        if len(specials) == 1
        else {"bos_token": specials[1], "eos_token": specials[0]}
    )
    whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)
    whole.save_pretrained(directory)
    return whole


def llama(directory: Path) -> None:
    """11 million parameters, of which 8 are the embedding of 32,000 words, tied to the head."""
    from transformers import LlamaConfig, LlamaForCausalLM

    bpe(directory, 32_000, ["</s>", "<s>"])
    config = LlamaConfig(
        vocab_size=32_000,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        bos_token_id=1,
        eos_token_id=0,
        tie_word_embeddings=True,
        initializer_range=SPREAD,
    )
    LlamaForCausalLM(config).save_pretrained(directory)


def gpt2(directory: Path) -> None:
    """A GPT-2 with learned positions, and an end-of-text token only."""
    from transformers import GPT2Config, GPT2LMHeadModel

    bpe(directory, 20_000, ["<|endoftext|>"])
    config = GPT2Config(
        vocab_size=20_000,
        n_embd=384,
        n_layer=3,
        n_head=6,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=SPREAD,
    )
    GPT2LMHeadModel(config).save_pretrained(directory)


def bert(directory: Path) -> None:
    """BERT-base with random weights, and a WordPiece tokenizer."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=30_522, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(sources(), trainer)
    names = {f"{name.strip('[]').lower()}_token": name for name in specials}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(directory)
    BertForMaskedLM(BertConfig(vocab_size=30_522)).save_pretrained(directory)


def adapter(directory: Path, base: Path) -> None:
    """A LoRA adapter with random weights for a model, about as large in its effect as a trained one."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    masked = base.name.startswith("bert")
    kind = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    task = None if masked else "CAUSAL_LM"
    config = LoraConfig(r=8, lora_alpha=16, target_modules=TARGETS[base.name], task_type=task)
    model = get_peft_model(kind.from_pretrained(base, dtype=torch.float32), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.01)
    model.save_pretrained(directory)


def make(directory: Path) -> None:
    """All that is not there yet."""
    import torch

    for name, target in (("smollm2", directory / "smollm2"), ("topics", directory / "topics.jsonl")):
        subprocess.run([sys.executable, str(EXAMPLES), name, str(target)], check=True)
    for name, maker in {"llama-11m": llama, "gpt2-13m": gpt2, "bert-base": bert}.items():
        if not (directory / name / "config.json").exists():
            torch.manual_seed(0)
            maker(directory / name)
    for name in TARGETS:
        if not (directory / f"{name}-lora").exists():
            torch.manual_seed(1)
            adapter(directory / f"{name}-lora", directory / name)
    for text in TEXTS:
        text_file(directory, *text)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
