"""Adapters of many PEFT kinds on tiny bases, their cards, and a run of each card's own Python.

A test runs this in a process of its own, in an empty directory: ids on the cards stand for directories below
it. It prints one JSON object: for each adapter what its code printed, or why it failed, and how many numbers
PEFT says it trains.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from hubkit.cli.main import run
from hubkit.models.counting import count_with_base
from hubkit.tasks import ELSEWHERE, TASKS

WORDS = (
    "<pad> <unk> <mask> <s> </s> Once upon a time The capital of France is . I would see it again"
    " Ada lives in London Who about ?"
).split()
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
BASES: dict[str, tuple[type, Any]] = {
    "llama": (
        transformers.LlamaForCausalLM,
        transformers.LlamaConfig(vocab_size=len(WORDS), pad_token_id=0, eos_token_id=None, **SMALL),
    ),
    "bert": (transformers.BertForMaskedLM, transformers.BertConfig(vocab_size=len(WORDS), **SMALL)),
    "t5": (
        transformers.T5ForConditionalGeneration,
        transformers.T5Config(
            vocab_size=len(WORDS), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
            decoder_start_token_id=0, eos_token_id=4, pad_token_id=0,
        ),
    ),
}  # fmt: skip

QV = ["q_proj", "v_proj"]
PROMPT = {"num_virtual_tokens": 4}


def causal(config: str, /, **settings: Any) -> tuple[str, str, str, dict[str, Any]]:
    """An adapter of this configuration class on the causal base."""
    return "llama", "AutoModelForCausalLM", config, {"task_type": "CAUSAL_LM", **settings}


def on_bert(auto: str, task: str | None, /, **settings: Any) -> tuple[str, str, str, dict[str, Any]]:
    return (
        "bert",
        auto,
        "LoraConfig",
        {"task_type": task, "target_modules": ["query", "value"], "r": 2, **settings},
    )


def on_t5(config: str, /, **settings: Any) -> tuple[str, str, str, dict[str, Any]]:
    return "t5", "AutoModelForSeq2SeqLM", config, {"task_type": "SEQ_2_SEQ_LM", **settings}


# name: base, class that loads it, configuration class, its arguments
CASES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    # LoRA and its variants
    "lora": causal("LoraConfig", target_modules=QV),
    "lora-all-linear": causal("LoraConfig", target_modules="all-linear", bias="all"),
    "lora-patterns": causal(
        "LoraConfig", target_modules=QV, r=4, rank_pattern={"q_proj": 8}, alpha_pattern={"q_proj": 32}
    ),
    "lora-regex": causal("LoraConfig", target_modules=r".*\.0\..*_proj", lora_dropout=0.1),
    "lora-head": causal("LoraConfig", target_modules=QV, modules_to_save=["lm_head"]),
    "lora-embedding": causal("LoraConfig", target_modules=["embed_tokens", "q_proj"]),
    "lora-resized": causal("LoraConfig", target_modules=QV),
    "lora-tokens": causal("LoraConfig", target_modules=QV, trainable_token_indices=[1, 2]),
    "lora-parameters": causal("LoraConfig", target_modules=["q_proj"], layers_to_transform=[1]),
    "lora-bias": causal("LoraConfig", target_modules=QV, lora_bias=True),
    "dora": causal("LoraConfig", target_modules=QV, use_dora=True),
    "rslora": causal("LoraConfig", target_modules=QV, use_rslora=True),
    "pissa": causal("LoraConfig", target_modules=QV, init_lora_weights="pissa", r=4),
    # other types
    "adalora": causal("AdaLoraConfig", target_modules=QV, total_step=10),
    "adaption-prompt": causal("AdaptionPromptConfig", adapter_len=4, adapter_layers=1),
    "beft": causal("BeftConfig", target_modules=QV),
    "boft": causal("BOFTConfig", target_modules=QV, boft_block_size=8),
    "c3a": causal("C3AConfig", target_modules=QV, block_size=8),
    "cartridge": causal("CartridgeConfig", **PROMPT),
    "cpt": causal(
        "CPTConfig", cpt_token_ids=[5, 6, 7], cpt_mask=[1, 1, 1], cpt_tokens_type_mask=[1, 2, 4]
    ),
    "deft": causal("DeftConfig", target_modules=QV),
    "delora": causal("DeloraConfig", target_modules=QV),
    "fourierft": causal("FourierFTConfig", target_modules=QV, n_frequency=16),
    "frod": causal("FrodConfig", target_modules=QV, progressbar=False),
    "glora": causal("GloraConfig", target_modules=QV),
    "gralora": causal("GraloraConfig", target_modules=QV),
    "hira": causal("HiraConfig", target_modules=QV, r=4),
    "hra": causal("HRAConfig", target_modules=QV),
    "ia3": causal("IA3Config", target_modules=[*QV, "down_proj"], feedforward_modules=["down_proj"]),
    "lily": causal("LilyConfig", target_modules=QV, r=4),
    "ln-tuning": causal("LNTuningConfig", target_modules=["input_layernorm"]),
    "loha": causal("LoHaConfig", target_modules=QV),
    "lokr": causal("LoKrConfig", target_modules=QV),
    "miss": causal("MissConfig", target_modules=QV, r=8),
    "multitask": causal("MultitaskPromptTuningConfig", num_tasks=2, **PROMPT),
    "oft": causal("OFTConfig", target_modules=QV, oft_block_size=8),
    "osf": causal("OSFConfig", target_modules=QV),
    "p-tuning": causal("PromptEncoderConfig", encoder_hidden_size=16, **PROMPT),
    "peanut": causal("PeanutConfig", target_modules=QV),
    "poly": causal("PolyConfig", target_modules=QV, n_tasks=2),
    "prefix": causal("PrefixTuningConfig", **PROMPT),
    "prefix-projected": causal(
        "PrefixTuningConfig", prefix_projection=True, encoder_hidden_size=16, **PROMPT
    ),
    "prompt": causal("PromptTuningConfig", **PROMPT),
    "psoft": causal("PsoftConfig", target_modules=QV),
    "pvera": causal("PveraConfig", target_modules=QV),
    "randlora": causal("RandLoraConfig", target_modules=QV),
    "road": causal("RoadConfig", target_modules=QV, group_size=8),
    "shadow": causal("ShadowConfig"),
    "shira": causal("ShiraConfig", target_modules=QV, r=4),
    "supertuning": causal("SupertuningConfig", target_modules=QV),
    "tinylora": causal("TinyLoraConfig", target_modules=QV),
    "tokens": causal("TrainableTokensConfig", target_modules=["embed_tokens"], token_indices=[1, 2]),
    "unilora": causal("UniLoraConfig", target_modules=QV),
    "vblora": causal("VBLoRAConfig", target_modules=QV, vector_length=8, num_vectors=16),
    "vera": causal("VeraConfig", target_modules=QV),
    "waveft": causal("WaveFTConfig", target_modules=QV, n_frequency=16),
    "xlora": causal(
        "XLoraConfig", hidden_size=32, xlora_depth=1, adapters={"0": "zoo/lora", "1": "zoo/rslora"}
    ),
    # other tasks
    "masked": on_bert("AutoModelForMaskedLM", None, modules_to_save=["cls"]),
    "sequences": on_bert("AutoModelForSequenceClassification", "SEQ_CLS"),
    "tokens-labelled": on_bert("AutoModelForTokenClassification", "TOKEN_CLS"),
    "questions": on_bert("AutoModelForQuestionAnswering", "QUESTION_ANS"),
    "features": on_bert("AutoModel", "FEATURE_EXTRACTION"),
    "features-untold": on_bert("AutoModel", None),
    "seq2seq": on_t5("LoraConfig", target_modules=["q", "v"]),
    "seq2seq-prompt": on_t5("PromptTuningConfig", **PROMPT),
}  # fmt: skip
COUNTED = ("lora", "lora-resized", "sequences", "tokens-labelled")  # also with the base's configuration alone
LABELS = {"sequences": 3, "tokens-labelled": 5}


def described(auto: str) -> str | None:
    """The name of the task whose class loads the base."""
    tasks = [*TASKS.values(), *ELSEWHERE.values()]
    return next((str(task.NAME) for task in tasks if auto == task.AUTO_CLASS), None)


def tokenizer(words: list[str]) -> transformers.PreTrainedTokenizerFast:
    level = models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>")
    made = Tokenizer(level)
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", mask_token="<mask>", bos_token="<s>",
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def adapter(name: str) -> int:
    """Make one and save it; how many numbers of it are trained."""
    base, auto, config, settings = CASES[name]
    more = {"num_labels": LABELS[name]} if name in LABELS else {}
    model = getattr(transformers, auto).from_pretrained(f"zoo/{base}", **more)
    if name == "lora-resized":
        model.resize_token_embeddings(len(WORDS) + 2, mean_resizing=False)
        tokenizer([*WORDS, "new", "newer"]).save_pretrained(f"zoo/{name}")
    if name == "xlora":
        model.config.use_cache = False
    made = peft.get_peft_model(model, getattr(peft, config)(**settings))
    trained = made.get_nb_trainable_parameters()[0]
    if name in COUNTED:
        whole = {parameter.data_ptr(): parameter.numel() for parameter in made.parameters()}
        config = Path(f"zoo/{base}/config.json")
        made.save_pretrained(f"zoo/{name}")
        counted = count_with_base(Path(f"zoo/{name}"), config, described(auto)).total
        assert counted == sum(whole.values()), (counted, sum(whole.values()))
    made.save_pretrained(f"zoo/{name}")
    return int(trained)


def outcome(work: Callable[[], Any]) -> dict[str, Any]:
    """What the work printed and gave, or why it failed."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            given = work()
    except Exception:
        return {"error": traceback.format_exc(limit=-4)}
    return {"printed": said.getvalue(), "given": given}


