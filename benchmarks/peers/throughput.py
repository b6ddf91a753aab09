"""The speed of one model by hubkit and by optimum-benchmark: `python -m peers.throughput MODEL`.

Both time the same plain model (optimum-benchmark loads no adapter that is trained) with one thread: 128
random tokens in, 32 new ones, float32, in turns, three times each. Prints a list of turns with prefill and
decode in tokens per second.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import warnings
from collections.abc import Callable
from typing import Any

TURNS, PROMPT, NEW = 3, 128, 32


def hubkits(path: str) -> Callable[[], tuple[float, float]]:
    from transformers import AutoModelForCausalLM

    from hubkit.measures import throughput
    from hubkit.settings import ThroughputSettings

    model = AutoModelForCausalLM.from_pretrained(path, dtype="float32").eval()
    settings = ThroughputSettings(sequence_length=PROMPT, new_tokens=NEW, repeats=5, min_seconds=0)
    vocabulary = int(model.config.vocab_size)

    def once() -> tuple[float, float]:
        prefill, decode = throughput.generation_rates(model, vocabulary, settings)
        return prefill.median, decode.median

    return once


def optimums(path: str) -> Callable[[], tuple[float, float]]:
    import optimum_benchmark  # noqa: F401  (it brings transformers into a state of its own)
    import transformers

    if not hasattr(
        transformers, "SpecialTokensMixin"
    ):  # 0.6.0 names it in an annotation; transformers 5 has it no more
        transformers.SpecialTokensMixin = transformers.PreTrainedTokenizerBase
    from optimum_benchmark.backends.pytorch.backend import PyTorchBackend
    from optimum_benchmark.backends.pytorch.config import PyTorchConfig
    from optimum_benchmark.scenarios.inference.config import InferenceConfig
    from optimum_benchmark.scenarios.inference.scenario import InferenceScenario

    logging.disable(logging.INFO)
    backend = PyTorchBackend(
        PyTorchConfig(
            model=path, task="text-generation", library="transformers", device="cpu", torch_dtype="float32"
        )
    )

    def once() -> tuple[float, float]:
        config = InferenceConfig(
            input_shapes={"batch_size": 1, "sequence_length": PROMPT},
            generate_kwargs={"max_new_tokens": NEW, "min_new_tokens": NEW},
            iterations=5,
            duration=0,
            warmup_runs=3,
        )
        report: Any = InferenceScenario(config).run(backend)
        prefill, decode = (statistics.median(part.latency.values) for part in (report.prefill, report.decode))
        return PROMPT / prefill, (NEW - 1) / decode

    return once


def main() -> None:
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    ways = {"hubkit": hubkits(sys.argv[1]), "optimum-benchmark": optimums(sys.argv[1])}
    print(json.dumps([{name: way() for name, way in ways.items()} for _ in range(TURNS)]))


if __name__ == "__main__":
    main()
