"""Counts from files against the counted modules themselves: architectures, PEFT's kinds, and quantization.

The oracle is models/counting.py on the loaded model. Where files cannot tell, they must say so (NotExact):
the tests here say for which that may be.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft_zoo
import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

from hubkit import adapter as adapters
from hubkit import counting as files_counting
from hubkit import tasks
from hubkit.adapter import Adapter
from hubkit.counting import base_files, families, headers
from hubkit.counting.base_files import BaseFiles, Stored
from hubkit.models import counting, loading
from hubkit.tasks.elsewhere import ELSEWHERE
from hubkit.tensor_file import Tensor

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]

CAUSAL, MASKED, SEQ2SEQ = "AutoModelForCausalLM", "AutoModelForMaskedLM", "AutoModelForSeq2SeqLM"
SEQUENCES, TOKENS = "AutoModelForSequenceClassification", "AutoModelForTokenClassification"
Told = Callable[[str], None]


@pytest.fixture(autouse=True)
def quiet_transformers() -> None:
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)


def of_class(auto: str) -> Any:
    """A task whose class loads the base so."""
    everything: list[Any] = [*tasks.TASKS.values(), *ELSEWHERE.values()]
    return next(task for task in everything if auto == task.AUTO_CLASS)


def by_hand(model: Any) -> tuple[int, dict[str, int]]:
    """Distinct parameters, and the same by dtype."""
    counts: dict[str, int] = {}
    for _, parameter in counting.unique_parameters(model):
        name = counting.storage_name(parameter)
        counts[name] = counts.get(name, 0) + counting.numel(parameter)
    return sum(counts.values()), counts


# --- families by their configuration alone, on the meta device

SIZES = {
    "t5": {"vocab_size": 50, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 3,
           "num_heads": 3},
    "distilbert": {"vocab_size": 60, "dim": 32, "hidden_dim": 40, "n_layers": 2, "n_heads": 4},
}  # fmt: skip
MAY_SET = {
    "head_dim": 16, "attention_bias": True, "mlp_bias": True, "max_position_embeddings": 77, "n_inner": 44,
    "embedding_size": 16, "type_vocab_size": 3, "inner_group_num": 2, "feed_forward_proj": "gated-gelu",
    "relative_attention_num_buckets": 8, "num_key_value_heads": 2,
}  # fmt: skip


def small(family: str, draw: random.Random) -> dict[str, Any]:
    """Sizes for a configuration, some of them set and some left out."""
    given: dict[str, Any] = SIZES.get(family) or {
        "vocab_size": draw.randrange(40, 90), "hidden_size": 32, "num_hidden_layers": draw.randrange(1, 4),
        "num_attention_heads": 4, "intermediate_size": draw.randrange(20, 60),
    }  # fmt: skip
    default = CONFIG_MAPPING[family]()
    return {
        **given,
        **{key: value for key, value in MAY_SET.items() if hasattr(default, key) and draw.random() < 0.6},
        "pad_token_id": 0,
    }


@pytest.mark.parametrize("family", families.FAMILIES)
def test_formulas_are_their_classes(family: str, tell: Told) -> None:
    draw, seen = random.Random(family), 0
    for auto in filter(families.FAMILIES[family].has, families.KINDS):
        for tied in (None, True, False):
            for sizes in ({}, small(family, draw), small(family, draw)):
                given = sizes if tied is None else {**sizes, "tie_word_embeddings": tied}
                config = CONFIG_MAPPING[family](**given)
                with torch.device("meta"):
                    model = getattr(transformers, auto).from_config(config)
                for whole in (True, False):  # as transformers saves it, and with each value
                    plain = json.loads(config.to_json_string(use_diff=not whole))
                    shapes = families.shapes(plain, auto, None, None)
                    assert shapes.total == by_hand(model)[0], (auto, given)
                    assert shapes.embedding == counting.embedding(with_base(model)), (auto, given)
                    seen += 1
    tell(f"{family}: {seen} configurations")


def with_base(model: Any) -> Any:
    """A model that says it is its own base, as a PeftModel names its base."""
    model.get_base_model = lambda: model
    return model


class Simulated(BaseFiles):
    """Headers as a class's state has them; what is tied has the same bytes."""

    def hold_the_same(self, one: str, other: str) -> bool | None:
        return self.tensors[one].tensor.shape == self.tensors[other].tensor.shape


