"""Parameters from headers and configurations alone, against numbers worked out by hand; no torch here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from card_cases import LORA_CONFIG, lora_tensors, write_adapter, write_weights
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit import adapter as adapters
from hubkit import counting, tasks
from hubkit import record as records
from hubkit.adapter import Adapter
from hubkit.cli.main import run
from hubkit.counting import adapted, base_files, families, headers, packed
from hubkit.counting.base_files import BaseFiles, Stored
from hubkit.counting.shapes import NotExact
from hubkit.errors import AdapterError, BaseModelError, HubkitError
from hubkit.hub import Hub
from hubkit.tensor_file import Tensor

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub

TOKEN = "hf_alice_may_write"
LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 50, "hidden_size": 16,
    "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}  # fmt: skip
LAYER = 16 * 16 + 2 * 8 * 16 + 16 * 16 + 3 * 16 * 24 + 2 * 16
TOTAL = 50 * 16 + 2 * LAYER + 16
SHAPES = {
    "self_attn.q_proj": [16, 16], "self_attn.k_proj": [8, 16], "self_attn.v_proj": [8, 16],
    "self_attn.o_proj": [16, 16], "mlp.gate_proj": [24, 16], "mlp.up_proj": [24, 16],
    "mlp.down_proj": [16, 24],
}  # fmt: skip
CAUSAL = tasks.described("causal-lm")
LORA = 2 * (4 * 16 + 16 * 4 + 4 * 16 + 8 * 4)


def tensors(dtype: str = "BF16") -> dict[str, tuple[str, list[int]]]:
    """The tensors of the Llama above, as transformers saves them."""
    found = {"model.embed_tokens.weight": (dtype, [50, 16]), "model.norm.weight": (dtype, [16])}
    for layer in range(2):
        for name, shape in SHAPES.items():
            found[f"model.layers.{layer}.{name}.weight"] = (dtype, shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            found[f"model.layers.{layer}.{name}.weight"] = (dtype, [16])
    return found


def base(directory: Path, held: dict[str, tuple[str, list[int]]] | None = None, **config: Any) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps({**LLAMA, **config}))
    write_weights(directory / "model.safetensors", tensors() if held is None else held)
    return directory


@pytest.fixture
def lora(tmp_path: Path) -> Adapter:
    """LoRA of rank 4 on query and value of the Llama above."""
    config = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
    held: dict[str, tuple[str, list[int]]] = {}
    for layer in range(2):
        for name, rows in (("q_proj", 16), ("v_proj", 8)):
            at = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            held |= {f"{at}.lora_A.weight": ("F32", [4, 16]), f"{at}.lora_B.weight": ("F32", [rows, 4])}
    return adapters.read(write_adapter(tmp_path / "adapter", config, held))


def plain(name: str, dtype: str, *shape: int) -> Tensor:
    widths = {"bfloat16": 2, "float16": 2, "float32": 4, "u8": 1, "i8": 1, "i32": 4, "i64": 8, "f8_e4m3": 1}
    tensor = Tensor(name, dtype, shape, 0, 0)
    return Tensor(name, dtype, shape, 0, tensor.numel * widths[dtype])


def test_bert_base_is_counted_from_nothing_but_its_name(tmp_path: Path) -> None:
    modules = [f"attention.self.{name}" for name in ("key", "query", "value")]
    held = lora_tensors("bert.encoder.layer", 12, modules, 768, 8)
    found = adapters.read(
        write_adapter(tmp_path / "adapter", LORA_CONFIG | {"target_modules": ["query"]}, held)
    )
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    counted = counting.count(
        found, base_files.config_only(tmp_path / "config.json"), tasks.described("masked-lm")
    )
    assert (counted.total, counted.trainable) == (109_956_666, 442_368)
    assert counted.total == 109_514_298 + 442_368
    assert counted.embedding == 30_522 * 768
    assert (counted.counted_on, counted.total_by_dtype) == ("base configuration", {})


def test_files_tell_the_dtypes_too(tmp_path: Path, lora: Adapter) -> None:
    counted = counting.count(lora, base_files.local(base(tmp_path / "base")), CAUSAL)
    assert (counted.total, counted.trainable, counted.adapter) == (TOTAL + LORA, LORA, LORA)
    assert counted.total_by_dtype == {"bfloat16": TOTAL, "float32": LORA}
    assert counted.embedding == 50 * 16
    assert counted.counted_on == "file headers"


def test_a_named_task_tells_more_than_the_base(tmp_path: Path, lora: Adapter) -> None:
    files = base_files.local(base(tmp_path / "base"))
    for told, auto in (("SEQ_CLS", "SequenceClassification"), ("CAUSAL_LM", "CausalLM"), (None, "CausalLM")):
        adapter = Adapter(lora.directory, {**lora.config, "task_type": told}, lora.tensors)
        assert counting.auto_class_of(None, adapter, files) == f"AutoModelFor{auto}"
    with pytest.raises(NotExact, match="which class loads the base for NEW"):
        counting.auto_class_of(
            None, Adapter(lora.directory, {**lora.config, "task_type": "NEW"}, lora.tensors), files
        )


def test_shards_are_one_model(tmp_path: Path, lora: Adapter) -> None:
    directory, held = base(tmp_path / "base"), tensors()
    (directory / "model.safetensors").unlink()
    names = {name: f"model-0000{1 + at % 2}-of-00002.safetensors" for at, name in enumerate(held)}
    for file in set(names.values()):
        write_weights(directory / file, {name: held[name] for name in held if names[name] == file})
    index = directory / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": names}))
    assert counting.count(lora, base_files.local(directory), CAUSAL).total == TOTAL + LORA
    index.write_text(json.dumps({"weight_map": {"x": "../elsewhere.safetensors"}}))
    with pytest.raises(BaseModelError, match="names no files of weights beside it"):
        base_files.local(directory)
    index.write_text(json.dumps({"weight_map": {"x": "gone.safetensors"}}))
    with pytest.raises(BaseModelError, match=r"gone\.safetensors"):
        base_files.local(directory)


def test_what_is_saved_twice_counts_once_where_it_is_the_same(tmp_path: Path, lora: Adapter) -> None:
    held = tensors() | {"lm_head.weight": ("BF16", [50, 16]), "model.rotary_emb.inv_freq": ("F32", [2])}
    directory = base(tmp_path / "base", held)
    assert counting.count(lora, base_files.local(directory), CAUSAL).total == TOTAL + LORA
    path = directory / "model.safetensors"
    files = base_files.local(directory)
    head = files.tensors["lm_head.weight"].tensor
    raw = bytearray(path.read_bytes())
    raw[head.end - 1] ^= 1
    path.write_bytes(raw)
    counted = counting.count(lora, base_files.local(directory), CAUSAL)  # transformers does not tie these
    assert (counted.total, counted.embedding) == (TOTAL + LORA + 800, 1600)
    untied = base(tmp_path / "untied", held, tie_word_embeddings=False)
    assert counting.count(lora, base_files.local(untied), CAUSAL).total == TOTAL + LORA + 800


def test_two_weights_of_bitsandbytes_share_a_byte(tmp_path: Path, lora: Adapter) -> None:
    held = tensors()
    for name, (_, shape) in tensors().items():
        if "_proj" in name:
            held[name] = ("U8", [shape[0] * shape[1] // 2, 1])
            held |= {
                f"{name}.absmax": ("U8", [2]), f"{name}.quant_map": ("F32", [16]),
                f"{name}.nested_absmax": ("F32", [1]), f"{name}.nested_quant_map": ("F32", [256]),
                f"{name}.quant_state.bitsandbytes__nf4": ("U8", [90]),
            }  # fmt: skip
    given = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    directory = base(tmp_path / "base", held, quantization_config=given)
    counted = counting.count(lora, base_files.local(directory), CAUSAL)
    linear = 2 * (LAYER - 32)
    assert counted.total == TOTAL + LORA
    assert counted.total_by_dtype == {"4bit": linear, "bfloat16": TOTAL - linear, "float32": LORA}


PACKED: list[tuple[dict[str, Any], dict[str, tuple[str, tuple[int, ...]]], int, str]] = [
    (
        {"quant_method": "gptq", "bits": 4},
        {"qweight": ("i32", (2, 16)), "qzeros": ("i32", (1, 2)), "scales": ("float16", (1, 16)),
         "g_idx": ("i32", (16,))},
        256, "4bit",
    ),
    ({"quant_method": "gptq", "bits": 3}, {"qweight": ("i32", (3, 16))}, 512, "3bit"),
    (
        {"quant_method": "awq", "bits": 4},
        {"qweight": ("i32", (16, 2)), "scales": ("float16", (1, 16))},
        256, "4bit",
    ),
    (
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
        {"weight": ("i8", (16, 16)), "SCB": ("float32", (16,)), "weight_format": ("u8", ())},
        256, "int8",
    ),
    (
        {"quant_method": "fp8"},
        {"weight": ("f8_e4m3", (16, 16)), "weight_scale_inv": ("float32", (1, 1))},
        256, "f8_e4m3",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("quantization", "held", "numel", "dtype"), PACKED)
def test_packed_weights_are_what_they_stand_for(
    quantization: dict[str, Any], held: dict[str, tuple[str, tuple[int, ...]]], numel: int, dtype: str
) -> None:
    found = packed.undone(
        [plain(f"layer.{name}", kind, *shape) for name, (kind, shape) in held.items()],
        {"quantization_config": quantization},
    )
    assert {name: (one.numel, one.dtype) for name, one in found.items()} == {"layer.weight": (numel, dtype)}


def test_blocks_of_mxfp4_and_what_is_not_known() -> None:
    held = [plain("experts_blocks", "u8", 2, 4, 16), plain("experts_scales", "u8", 2, 4)]
    assert packed.undone(held, {"quantization_config": {"quant_method": "mxfp4"}})["experts"].numel == 256
    with pytest.raises(NotExact, match="quantized by aqlm"):
        packed.undone(held, {"quantization_config": {"quant_method": "aqlm"}})
    with pytest.raises(NotExact, match="of how many bits"):
        packed.undone(held, {"quantization_config": {"quant_method": "gptq", "bits": "four"}})


def opt(*more: Tensor, **config: Any) -> BaseFiles:
    """A family without a formula."""
    held = [
        plain("model.decoder.embed_tokens.weight", "float16", 30, 8),
        plain("model.decoder.layers.0.fc1.weight", "float16", 8, 8),
        *more,
    ]
    plain_config = {
        "model_type": "opt", "architectures": ["OPTForCausalLM"], "vocab_size": 30, "num_hidden_layers": 1,
        **config,
    }  # fmt: skip
    return BaseFiles("opt", plain_config, {tensor.name: Stored(tensor) for tensor in held})


def test_other_families_are_counted_from_their_headers() -> None:
    auto = "AutoModelForCausalLM"
    found, embedding = headers.parameters(opt(plain("model.decoder.position_ids", "i64", 1, 9)), auto, None)
    assert (sum(one.numel for one in found.values()), embedding) == (304, 240)
    found, embedding = headers.parameters(opt(), auto, 33)  # a resized vocabulary
    assert (sum(one.numel for one in found.values()), embedding) == (328, 264)
    found, embedding = headers.parameters(
        opt(plain("lm_head.weight", "float16", 30, 8), tie_word_embeddings=False), auto, None
    )
    assert (sum(one.numel for one in found.values()), embedding) == (544, 480)


@pytest.mark.parametrize(
    ("files", "auto", "why"),
    [
        (opt(), "AutoModelForSequenceClassification", "is not known here"),
        (opt(architectures=["OPTModel"]), "AutoModelForCausalLM", "are of OPTModel"),
        (opt(auto_map={"AutoModel": "x.py"}), "AutoModelForCausalLM", "OPTForCausalLM"),
        (opt(tie_word_embeddings=False), "AutoModelForCausalLM", "no output head"),
        (opt(plain("lm_head.weight", "float16", 30, 8)), "AutoModelForCausalLM", "only its bytes tell"),
        (
            opt(plain("model.decoder.layers.1.fc1.weight", "float16", 8, 8)),
            "AutoModelForCausalLM",
            "beyond its 1",
        ),
        (opt(plain("mtp.fc.weight", "float16", 8, 8)), "AutoModelForCausalLM", "may not load"),
    ],
)
def test_headers_that_do_not_tell_are_not_believed(files: BaseFiles, auto: str, why: str) -> None:
    with pytest.raises(NotExact, match=why):
        headers.parameters(files, auto, None)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"hidden_size": -4}, "hidden_size of the base's configuration is no positive whole number"),
        ({"num_hidden_layers": 10**6}, "names 1,000,000 layers"),
        ({"tie_word_embeddings": "yes"}, "neither true nor false"),
    ],
)
def test_configurations_that_make_no_sense_are_errors(config: dict[str, Any], why: str) -> None:
    with pytest.raises(BaseModelError, match=why):
        families.shapes({**LLAMA, **config}, "AutoModelForCausalLM", None, None)


def test_a_model_with_code_of_its_own_is_not_believed() -> None:
    with pytest.raises(NotExact, match="code of its own"):
        families.shapes({**LLAMA, "auto_map": {"AutoModel": "x.py"}}, "AutoModelForCausalLM", None, None)


def test_an_adapter_of_another_base_does_not_fit(tmp_path: Path, lora: Adapter) -> None:
    def against(**config: Any) -> None:
        counting.count(lora, BaseFiles("base", {**LLAMA, **config}), CAUSAL)

    with pytest.raises(AdapterError, match=r"has no place for base_model.*layers\.1"):
        against(num_hidden_layers=1)
    with pytest.raises(AdapterError, match=r"file lacks model\.layers\.2"):
        against(num_hidden_layers=3)
    with pytest.raises(AdapterError, match="another shape for"):
        against(hidden_size=32)
    files = base(tmp_path / "base", tensors(), num_hidden_layers=2, intermediate_size=25)
    with pytest.raises(BaseModelError, match="of different models"):
        counting.count(lora, base_files.local(files), CAUSAL)


def test_a_kind_that_the_file_does_not_tell_is_refused(lora: Adapter) -> None:
    for change in ({"peft_type": "XLORA"}, {"layer_replication": [[0, 1], [0, 1]]}):
        with pytest.raises(NotExact):
            adapted.added(Adapter(lora.directory, {**lora.config, **change}, lora.tensors))


BERT = {
    "model_type": "bert", "vocab_size": 50, "hidden_size": 16, "intermediate_size": 24,
    "num_hidden_layers": 1, "num_attention_heads": 4,
}  # fmt: skip
HEAD = "base_model.model.cls.predictions.decoder"
MASKED = tasks.described("masked-lm")


def resizing(rows: int, bias: str, *more: Tensor) -> Adapter:
    """LoRA on a BERT's value matrix, with the embeddings of a vocabulary as PEFT saves them."""
    value = "base_model.model.bert.encoder.layer.0.attention.self.value"
    held = (
        plain(f"{value}.lora_A.weight", "float32", 2, 16), plain(f"{value}.lora_B.weight", "float32", 16, 2),
        plain(f"{value}.base_layer.bias", "float32", 16),
        plain("base_model.model.bert.embeddings.word_embeddings.weight", "float32", rows, 16),
        plain(f"{HEAD}.weight", "float32", rows, 16), plain(f"{HEAD}.bias", "float32", rows), *more,
    )  # fmt: skip
    config = {"peft_type": "LORA", "target_modules": ["value"], "bias": bias}
    return Adapter(Path("adapter"), config, held if bias != "none" else (*held[:2], *held[3:]), "0" * 64)


