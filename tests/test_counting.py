"""Parameter counts and bytes against the modules themselves, and against numbers worked out by hand."""

from __future__ import annotations

import copy
import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tiny
import torch
from peft import (
    HiraConfig,
    IA3Config,
    LNTuningConfig,
    LoHaConfig,
    LoraConfig,
    OFTConfig,
    PolyConfig,
    PromptTuningConfig,
    TrainableTokensConfig,
    VeraConfig,
    get_peft_model,
)
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    BitsAndBytesConfig,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from hubkit import adapter, stages, tasks
from hubkit import counting as files_counting
from hubkit.counting import base_files
from hubkit.errors import AdapterError, BaseModelError
from hubkit.measures import memory
from hubkit.models import counting, loading
from hubkit.record import BaseModel, Size

CASES: list[tuple[str, Any]] = [
    ("llama", LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"])),
    ("llama", LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear")),
    ("llama", HiraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "down_proj"])),
    ("llama", LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"])),
    ("llama", LoraConfig(r=4, target_modules=["q_proj"], use_dora=True)),
    ("llama", LoraConfig(r=4, target_modules=["q_proj"], rank_pattern={"layers.1.self_attn.q_proj": 2})),
    ("bert", LoraConfig(r=4, target_modules=["query", "key", "value"])),
    ("bert", LoraConfig(r=4, target_modules=["query"], modules_to_save=["transform"])),
    ("bert", LoraConfig(r=4, target_modules=["query"], bias="lora_only")),
    ("bert", LoraConfig(r=4, target_modules=["query"], bias="all")),
    ("bert", LoraConfig(r=4, target_modules=["query", "decoder"], bias="all")),
    ("bert", HiraConfig(r=4, target_modules=["query", "value"], modules_to_save=["transform"])),
    ("bert", TrainableTokensConfig(token_indices=[1, 2])),
    ("llama", TrainableTokensConfig(task_type="CAUSAL_LM", token_indices=[1, 2])),
]


def by_hand(model: Any) -> int:
    """Distinct parameters by their storage."""
    return sum({p.data_ptr(): p.numel() for _, p in model.named_parameters(remove_duplicate=False)}.values())


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")
@pytest.mark.parametrize(
    ("family", "config"), CASES + [("untied llama", config) for family, config in CASES if family == "llama"]
)
def test_counts_are_those_of_the_module(family: str, config: Any, tmp_path: Path) -> None:
    if family == "bert":
        base = AutoModelForMaskedLM.from_pretrained(tiny.bert(tmp_path / "base"))
    else:
        base = AutoModelForCausalLM.from_pretrained(tiny.llama(tmp_path / "base", tied=family == "llama"))
    model = get_peft_model(base, copy.deepcopy(config))
    model.save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "README.md").unlink()
    trainable = {p.data_ptr(): p.numel() for p in model.parameters() if p.requires_grad}
    expected_total = by_hand(model)

    fresh = (AutoModelForMaskedLM if family == "bert" else AutoModelForCausalLM).from_pretrained(
        tmp_path / "base"
    )
    found = adapter.read(tmp_path / "adapter")
    loaded = loading.load_adapter(fresh, found)
    frozen = [name for name, p in loaded.named_parameters() if p.requires_grad]
    counted = counting.count(loaded, found)
    assert (counted.total, counted.trainable) == (expected_total, sum(trainable.values()))
    assert counted.total_by_dtype == {"float32": expected_total}
    assert counted.adapter == found.parameters
    assert [name for name, p in loaded.named_parameters() if p.requires_grad] == frozen
    on_meta = counting.count_with_base(
        tmp_path / "adapter",
        tmp_path / "base" / "config.json",
        "masked-lm" if family == "bert" else "causal-lm",
    )
    assert (on_meta.total, on_meta.trainable) == (counted.total, counted.trainable)
    task = tasks.described("masked-lm" if family == "bert" else "causal-lm")
    from_files = files_counting.count(found, base_files.local(tmp_path / "base"), task)
    assert msgspec.structs.replace(from_files, counted_on="loaded model") == counted
    from_config = files_counting.count(found, base_files.config_only(tmp_path / "base" / "config.json"), task)
    assert from_config == on_meta


