"""Make tiny bases and adapters below the working directory, and run the snippets of their cards.

A test runs this in a process of its own, once for all cases: importing torch takes most of the time.
"""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hubkit.card.facts import gather
from hubkit.card.usage import usage
from hubkit.methods import qlora
from hubkit.record import BaseModel, Method, Record

WORDS = "<pad> <unk> <mask> Once upon a time The capital of France is .".split()
CASES = (("causal-lm", "lora"), ("masked-lm", "lora"), ("masked-lm", "qlora"), ("causal-lm", "qlora"))


def make(task: str, folder: str) -> None:
    """`folder/base` and `folder/adapter`, as training leaves them."""
    small = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}
    if task == "causal-lm":
        base = LlamaForCausalLM(
            LlamaConfig(vocab_size=len(WORDS), pad_token_id=0, eos_token_id=None, **small)
        )
        config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "v_proj"])
    else:
        base = BertForMaskedLM(BertConfig(vocab_size=len(WORDS), **small))
        config = LoraConfig(r=2, target_modules=["query", "value"], modules_to_save=["cls"])
    base.save_pretrained(f"{folder}/base")
    words = models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    get_peft_model(base, config).save_pretrained(f"{folder}/adapter")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", mask_token="<mask>"
    ).save_pretrained(f"{folder}/adapter")


def main() -> None:
    """Print what each example printed, as JSON."""
    printed = {}
    for task, method in CASES:
        folder = f"{task}-{method}"
        make(task, folder)
        record = Record(
            repo_id=f"{folder}/adapter",  # the ids stand for directories below the working directory
            task=task,
            method=Method(name=method),
            base_model=BaseModel(
                id=f"{folder}/base",
                quantization=qlora.quantization(qlora.Parameters()) if method == "qlora" else None,
                dtype="float32",
            ),
        )
        found = usage(gather(Path(folder) / "adapter", record=record))
        assert found is not None
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(f"{found.load}\n{found.example}", folder, "exec"), {})
        printed[folder] = output.getvalue()
    print(json.dumps(printed))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    main()