def test_the_bias_of_a_head_that_is_saved_for_its_vocabulary_is_trained_only_where_told() -> None:
    files = BaseFiles("base", BERT)
    assert counting.count(resizing(57, "lora_only"), files, MASKED).trainable == 64 + 16
    assert counting.count(resizing(57, "all"), files, MASKED).trainable == 64 + 16 + 57
    head = (
        plain(f"{HEAD}.lora_A.weight", "float32", 2, 16),
        plain(f"{HEAD}.lora_B.weight", "float32", 57, 2),
    )
    adapted_head = resizing(57, "lora_only", *head)
    adapted_head.config["target_modules"] = ["value", "decoder"]
    assert counting.count(adapted_head, files, MASKED).trainable == 64 + 16 + 2 * 16 + 57 * 2 + 57


@pytest.mark.parametrize("family", ["bert", "camembert"])
def test_a_resized_head_with_biases_apart_is_not_counted(family: str) -> None:
    apart = {**BERT, "model_type": family, "tie_word_embeddings": False}
    name = "roberta" if family == "camembert" else "bert"
    held = [msgspec.structs.replace(t, name=_of(t.name, name)) for t in resizing(57, "none").tensors]
    found = resizing(57, "none")
    found = Adapter(found.directory, found.config, tuple(held), known_sha256="0" * 64)
    with pytest.raises(NotExact, match="biases apart"):
        counting.count(found, BaseFiles("base", apart), MASKED)
    assert counting.count(found, BaseFiles("base", {**apart, "vocab_size": 57}), MASKED).total
    assert counting.count(found, BaseFiles("base", {**apart, "tie_word_embeddings": True}), MASKED).total