def code_runs(name: str) -> None:
    """Run the Python of a card, block by block, as a reader would."""
    card = Path(f"zoo/{name}/README.md").read_text(encoding="utf-8")
    space: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", card, re.DOTALL | re.MULTILINE):
        exec(compile(block, name, "exec"), space)
    assert "model" in space


def card(name: str) -> None:
    code = run(["card", "--adapter", f"zoo/{name}", "--repo-id", f"zoo/{name}", "--license", "mit", "-q"])
    assert code == 0, code


def prefixes() -> dict[str, str | None]:
    """PEFT's own prefix of each type's tensors; None for a prompt, which has no module."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING

    return {
        kind.value: None
        if issubclass(config, peft.PromptLearningConfig)
        else PEFT_TYPE_TO_PREFIX_MAPPING[kind]
        for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()
    }


def main(names: list[str]) -> None:
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    for base, (kind, config) in BASES.items():
        kind(config).save_pretrained(f"zoo/{base}")
        tokenizer(WORDS).save_pretrained(f"zoo/{base}")
    found: dict[str, Any] = {"": prefixes()}
    for name in names or CASES:
        made = outcome(lambda name=name: adapter(name))  # type: ignore[misc]
        found[name] = {"made": made}
        if "error" not in made:
            found[name]["card"] = outcome(lambda name=name: card(name))  # type: ignore[misc]
            found[name]["ran"] = outcome(lambda name=name: code_runs(name))  # type: ignore[misc]
    print(json.dumps(found))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    main(sys.argv[1:])
