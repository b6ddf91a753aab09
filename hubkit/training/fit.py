"""Train an adapter with the transformers Trainer, and save it as stock PEFT loads it.

Checkpoints lie in `<output_dir>/checkpoints`. SIGINT and SIGTERM end training after the step at hand, with a
checkpoint; the same settings go on from it. Checkpoints of other settings are not touched.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors import SafetensorError
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from hubkit import adapter as adapters
from hubkit.errors import TrainingError
from hubkit.measures.environment import environment
from hubkit.models import corpus, limits, loading
from hubkit.record import LogPoint
from hubkit.record import Training as TrainingFacts
from hubkit.settings import Base, Training
from hubkit.training import arguments, checkpoints, running
from hubkit.training.blocks import Blocks, Epochs
from hubkit.training.checkpoints import Clock
from hubkit.training.guard import Guard
from hubkit.training.progress import ProgressBar
from hubkit.training.sparsity import GradualPruning


@dataclass(frozen=True)
class Job:
    """What to train: the parts of the settings, checked."""

    training: Training
    task: ModuleType
    task_parameters: Any
    method: ModuleType
    method_parameters: Any
    text: corpus.Corpus
    output_dir: Path
    settings_sha256: str
    watched: bool = False

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints go."""
        return self.output_dir / checkpoints.FOLDER


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    adapter_dir: Path
    facts: TrainingFacts
    base: Any  # record.BaseModel
    train_tokens: int


def fit(
    base: Base, job: Job, say: Callable[[str], None], *, fresh: bool = False, must_resume: bool = False
) -> Outcome:
    """Train, and write the adapter to `<output_dir>/adapter`.

    Goes on from the last checkpoint of the same settings unless `fresh`. Raises Interrupted when the user
    stopped it, TrainingError when it cannot go on.
    """
    import torch

    arguments.check_optimizer(job.training.optimizer)
    if job.training.threads:
        torch.set_num_threads(job.training.threads)
    checkpoint = checkpoints.find(job.checkpoints, job.settings_sha256, fresh=fresh, must_resume=must_resume)
    torch.manual_seed(job.training.seed)
    precision = _precision(job)
    quantization = job.method.quantization(job.method_parameters)
    keep = job.method_parameters.modules_to_save
    loaded = loading.load_base(base, job.task, dtype=precision, quantization=quantization, keep=keep)
    limits.check_length(loaded.model, "training.block_size", job.training.block_size)
    model = _adapted(loaded, job)
    train, held = _blocks(loaded.tokenizer, job)
    clock = Clock(checkpoint)
    trainer = _trainer(model, loaded.tokenizer, train, held, clock, job)
    arguments.check_available(trainer)
    checkpoints.stamp(job.checkpoints, job.settings_sha256)
    on = f"{len(train):,} blocks of {job.training.block_size} tokens"
    say(f"going on from {checkpoint}" if checkpoint else f"training {job.method.TITLE} on {on}")
    running.run(trainer, checkpoint, job.checkpoints)
    facts = _facts(job, trainer, precision, clock.legs())
    adapter_dir = job.output_dir / "adapter"
    try:
        _save(model, loaded, adapter_dir)
    except (OSError, SafetensorError) as error:
        raise running.failure(f"cannot save the adapter to {adapter_dir}", error) from error
    return Outcome(adapter_dir, facts, loaded.facts, len(train) * job.training.block_size)


def finish(job: Job) -> None:
    """Remove the checkpoints of a training that is done and recorded."""
    checkpoints.drop(job.checkpoints)


def _blocks(tokenizer: Any, job: Job) -> tuple[Blocks, Blocks | None]:
    """The text to train on and, where it is wanted, to evaluate on while training."""
    size, masked = job.training.block_size, job.task.PERPLEXITY == "masked"

    def packed(documents: list[str]) -> Blocks:
        return Blocks(corpus.blocks(tokenizer, documents, size, masked), job.training.seed)

    return packed(job.text.train), packed(job.text.evaluation) if job.training.eval_steps else None


def _precision(job: Job) -> str:
    """The dtype of the frozen base. Modules that are trained whole need float32, and so does their input."""
    if job.training.precision == "auto" and job.method_parameters.modules_to_save:
        return "float32"
    return loading.resolve_precision(job.training.precision, loading.device())