def lora_file(directory: Path, layers: int = 12, hidden: int = 768, r: int = 8) -> Path:
    """An adapter on BERT's query, key and value, written byte by byte as PEFT and safetensors write it."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for layer in sorted(range(layers), key=str):
        for module in ("key", "query", "value"):
            for matrix, shape in (("A", [r, hidden]), ("B", [hidden, r])):
                name = f"base_model.model.bert.encoder.layer.{layer}.attention.self.{module}"
                entry = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * r * hidden]}
                header[f"{name}.lora_{matrix}.weight"] = entry
                at += 4 * r * hidden
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    directory.mkdir()
    (directory / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))
    config = {
        "peft_type": "LORA",
        "r": r,
        "lora_alpha": 16,
        "lora_dropout": 0.1,
        "target_modules": ["query", "key", "value"],
        "base_model_name_or_path": "google-bert/bert-base-uncased",
        "auto_mapping": {
            "base_model_class": "BertForMaskedLM",
            "parent_library": "transformers.models.bert.modeling_bert",
        },
    }
    (directory / "adapter_config.json").write_text(json.dumps(config))
    return directory


def test_bert_base_counts_what_bert_base_has(tmp_path: Path) -> None:
    directory = lora_file(tmp_path / "adapter")
    BertConfig(architectures=["BertForMaskedLM"]).save_pretrained(tmp_path)
    found = counting.count_with_base(directory, tmp_path / "config.json", None)
    assert found.total == 109_956_666
    assert found.trainable == found.adapter == 442_368
    assert round(100 * found.trainable / found.total, 2) == 0.40
    assert (directory / "adapter_model.safetensors").stat().st_size == 1_779_464
    assert found.counted_on == "base configuration"
    assert found.total_by_dtype == {}


@pytest.mark.real
def test_bert_base_counts_the_same_in_4_bits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig()).save_pretrained(tmp_path / "base")
    given = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    base = AutoModelForMaskedLM.from_pretrained(tmp_path / "base", quantization_config=given)
    found = adapter.read(lora_file(tmp_path / "adapter"))
    counted = counting.count(loading.load_adapter(base, found), found)
    assert (counted.total, counted.trainable) == (109_956_666, 442_368)
    assert counted.total_by_dtype["4bit"] > 80_000_000


@pytest.mark.parametrize("task", ["causal-lm", "masked-lm"])
def test_4_bits_change_no_count_and_their_constants_are_bytes(
    task: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue("tiny_llama" if task == "causal-lm" else "tiny_bert")
    auto = AutoModelForCausalLM if task == "causal-lm" else AutoModelForMaskedLM
    config = LoraConfig(r=4, target_modules=tiny.TARGETS[task])
    plain = get_peft_model(auto.from_pretrained(path, dtype=torch.float32), copy.deepcopy(config))
    given = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    packed = get_peft_model(
        auto.from_pretrained(path, dtype=torch.float32, quantization_config=given), copy.deepcopy(config)
    )
    totals = [
        sum(counting.numel(p) for _, p in counting.unique_parameters(model)) for model in (plain, packed)
    ]
    assert totals[0] == totals[1] == by_hand(plain) > by_hand(packed)
    for (name, one), (other_name, other) in zip(
        counting.unique_parameters(plain), counting.unique_parameters(packed), strict=True
    ):
        assert name == other_name
        if counting.storage_name(other) == "4bit":
            assert memory.tensor_bytes(other) == one.numel() // 2
            # A code book of 16 floats, a byte for each block of 64, their scales and code book, an offset.
            blocks = one.numel() // 64
            nested = 4 * -(-blocks // 256) + 4 * 256 + 4
            assert memory.quantization_bytes(other) == 4 * 16 + blocks + nested
        else:
            assert memory.quantization_bytes(other) == 0


def test_sizes_are_counted_in_bytes(tiny_bert: Path, tmp_path: Path) -> None:
    model = get_peft_model(
        AutoModelForMaskedLM.from_pretrained(tiny_bert, dtype=torch.float32),
        LoraConfig(r=4, target_modules=["query"], modules_to_save=["transform"]),
    )
    model.save_pretrained(tmp_path)
    found = adapter.read(tmp_path)
    size = memory.size(model, found, BaseModel(id="a/b", dtype="float32", weights_bytes=7))
    base = AutoModelForMaskedLM.from_pretrained(tiny_bert, dtype=torch.float32)
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in base.buffers())
    assert size.merged_bytes == 4 * by_hand(base)
    assert size.base_memory_bytes == 4 * by_hand(base) + buffers
    assert size.adapter_memory_bytes == 4 * found.parameters
    assert size.adapter_weights_bytes == found.weights.stat().st_size
    config = (tmp_path / "adapter_config.json").stat().st_size
    assert size.adapter_directory_bytes == size.adapter_weights_bytes + config
    assert (size.base_weights_bytes, size.quantization_constants_bytes) == (7, None)


@pytest.mark.filterwarnings("ignore::UserWarning")  # PEFT says that it unties them
def test_a_tied_head_that_is_saved_whole_is_untied_by_merging(tiny_llama: Path, tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    before = by_hand(base)
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"]))
    model.save_pretrained(tmp_path)
    size = memory.size(model, adapter.read(tmp_path), BaseModel(id="a/b", dtype="float32"))
    merged = by_hand(model.merge_and_unload())
    assert merged > before
    assert size.merged_bytes == 4 * merged


def test_the_peak_of_loading_is_the_highest_reading() -> None:
    size = memory.with_load_peak(
        Size(adapter_sha256="0", adapter_weights_bytes=1), [(None, None), (5, "peak"), (3, "peak")]
    )
    assert (size.load_peak_bytes, size.load_peak_kind) == (5, "peak")
    most, kind = memory.Peak().read()
    assert kind is None or most


FOREIGN: list[Any] = [
    IA3Config(
        task_type="CAUSAL_LM", target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]
    ),
    OFTConfig(task_type="CAUSAL_LM", oft_block_size=8, target_modules=["q_proj"]),
    VeraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"]),
    LoHaConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"]),
    LNTuningConfig(task_type="CAUSAL_LM", target_modules=["input_layernorm"]),
    LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], trainable_token_indices=[1, 2]),
]


@pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning")
@pytest.mark.parametrize("config", FOREIGN, ids=lambda config: str(config.peft_type.value))
def test_the_base_weighs_the_same_under_any_adapter(config: Any, tiny_llama: Path, tmp_path: Path) -> None:
    def base() -> Any:
        return AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)

    get_peft_model(base(), copy.deepcopy(config)).save_pretrained(tmp_path)
    found, alone = adapter.read(tmp_path), base()
    model = loading.load_adapter(base(), found)
    size = memory.size(model, found, BaseModel(id="a/b", dtype="float32"))
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in alone.buffers())
    assert size.base_memory_bytes == 4 * by_hand(alone) + buffers
    assert size.merged_bytes == 4 * by_hand(alone)
    everything = sum(b.numel() * b.element_size() for b in model.buffers()) + 4 * by_hand(model)
    assert size.adapter_memory_bytes == everything - size.base_memory_bytes > 0


def test_a_base_of_another_size_is_an_error(tmp_path: Path) -> None:
    directory = lora_file(tmp_path / "adapter", layers=2, hidden=16, r=2)
    config = tmp_path / "config.json"
    small = {"model_type": "bert", "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}
    config.write_text(json.dumps({**small, "num_hidden_layers": 2, "hidden_size": 16}))
    assert counting.count_with_base(directory, config, "masked-lm").total
    for other, words in (
        ({"num_hidden_layers": 2, "hidden_size": 32}, "has another shape for base_model"),
        (
            {"num_hidden_layers": 1, "hidden_size": 16},
            "has no place for base_model.*layer.1",
        ),
        ({"num_hidden_layers": 3, "hidden_size": 16}, "lacks base_model.*layer.2"),
    ):
        config.write_text(json.dumps({**small, **other}))
        with pytest.raises(AdapterError, match=words) as caught:
            counting.count_with_base(directory, config, "masked-lm")
        assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_adapted_embedding_fits(tiny_llama: Path, tmp_path: Path) -> None:
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["embed_tokens", "q_proj"])
    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    get_peft_model(base, config).save_pretrained(tmp_path)
    found = adapter.read(tmp_path)
    assert any(tensor.name.endswith("embed_tokens.base_layer.weight") for tensor in found.tensors)
    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    counted = counting.count(loading.load_adapter(base, found), found)
    assert counting.count_with_base(tmp_path, tiny_llama / "config.json", "causal-lm").total == counted.total


def test_a_type_that_cannot_be_counted_without_weights_is_one_line(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"])
    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    get_peft_model(base, config).save_pretrained(tmp_path)

    def refuse(*arguments: Any) -> None:
        raise RuntimeError("Tensor.item() cannot be called on meta tensors\nand more")

    monkeypatch.setattr("peft.get_peft_model", refuse)
    with pytest.raises(AdapterError, match="cannot be counted without weights: Tensor") as caught:
        counting.count_with_base(tmp_path, tiny_llama / "config.json", "causal-lm")
    assert "\n" not in str(caught.value)


def test_a_model_of_no_task_counts_by_the_class_that_is_named(tmp_path: Path) -> None:
    config = WhisperConfig(
        vocab_size=64, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, decoder_start_token_id=1, max_source_positions=8, max_target_positions=8,
        architectures=["WhisperForConditionalGeneration"],
    )  # fmt: skip
    model = get_peft_model(
        WhisperForConditionalGeneration(config), LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    )
    model.save_pretrained(tmp_path / "adapter")
    config.save_pretrained(tmp_path)
    found = counting.count_with_base(tmp_path / "adapter", tmp_path / "config.json", None)
    assert (found.trainable, found.total) == model.get_nb_trainable_parameters()


def test_what_cannot_be_measured_is_refused_in_one_line(tiny_llama: Path, tmp_path: Path) -> None:
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    get_peft_model(base, config).save_pretrained(tmp_path)
    run = tiny.run("causal-lm", tiny_llama, tmp_path, adapter=str(tmp_path))
    with pytest.raises(AdapterError, match="a PROMPT_TUNING adapter, which hubkit does not measure"):
        stages.measure(run, tiny.quiet)
    with pytest.raises(AdapterError, match="a PROMPT_TUNING adapter, which hubkit does not measure"):
        counting.count_with_base(tmp_path, tiny_llama / "config.json", "causal-lm")


def test_poly_is_refused_before_the_base_is_loaded(tiny_llama: Path, tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    config = PolyConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], n_tasks=2)
    get_peft_model(base, config).save_pretrained(tmp_path)
    run = tiny.run("causal-lm", tiny_llama, tmp_path, adapter=str(tmp_path))
    with pytest.raises(AdapterError, match="a POLY adapter, which hubkit does not measure"):
        stages.measure(run, tiny.quiet)
    assert counting.count_with_base(tmp_path, tiny_llama / "config.json", "causal-lm").total


def test_what_peft_does_not_tell_is_one_line(tiny_llama: Path, tmp_path: Path) -> None:
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"])
    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    model = get_peft_model(base, config)
    model.save_pretrained(tmp_path)

    def refuse(*arguments: Any, **named: Any) -> None:
        raise AttributeError("no such thing\nand more")

    model.set_requires_grad = refuse
    with pytest.raises(AdapterError, match=r"does not tell what LORA trains: no such thing \("):
        counting.count(model, adapter.read(tmp_path))


def test_a_base_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    directory = lora_file(tmp_path / "adapter", layers=1, hidden=16, r=2)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": "no-such-family"}))
    with pytest.raises(BaseModelError, match="describes no model") as caught:
        counting.count_with_base(directory, config, "masked-lm")
    assert "\n" not in str(caught.value)
    for broken, words in (
        ({"hidden_size": "x"}, "describes no model"),
        ({"num_hidden_layers": 10**9}, "names 1,000,000,000 layers"),
        ({"text_config": {"num_hidden_layers": 1e12}}, "layers"),
    ):
        config.write_text(json.dumps({"model_type": "llama", **broken}))
        with pytest.raises(BaseModelError, match=words):
            counting.count_with_base(directory, config, "causal-lm")
    config.write_text(json.dumps({"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 64}))
    with pytest.raises(AdapterError, match="does not fit") as other:
        counting.count_with_base(directory, config, "causal-lm")
    assert "\n" not in str(other.value)