def _of(name: str, prefix: str) -> str:
    if prefix == "bert":
        return name
    return name.replace("model.bert.", "model.roberta.").replace("cls.predictions.", "lm_head.")


def with_other_head(tmp_path: Path, **config: Any) -> BaseFiles:
    """The Llama above, whose head is saved beside its embedding with other values."""
    directory = base(tmp_path / "base", tensors() | {"lm_head.weight": ("BF16", [50, 16])}, **config)
    head = base_files.local(directory).tensors["lm_head.weight"].tensor
    raw = bytearray((directory / "model.safetensors").read_bytes())
    raw[head.end - 1] ^= 1
    (directory / "model.safetensors").write_bytes(raw)
    return base_files.local(directory)


def test_a_head_saved_with_other_values_is_tied_again_by_a_resized_vocabulary(
    tmp_path: Path, lora: Adapter
) -> None:
    def sized(rows: int) -> Adapter:
        embedding = plain("base_model.model.model.embed_tokens.weight", "float32", rows, 16)
        return Adapter(lora.directory, lora.config, (*lora.tensors, embedding), known_sha256="0" * 64)

    files = with_other_head(tmp_path)
    assert counting.count(sized(50), files, CAUSAL).total == TOTAL + LORA + 800
    with pytest.raises(NotExact, match="saved with other values"):
        counting.count(sized(57), files, CAUSAL)
    of_opt = {name: one for name, one in files.tensors.items() if "layers.1" not in name}
    config = {**LLAMA, "model_type": "opt", "architectures": ["OPTForCausalLM"]}
    other = BaseFiles("opt", config, of_opt)
    assert headers.parameters(other, "AutoModelForCausalLM", 50)[1] == 1600
    with pytest.raises(NotExact, match="saved with other values"):
        headers.parameters(other, "AutoModelForCausalLM", 57)


