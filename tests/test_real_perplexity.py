"""Perplexity beside lm-evaluation-harness, and in bfloat16 beside float32; slow: `pytest -m real`.

The harness is compared where it is installed (pip install lm-eval): three models with tokenizers of unlike
kinds, two texts, documents apart and packed, with an adapter attached and without.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import tokenizers_zoo
from text_cases import Case

from hubkit.measures.scoring import score
from hubkit.measures.windows import IGNORE, Stream, causal_windows, prefix_token, streams

pytestmark = pytest.mark.real

ROOT = Path(__file__).parent.parent
CONTEXT = 128
UNICODE = [
    "Straße, naïve café; e\u0301 and é, ﬁne ½.\n\n\tIndented,  twice   spaced.",
    "東京は日本の首都です。人口は約1400万人。",
    "😀👩‍👩‍👧‍👦 🇩🇪 \u200b zero\u00adwidth \u2028 line",
    "Съешь же ещё этих мягких французских булок, да выпей чаю!",
    "x",
    "def f(x):\n    return {'a': [1, 2.5e-3, None]}  # 100%\n",
    *tiny.text(2, seed=11),
]


def fetched(name: str, target: str) -> Path:
    path = ROOT / "build" / target
    script = ROOT / "examples" / "real_inputs.py"
    subprocess.run([sys.executable, str(script), name, str(path)], check=True, timeout=300)
    return path


def topics() -> list[str]:
    lines = fetched("topics", "topics.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    return [text[:900] for text in texts[3:9]]


def qwen(directory: Path) -> Path:
    """A tiny Qwen 2 with a tokenizer that joins a full stop to the line ends after it."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = tokenizers_zoo.qwen()
    torch.manual_seed(1)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.2,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def gpt2(directory: Path) -> Path:
    """A tiny GPT-2 with a tokenizer of Llama 2's kind: a begin-of-text token, a mark before every text."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = tokenizers_zoo.llama2()
    torch.manual_seed(2)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=64, n_layer=2, n_head=4, n_positions=256, initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


MODELS: dict[str, Any] = {
    "smollm2": (lambda _: fetched("smollm2", "smollm2"), ("q_proj", "v_proj")),
    "qwen": (qwen, ("q_proj", "v_proj")),
    "gpt2": (gpt2, ("c_attn",)),
}


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    make, targets = MODELS[request.param]
    base = make(tmp_path_factory.mktemp("base"))
    return Case("causal-lm", base, tmp_path_factory.mktemp("adapter"), targets=targets)


def harness(model: Any, tokenizer: Any, texts: list[str]) -> dict[str, float]:
    """The sum of log-likelihoods, and the harness's own metrics of it."""
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed: pip install lm-eval")
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.api.metrics import bits_per_byte, weighted_perplexity
    from lm_eval.api.task import PerplexityTask
    from lm_eval.models.huggingface import HFLM

    judge = HFLM(
        pretrained=model,
        tokenizer=tokenizer,
        backend="causal",
        max_length=CONTEXT,
        batch_size=2,
        device="cpu",
    )
    asked = [Instance("loglikelihood_rolling", {}, (text,), at) for at, text in enumerate(texts)]
    with torch.inference_mode():
        found = judge.loglikelihood_rolling(asked, disable_tqdm=True)
    words = [(value, PerplexityTask.count_words(text)) for value, text in zip(found, texts, strict=True)]
    size = [(value, PerplexityTask.count_bytes(text)) for value, text in zip(found, texts, strict=True)]
    return {
        "nll_sum": -sum(found),
        "word_perplexity": weighted_perplexity(words),
        "byte_perplexity": weighted_perplexity(size),
        "bits_per_byte": bits_per_byte(size),
    }


@pytest.mark.filterwarnings("ignore")  # the harness's, and those of what it imports
@pytest.mark.parametrize("kept", ["apart", "packed"])
@pytest.mark.parametrize("text", ["topics", "unicode"])
def test_causal_perplexity_is_that_of_the_harness(case: Case, text: str, kept: str, tell: Any) -> None:
    documents = topics() if text == "topics" else UNICODE
    texts = documents if kept == "apart" else ["\n\n".join(documents)]
    plain = harness(case.adapted.base_model.model, case.tokenizer, texts)
    alone = harness(case.alone, case.tokenizer, texts)
    found = case.perplexity(documents, documents=kept, context=CONTEXT, kernels="auto")
    for name, value in plain.items():
        of_both = [getattr(found, name), value]
        if name.endswith("perplexity"):  # exp of 12 nats a word makes 12 times the difference of it
            of_both = [math.log(one) for one in of_both]
        assert of_both[0] == pytest.approx(of_both[1], rel=1e-5), name
    assert found.base_nll_sum == pytest.approx(alone["nll_sum"], rel=1e-5)
    off = abs((found.nll_sum or 0) / plain["nll_sum"] - 1)
    tell(
        f"{type(case.alone).__name__}, {text} {kept}, {found.tokens_scored:,} tokens: perplexity"
        f" {found.value:.4f}, relative difference to the harness {off:.1e}"
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stride", [1, 7, 20])
def test_strided_windows_are_those_of_the_harness(stride: int) -> None:
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed: pip install lm-eval")
    import numpy as np
    from lm_eval.utils import get_rolling_token_windows

    for length in (1, 19, 20, 21, 47, 100):
        ids = np.arange(1, length + 1, dtype=np.int32)
        told = list(get_rolling_token_windows(ids.tolist(), 0, 20, 20 - stride + 1))
        cut = causal_windows(Stream(ids, np.zeros_like(ids)), 0, 20, stride)
        assert [window.inputs.tolist() for window in cut] == [given for given, _ in told]
        assert [window.targets[window.targets != IGNORE].tolist() for window in cut] == [p for _, p in told]


def test_bfloat16_is_near_float32(tell: Any) -> None:
    """Within 0.1 % on a real model, over text long enough: rounding moves each loss at random."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = fetched("smollm2", "smollm2")
    lines = fetched("topics", "topics.jsonl").read_text(encoding="utf-8").splitlines()
    documents = [json.loads(line)["text"] for line in lines[:16]]
    tokenizer = AutoTokenizer.from_pretrained(base)
    (stream,) = streams(tokenizer, documents, "packed")
    windows = causal_windows(stream, prefix_token(tokenizer), 256, 256)
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
        found[dtype] = score(model, windows, 4, len(documents))
    full, half = found[torch.float32], found[torch.bfloat16]
    tell(
        f"SmolLM2, {full.tokens:,} tokens: {full.perplexity:.4f} in float32, {half.perplexity:.4f} in"
        f" bfloat16 ({half.perplexity / full.perplexity - 1:+.2%})"
    )
    assert full.tokens == half.tokens > 10_000
    assert 5 < full.perplexity < 50  # a real model, and real text
    assert half.perplexity == pytest.approx(full.perplexity, rel=1e-3)
