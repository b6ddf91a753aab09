"""What a model and a machine can hold, found out before the work or told as what it is."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

from hubkit import stages
from hubkit.errors import SettingsError
from hubkit.models import limits
from hubkit.training import running

SMALL = {
    "vocab_size": 40,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (BertForMaskedLM(BertConfig(max_position_embeddings=32, **SMALL)), 32),
        (RobertaForMaskedLM(RobertaConfig(max_position_embeddings=34, pad_token_id=1, **SMALL)), 32),
        (
            GPT2LMHeadModel(
                GPT2Config(
                    vocab_size=40,
                    n_positions=32,
                    n_embd=8,
                    n_layer=1,
                    n_head=2,
                    bos_token_id=0,
                    eos_token_id=0,
                )
            ),
            32,
        ),
        (
            T5ForConditionalGeneration(
                T5Config(vocab_size=40, d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2)
            ),
            None,
        ),
    ],
    ids=["bert", "roberta", "gpt2", "t5"],
)
def test_as_many_positions_as_the_model_takes(model: Any, expected: int | None) -> None:
    assert limits.positions(model) == expected
    if expected:
        model(input_ids=torch.full((1, expected), 5))
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, expected + 1), 5))


def test_positions_of_a_model_with_an_adapter(tiny_llama: Path, tiny_bert: Path) -> None:
    from peft import LoraConfig, get_peft_model

    for auto, base in ((AutoModelForCausalLM, tiny_llama), (AutoModelForMaskedLM, tiny_bert)):
        model = auto.from_pretrained(base)
        assert limits.positions(model) == 128
        assert limits.positions(get_peft_model(model, LoraConfig(target_modules="all-linear"))) == 128


def test_a_block_longer_than_the_positions_is_refused_before_training(
    tiny_bert: Path, tmp_path: Path
) -> None:
    run = tiny.run("masked-lm", tiny_bert, tmp_path, training__block_size=129)
    with pytest.raises(SettingsError, match=r"training\.block_size: 129 .* 128 positions") as caught:
        stages.train(run, tiny.quiet)
    assert caught.value.hint == "lower training.block_size"
    assert not (tmp_path / "run").exists()


@pytest.mark.real
@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"measuring__context": 129}, "measuring.context"),
        (
            {"measuring": {"throughput": True}, "measuring__speed": {"sequence_length": 120}},
            "measuring.speed.sequence_length and new_tokens",
        ),
    ],
)
def test_measuring_beyond_the_positions_is_refused_before_any_measure(
    changes: dict[str, Any], setting: str, tiny_llama: Path, tmp_path: Path
) -> None:
    made = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1)
    stages.train(made, tiny.quiet)
    run, said = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1, **changes), []
    with pytest.raises(SettingsError, match=f"{setting}: 1.. tokens are longer") as caught:
        stages.measure(run, said.append)
    assert caught.value.hint == f"lower {setting}"
    assert not any("measuring" in line for line in said)


MEMORY, DISK, NEUTRAL = "batch_size", "free some space", "mend what the message names"


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (MemoryError(), MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), MEMORY),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory:"
                " you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
            ),
            MEMORY,
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), MEMORY),
        (RuntimeError("MPS backend out of memory (MPS allocated: 18.13 GB)"), MEMORY),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), DISK),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), DISK),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), DISK),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x8 and 4x8)"), NEUTRAL),
        (RuntimeError(""), NEUTRAL),
        (OSError(errno.EACCES, "Permission denied"), NEUTRAL),
    ],
)
def test_what_failed_gets_the_advice_that_helps(error: Exception, advice: str) -> None:
    told = running.failure("training stopped at step 3", error)
    assert told.message.startswith("training stopped at step 3: ")
    assert len(told.message) > len("training stopped at step 3: ")
    assert advice in (told.hint or "")
    assert sum(other in (told.hint or "") for other in (MEMORY, DISK, NEUTRAL)) == 1


def test_an_allocation_that_fails_is_seen() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.float64)
    assert limits.is_out_of_memory(caught.value)