@pytest.mark.parametrize("auto", [CAUSAL, MASKED, SEQ2SEQ])
def test_families_from_headers_are_their_classes(auto: str, tell: Told) -> None:
    mapping = {
        CAUSAL: modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MASKED: modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        SEQ2SEQ: modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    }[auto]
    exact = 0
    for family in headers._OF_CLASS[auto][0]:
        for tied in (None, True, False):
            config = CONFIG_MAPPING[family](**({} if tied is None else {"tie_word_embeddings": tied}))
            with torch.device("meta"):
                model = getattr(transformers, mapping[family])(config)
            config.architectures = [type(model).__name__]
            plain, names = json.loads(config.to_json_string()), set(model.all_tied_weights_keys or {})
            for twice in (False, True):  # what is tied saved once, or twice
                held = {
                    name: Stored(
                        Tensor(name, str(value.dtype).removeprefix("torch."), tuple(value.shape), 0, 0)
                    )
                    for name, value in model.state_dict().items()
                    if twice or name not in names
                }
                if auto == SEQ2SEQ and tied is False:
                    with pytest.raises(files_counting.NotExact):
                        headers.parameters(Simulated("x", plain, held), auto, None)
                    continue
                found, embedding = headers.parameters(Simulated("x", plain, held), auto, None)
                assert sum(one.numel for one in found.values()) == by_hand(model)[0], (family, tied)
                assert embedding == counting.embedding(with_base(model)), (family, tied)
                exact += 1
    tell(f"{auto}: {exact} counts from headers")


# --- every kind of PEFT's

NOT_TOLD = {"lily", "shadow", "xlora"}


def test_every_kind_of_peft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Told) -> None:
    monkeypatch.chdir(tmp_path)
    for name, (kind, config) in peft_zoo.BASES.items():
        kind(config).save_pretrained(f"zoo/{name}")
        peft_zoo.tokenizer(peft_zoo.WORDS).save_pretrained(f"zoo/{name}")
    refused, exact = set(), 0
    for name, (base, auto, _, _) in peft_zoo.CASES.items():
        with contextlib.redirect_stdout(io.StringIO()):
            peft_zoo.adapter(name)
        labels = {"num_labels": peft_zoo.LABELS[name]} if name in peft_zoo.LABELS else {}
        model = getattr(transformers, auto).from_pretrained(f"zoo/{base}", **labels)
        if name == "lora-resized":
            model.resize_token_embeddings(len(peft_zoo.WORDS) + 2, mean_resizing=False)
        if name == "xlora":
            model.config.use_cache = False
        model = PeftModel.from_pretrained(model, f"zoo/{name}")
        found = adapters.read(Path(f"zoo/{name}"))
        for files in (
            base_files.local(Path(f"zoo/{base}")),
            base_files.config_only(Path(f"zoo/{base}/config.json")),
        ):
            try:
                counted = files_counting.count(found, files, tasks.described(peft_zoo.described(auto)))
            except files_counting.NotExact:
                refused.add(name)
                continue
            total, by_dtype = by_hand(model)
            assert counted.total == total, name
            assert counted.total_by_dtype in ({}, by_dtype), name
            assert counted.adapter == found.parameters
            assert counted.embedding == counting.embedding(model), name
            if found.peft_type not in adapters.PROMPT_TYPES:  # PEFT does not tell what it trains of a prompt
                assert counted.trainable == counting.count(model, found).trainable, name
            exact += 1
    assert refused == NOT_TOLD
    tell(
        f"{exact} counts of {len(peft_zoo.CASES) - len(refused)} PEFT adapters exact, {len(refused)} refused"
    )


# --- architectures, with LoRA in its forms, quantized too

TINY: dict[str, Any] = {"vocab_size": 70, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
                        "num_attention_heads": 4, "pad_token_id": 0}  # fmt: skip
