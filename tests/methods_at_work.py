"""A method's adapter on a tiny base as training begins with it, and trained by a draw in place of steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny
import torch

from hubkit.models import corpus, loading
from hubkit.record import Dataset
from hubkit.training import adapting, saving, starts
from hubkit.training.job import Job

IDS = torch.arange(5, 29).unsqueeze(0)


@dataclass
class Begun:
    """What training would go on with."""

    model: Any
    loaded: loading.Loaded
    start: starts.Start | None
    job: Job

    def layers(self) -> dict[str, Any]:
        """The adapted layers, by the names that the base has for them."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        found = self.model.named_modules()
        return {
            name.removeprefix("base_model.model."): module
            for name, module in found
            if isinstance(module, BaseTunerLayer)
        }

    def logits(self) -> Any:
        """Of fixed ids, in eval mode."""
        self.model.eval()
        with torch.no_grad():
            return self.model(input_ids=IDS).logits

    def train(self, seed: int = 0) -> None:
        """Move everything that is trained by a little, as steps would."""
        torch.manual_seed(seed)
        self.model.train()
        with torch.no_grad():
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.05)

    def save(self, directory: Path) -> Path:
        """As training saves."""
        saving.save(self.model, self.loaded, directory, self.start)
        return directory


def job_of(base: Path, directory: Path, method: dict[str, Any], **changes: Any) -> tuple[Job, Any]:
    """What is to be trained, and the base's settings."""
    directory.mkdir(exist_ok=True)
    run = tiny.run("causal-lm", base, directory, method={"r": 4, **method}, **changes)
    job = Job(
        training=run.settings.training,
        task=run.task,
        task_parameters=run.task_parameters,
        method=run.method,
        method_parameters=run.method_parameters,
        text=corpus.Corpus([], [], Dataset(name="none")),
        output_dir=directory / "run",
        settings_sha256="0" * 64,
    )
    return job, run.settings.base


def begin(
    base: Path, directory: Path, checkpoint: Path | None = None, dtype: str | None = None, **method: Any
) -> Begun:
    """The base with an adapter of this method, fresh or as a training that goes on has it."""
    job, settings = job_of(base, directory, method)
    torch.manual_seed(job.training.seed)
    bits = job.method.quantization(job.method_parameters)
    precision = dtype or adapting.precision(job)
    loaded = loading.load_base(settings, job.task, dtype=precision, quantization=bits)
    model, start = adapting.begun(loaded, job, settings, (), checkpoint)
    return Begun(model, loaded, start, job)


def stock(base: Path, adapter_dir: Path, quantization: dict[str, Any] | None) -> Any:
    """Logits of the saved directory on the base as anybody loads both, with PEFT and transformers alone."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    options: dict[str, Any] = {"dtype": torch.float32}
    if quantization:
        given = {**quantization, "bnb_4bit_compute_dtype": torch.bfloat16}
        options["quantization_config"] = BitsAndBytesConfig(**given)
    model = AutoModelForCausalLM.from_pretrained(base, **options).eval()
    for module in model.modules():  # the kernel that training used; another one rounds otherwise
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    adapted = PeftModel.from_pretrained(model, str(adapter_dir)).eval()
    with torch.no_grad():
        return adapted(input_ids=IDS).logits