def test_tokens_trained_in_embeddings_that_only_the_files_hold_apart_are_not_counted(tmp_path: Path) -> None:
    held = tuple(
        plain(f"base_model.model.{name}.trainable_tokens_delta", "float32", 2, 16)
        for name in ("model.embed_tokens", "lm_head")
    )
    config = {"peft_type": "TRAINABLE_TOKENS", "token_indices": [1, 2]}
    found = Adapter(Path("adapter"), config, held, known_sha256="0" * 64)
    files = with_other_head(tmp_path)
    with pytest.raises(NotExact, match="trains tokens"):
        counting.count(found, files, CAUSAL)
    tied = BaseFiles("base", LLAMA)
    assert counting.count(found, tied, CAUSAL).trainable == 32
    untied = BaseFiles("base", {**LLAMA, "tie_word_embeddings": False})
    assert counting.count(found, untied, CAUSAL).trainable == 64


def test_of_weights_on_the_hub_only_headers_are_fetched(
    tmp_path: Path, lora: Adapter, alice_hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = base(tmp_path / "base", tensors() | {"far.weight": ("F32", [100_000])})
    hub = Hub(alice_hub.endpoint, TOKEN)
    hub.create_repo("alice/counted", private=False)
    hub.api.upload_folder(repo_id="alice/counted", folder_path=str(directory))
    got: list[int] = []
    whole = Hub.read_range

    def counted_range(*given: Any) -> bytes:
        found = whole(*given)
        got.append(len(found))
        return found

    monkeypatch.setattr(Hub, "read_range", counted_range)
    monkeypatch.setattr(base_files, "FIRST_BYTES", 1_000)
    counted = counting.count(lora, base_files.on_hub(hub, "alice/counted"), CAUSAL)
    assert (counted.total, counted.counted_on) == (TOTAL + LORA, "file headers")
    assert len(got) == 2
    assert sum(got) < 4_000 < (directory / "model.safetensors").stat().st_size
    with pytest.raises(BaseModelError, match="there is no model alice/nowhere"):
        base_files.on_hub(hub, "alice/nowhere")
    monkeypatch.setenv("HF_ENDPOINT", alice_hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    command = [
        "card",
        "--adapter",
        str(lora.directory),
        "-q",
        "--no-figures",
        "--base-model",
        "alice/counted",
    ]
    assert run([*command, "--base-from-hub"]) == 0
    assert f"of {TOTAL + LORA:,} " in (lora.directory / "README.md").read_text(encoding="utf-8")


def test_a_card_counts_with_a_bases_directory(tmp_path: Path, lora: Adapter) -> None:
    command = ["card", "--adapter", str(lora.directory), "-q", "--no-figures"]
    assert run([*command, "--base-path", str(base(tmp_path / "base"))]) == 0
    measured = records.read(lora.directory).measures.parameters
    assert measured is not None
    assert (measured.total, measured.counted_on) == (TOTAL + LORA, "file headers")
    assert run([*command, "--check"]) == 0


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
JSON = PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(st.text(max_size=8), PLAIN, max_size=3)
KEYS = st.sampled_from(
    [*LLAMA, "head_dim", "quantization_config", "id2label", "n_embd", "attention_bias", "bits"]
)
CONFIGS = st.builds(
    lambda family, more: {**LLAMA, "model_type": family, **more},
    st.sampled_from([*families.FAMILIES, *headers.CAUSAL, "none"]),
    st.dictionaries(KEYS, JSON, max_size=4),
)
TENSORS = st.lists(
    st.builds(
        lambda name, dtype, shape: plain(name, dtype, *shape),
        st.sampled_from(
            [*tensors(), "lm_head.weight", "score.weight", "x.qweight", "x.weight.absmax", "x.absmax"]
        ),
        st.sampled_from(["bfloat16", "float32", "u8", "i32", "i64"]),
        st.lists(st.integers(0, 60), max_size=3),
    ),
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(config=CONFIGS, held=TENSORS, changes=st.dictionaries(st.sampled_from(["peft_type", "bias", "use_dora",
       "target_modules", "modules_to_save", "num_virtual_tokens", "num_frozen_tokens"]), JSON, max_size=3),
       auto=st.sampled_from([None, "causal-lm", "masked-lm", "text-classification"]))  # fmt: skip
def test_whatever_files_hold_is_counted_or_refused(
    config: dict[str, Any], held: list[Tensor], changes: dict[str, Any], auto: str | None
) -> None:
    own = tuple(plain(f"base_model.model.{t.name}", t.dtype, *t.shape) for t in held)
    update = plain("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "float32", 4, 16)
    config_of_adapter = {"peft_type": "LORA", "target_modules": ["q_proj"]} | changes
    found = Adapter(Path("adapter"), config_of_adapter, (*own, update), known_sha256="0" * 64)
    files = BaseFiles("base", config, {t.name: Stored(t) for t in held})
    try:
        counted = counting.count(found, files, tasks.described(auto))
    except (NotExact, HubkitError):
        return
    assert counted.total is not None
    assert counted.total >= 0