KEYED = TINY | {"num_key_value_heads": 2}
GPT2 = {"vocab_size": 70, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 32}
DISTIL = {"vocab_size": 70, "dim": 64, "hidden_dim": 64, "n_layers": 2, "n_heads": 4}
ARCHITECTURES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("llama", CAUSAL, KEYED | {"tie_word_embeddings": False}),
    "llama, tied": ("llama", CAUSAL, KEYED | {"tie_word_embeddings": True}),
    "mistral": ("mistral", CAUSAL, KEYED),
    "qwen2": ("qwen2", CAUSAL, KEYED),
    "qwen3": ("qwen3", CAUSAL, KEYED | {"head_dim": 16}),
    "gemma": ("gemma", CAUSAL, KEYED | {"head_dim": 16}),
    "gemma2": ("gemma2", CAUSAL, KEYED | {"head_dim": 16}),
    "gemma3_text": ("gemma3_text", CAUSAL, KEYED | {"head_dim": 16}),
    "phi": ("phi", CAUSAL, KEYED),
    "phi3": ("phi3", CAUSAL, KEYED),
    "granite": ("granite", CAUSAL, KEYED),
    "gpt2": ("gpt2", CAUSAL, GPT2),
    "gpt2, untied": ("gpt2", CAUSAL, GPT2 | {"tie_word_embeddings": False}),
    "gpt_neox": ("gpt_neox", CAUSAL, TINY),
    "opt": ("opt", CAUSAL, {**TINY, "ffn_dim": 64, "word_embed_proj_dim": 64, "max_position_embeddings": 32}),
    "olmo2": ("olmo2", CAUSAL, KEYED),
    "bert": ("bert", MASKED, TINY),
    "bert, untied": ("bert", MASKED, TINY | {"tie_word_embeddings": False}),
    "roberta": ("roberta", MASKED, TINY),
    "distilbert": ("distilbert", MASKED, DISTIL),
    "electra": ("electra", MASKED, TINY | {"embedding_size": 32}),
    "albert": ("albert", MASKED, TINY | {"embedding_size": 32}),
    "mpnet": ("mpnet", MASKED, TINY),
    "modernbert": ("modernbert", MASKED, TINY | {"cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1,
                   "eos_token_id": 2}),
    "t5": ("t5", SEQ2SEQ, {"vocab_size": 70, "d_model": 64, "d_kv": 16, "d_ff": 64, "num_layers": 2,
           "num_heads": 4}),
    "bart": ("bart", SEQ2SEQ, {"vocab_size": 70, "d_model": 64, "encoder_layers": 1, "decoder_layers": 1,
             "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64,
             "decoder_ffn_dim": 64, "max_position_embeddings": 32}),
    "bert, sequences": ("bert", SEQUENCES, TINY | {"num_labels": 5}),
    "roberta, sequences": ("roberta", SEQUENCES, TINY | {"num_labels": 5}),
    "distilbert, tokens": ("distilbert", TOKENS, DISTIL | {"num_labels": 5}),
    "llama, sequences": ("llama", SEQUENCES, KEYED | {"num_labels": 5}),
    "gpt2, tokens": ("gpt2", TOKENS, GPT2 | {"num_labels": 5}),
}  # fmt: skip
HEADS = {
    "bert": "cls", "roberta": "lm_head", "distilbert": "vocab_transform", "electra": "generator_predictions",
    "albert": "predictions", "mpnet": "lm_head", "modernbert": "head",
}  # fmt: skip
INPUTS = {
    "gpt2": "wte",
    "gpt_neox": "embed_in",
    "t5": "shared",
    "bart": "shared",
    "modernbert": "tok_embeddings",
}
PEFT_TASKS = {SEQUENCES: "SEQ_CLS", TOKENS: "TOKEN_CLS"}


def forms(family: str, auto: str) -> dict[str, dict[str, Any]]:
    """LoRA in its forms, as far as this architecture has a place for them."""
    words = INPUTS.get(family) or (
        "word_embeddings" if auto not in (CAUSAL,) and family != "llama" else "embed_tokens"
    )
    found: dict[str, dict[str, Any]] = {
        "plain": {},
        "DoRA": {"use_dora": True},
        "rank pattern": {"rank_pattern": {r".*\.0\..*": 2}},
        "bias all": {"bias": "all"},
        "bias lora_only": {"bias": "lora_only"},
        "tokens": {"trainable_token_indices": {words: [1, 2]}},
        "embeddings whole": {"modules_to_save": [words]},
    }
    if auto in PEFT_TASKS:
        del found["embeddings whole"]
    elif family in HEADS:
        found["head whole"] = {"modules_to_save": [HEADS[family]]}
    else:
        found["head whole"] = {"modules_to_save": ["lm_head"]}
        found["head adapted"] = {"target_modules": [*linear(family), "lm_head"]}
    return found


def linear(family: str) -> list[str]:
    """Modules of any layer."""
    return {
        "gpt2": ["c_attn"], "gpt_neox": ["query_key_value"], "phi3": ["qkv_proj"], "t5": ["q", "v"],
        "distilbert": ["q_lin"], "mpnet": ["attn.q", "attn.v"], "modernbert": ["Wqkv"],
        "bert": ["query", "value"], "roberta": ["query"], "electra": ["query"], "albert": ["query"],
    }.get(family, ["q_proj", "v_proj"])  # fmt: skip