def _adapted(loaded: loading.Loaded, job: Job) -> Any:
    """The base with a fresh adapter, trainable."""
    from peft import get_peft_model

    saved = tuple(job.method_parameters.modules_to_save)
    lost = sorted(name for name in loaded.new_modules if not loading.is_within(name, saved))
    if lost:
        raise TrainingError(
            f"the base has no weights for {', '.join(lost)}: they are drawn at random and would not be saved",
            f"add them to method.modules_to_save: [{lost[0].rpartition('.')[2]}]",
        )
    names = [name for name, _ in loaded.model.named_modules()]
    if unknown := [given for given in saved if not any(name.endswith(given) for name in names)]:
        raise TrainingError(
            f"the base has no module named {unknown[0]} to train whole", "check method.modules_to_save"
        )
    config = job.method.peft_config(job.method_parameters, job.task.PEFT_TASK_TYPE)
    config.revision = loaded.facts.revision
    try:
        model = get_peft_model(loaded.model, config)
    except ValueError as error:
        raise TrainingError(str(error).splitlines()[0][:200], "check method.target_modules") from error
    loading.guard_4bit(model)
    return model


def _trainer(
    model: Any, tokenizer: Any, train: Blocks, held: Blocks | None, clock: Clock, job: Job
) -> Trainer:
    trainer = Trainer(
        model=model,
        args=arguments.arguments(job.training, job.checkpoints, len(train)),
        train_dataset=train,
        eval_dataset=held,
        data_collator=job.task.collator(tokenizer, job.task_parameters),
    )
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    for callback in (Guard(), Epochs(train), clock):
        trainer.add_callback(callback)
    if job.method.NAME == "sparse-lora":
        trainer.add_callback(GradualPruning(job.method_parameters))
    if job.watched:
        trainer.add_callback(ProgressBar())
    return trainer


def _save(model: Any, loaded: loading.Loaded, adapter_dir: Path) -> None:
    """Save beside, then move each file into place. PEFT's own card is left out; a README.md there stays."""
    adapter_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=adapter_dir.parent, prefix=".adapter-") as scratch:
        model.save_pretrained(scratch, save_embedding_layers=False)
        saved = adapters.read(Path(scratch))
        config = {
            **saved.config,
            "base_model_name_or_path": loaded.facts.id,
            "revision": loaded.facts.revision,
        }
        text = json.dumps(config, indent=2, sort_keys=True) + "\n"
        (Path(scratch) / adapters.CONFIG_NAME).write_text(text, encoding="utf-8")
        adapter_dir.mkdir(exist_ok=True)
        for name in (adapters.WEIGHTS_NAME, adapters.CONFIG_NAME):
            path = Path(scratch) / name
            path.chmod(0o644)
            path.replace(adapter_dir / name)


def _facts(job: Job, trainer: Trainer, precision: str, legs: checkpoints.Legs) -> TrainingFacts:
    t, state = job.training, trainer.state
    history = [
        LogPoint(
            step=line["step"],
            loss=line.get("loss"),
            eval_loss=line.get("eval_loss"),
            learning_rate=line.get("learning_rate"),
        )
        for line in state.log_history
        if "loss" in line or "eval_loss" in line
    ]
    sequences = arguments.sequences_seen(trainer.args, len(trainer.train_dataset), state.global_step)
    eval_losses = [point.eval_loss for point in history if point.eval_loss is not None]
    losses = [point.loss for point in history if point.loss is not None]
    return TrainingFacts(
        settings_sha256=job.settings_sha256,
        epochs=round(state.epoch or 0, 4),
        steps=state.global_step,
        batch_size=t.batch_size,
        gradient_accumulation=t.gradient_accumulation,
        effective_batch_size=arguments.effective_batch(trainer.args),
        block_size=t.block_size,
        tokens_seen=sequences * t.block_size,
        learning_rate=t.learning_rate,
        scheduler=t.scheduler,
        warmup_steps=t.warmup_steps,
        weight_decay=t.weight_decay,
        max_grad_norm=t.max_grad_norm,
        optimizer=t.optimizer,
        seed=t.seed,
        precision=precision,
        seconds=round(legs.seconds, 1),
        started=legs.started,
        resumed=legs.resumed,
        peak_memory_bytes=legs.peak_memory_bytes,
        memory_kind=legs.memory_kind,
        final_train_loss=losses[-1] if losses else None,
        final_eval_loss=eval_losses[-1] if eval_losses else None,
        history=history,
        environment=environment(loading.device()),
    )