def compare(model: Any, base: Path, adapter: Adapter, auto: str, name: str) -> int:
    """How many of the ways to count from files were exact; a wrong one fails."""
    loaded = loading.load_adapter(model, adapter)
    expected, exact = counting.count(loaded, adapter), 0
    for files in (base_files.local(base), base_files.config_only(base / "config.json")):
        try:
            counted = files_counting.count(adapter, files, of_class(auto))
        except files_counting.NotExact:
            continue
        assert (counted.total, counted.trainable) == (expected.total, expected.trainable), name
        assert counted.embedding == expected.embedding, name
        assert counted.total_by_dtype in ({}, expected.total_by_dtype), name
        exact += 1
    return exact


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures_with_lora_in_its_forms(name: str, tmp_path: Path, tell: Told) -> None:
    family, auto, given = ARCHITECTURES[name]
    auto_class = getattr(transformers, auto)
    exact = {}
    auto_class.from_config(CONFIG_MAPPING[family](**given)).save_pretrained(tmp_path / "base")
    for form, settings in forms(family, auto).items():
        config = LoraConfig(
            **{"r": 4, "target_modules": linear(family), "task_type": PEFT_TASKS.get(auto), **settings}
        )
        fresh = auto_class.from_pretrained(tmp_path / "base")
        made = get_peft_model(fresh, config)
        made.save_pretrained(tmp_path / form)
        adapter = adapters.read(tmp_path / form)
        exact[form] = compare(
            auto_class.from_pretrained(tmp_path / "base"), tmp_path / "base", adapter, auto, form
        )
    assert exact["plain"] >= 1
    told = sum(map(bool, exact.values()))
    tell(f"{name}: {told} of {len(exact)} forms exact; refused: {[f for f, n in exact.items() if not n]}")


@pytest.mark.parametrize(
    "name", ["llama", "llama, tied", "qwen2", "gpt_neox", "opt", "bert", "roberta", "bert, sequences"]
)
@pytest.mark.parametrize("double", [True, False])
def test_4_bits_saved_and_loaded(name: str, double: bool, tmp_path: Path) -> None:
    family, auto, given = ARCHITECTURES[name]
    auto_class = getattr(transformers, auto)
    auto_class.from_config(CONFIG_MAPPING[family](**given)).save_pretrained(tmp_path / "plain")
    quantized = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=double,
        llm_int8_skip_modules=["lm_head", "embed_out", "cls", "classifier"],
    )  # fmt: skip
    config = LoraConfig(r=4, target_modules=linear(family), task_type=PEFT_TASKS.get(auto))
    model = auto_class.from_pretrained(tmp_path / "plain", quantization_config=quantized)
    get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    adapter = adapters.read(tmp_path / "adapter")
    auto_class.from_pretrained(tmp_path / "plain", quantization_config=quantized).save_pretrained(
        tmp_path / "packed"
    )
    loaded = loading.load_adapter(auto_class.from_pretrained(tmp_path / "packed"), adapter)
    expected = counting.count(loaded, adapter)
    counted = files_counting.count(adapter, base_files.local(tmp_path / "packed"), of_class(auto))
    assert counted.total_by_dtype == expected.total_by_dtype
    assert counted.total_by_dtype["4bit"] > 0
    assert (counted.total, counted.trainable) == (expected.total, expected.trainable)
    assert counted.embedding == expected.embedding
    from_plain = files_counting.count(adapter, base_files.local(tmp_path / "plain"), of_class(auto))
    assert (from_plain.total, from_plain.embedding) == (expected.total, expected.embedding)


@pytest.mark.parametrize("name", ["llama", "llama, tied", "gpt2", "bert", "opt"])
def test_a_resized_vocabulary(name: str, tmp_path: Path) -> None:
    family, auto, given = ARCHITECTURES[name]
    auto_class = getattr(transformers, auto)
    auto_class.from_config(CONFIG_MAPPING[family](**given)).save_pretrained(tmp_path / "base")

    def resized() -> Any:
        model = auto_class.from_pretrained(tmp_path / "base")
        model.resize_token_embeddings(77, mean_resizing=False)
        return model

    made = get_peft_model(resized(), LoraConfig(r=4, target_modules=linear(family)))
    made.save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
    assert compare(resized(), tmp_path / "base", adapters.read(tmp_path / "adapter"), auto, name) >= 1


@pytest.mark.parametrize("head", [True, False])
def test_merged_size_is_that_of_the_merged_model(head: bool, tmp_path: Path) -> None:
    from hubkit.measures import memory
    from hubkit.record import BaseModel

    family, auto, given = ARCHITECTURES["llama, tied"]
    base = getattr(transformers, auto).from_config(CONFIG_MAPPING[family](**given))
    whole = {"modules_to_save": ["lm_head"]} if head else {"trainable_token_indices": [1, 2]}
    model = get_peft_model(base, LoraConfig(r=4, target_modules=linear(family), **whole))
    model.save_pretrained(tmp_path)
    size = memory.size(model, adapters.read(tmp_path), BaseModel(id="a/b", dtype="float32"))
    merged = model.merge_and_unload()
    assert size.merged_bytes == 4 * by_hand(merged)[0]
