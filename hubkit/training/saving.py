"""Save a trained adapter as stock PEFT loads it."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hubkit import adapter as adapters
from hubkit import files
from hubkit.models import loading
from hubkit.record import Ranks
from hubkit.training import dropped, starts

SCRATCH = ".adapter-"


def gathered(trainer: Any) -> dict[str, Any] | None:
    """The weights of a model that FSDP or DeepSpeed spreads over processes; None where each has them whole.

    Called by all processes; the main one gets them.
    """
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        return None
    state: dict[str, Any] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    return state


def save(
    model: Any,
    loaded: loading.Loaded,
    adapter_dir: Path,
    start: starts.Start | None = None,
    *,
    drops_ranks: bool = False,
    state: dict[str, Any] | None = None,
) -> Ranks | None:
    """Save beside, then move each file into place. PEFT's own card is left out; a README.md there stays.

    An adapter that began with a `start` taken out of the base is saved for the base as it is published. One
    whose training dropped ranks is saved without them; returned is how many it kept. `state` is for a model
    whose weights are spread over processes.
    """
    ranks = None
    adapter_dir.parent.mkdir(parents=True, exist_ok=True)
    for left in adapter_dir.parent.glob(f"{SCRATCH}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=adapter_dir.parent, prefix=SCRATCH) as scratch:
        model.save_pretrained(scratch, save_embedding_layers=False, state_dict=state)
        if start:
            starts.converted(Path(scratch), start)
        if drops_ranks:
            ranks = dropped.leave_out(Path(scratch))
        saved = adapters.read(Path(scratch))
        config = {
            **saved.config,
            "base_model_name_or_path": loaded.facts.id,
            "revision": loaded.facts.revision,
        }
        if named := saved.modules_to_save:  # PEFT adds names of heads that other families have
            config["modules_to_save"] = [name for name in dict.fromkeys(named) if _is_there(model, name)]
        for name in ("target_modules", "exclude_modules"):  # sets, in another order in every process
            if isinstance(config.get(name), list):
                config[name] = sorted(config[name])
        text = json.dumps(config, indent=2, sort_keys=True) + "\n"
        (Path(scratch) / adapters.CONFIG_NAME).write_text(text, encoding="utf-8")
        adapter_dir.mkdir(exist_ok=True)
        for name in (adapters.WEIGHTS_NAME, adapters.CONFIG_NAME):
            path = Path(scratch) / name
            path.chmod(0o644)
            path.replace(adapter_dir / name)
    return ranks


def _is_there(model: Any, name: str) -> bool:
    return any(path.endswith(name) for path, _ in model.named_modules())


def save_tokenizer(tokenizer: Any, adapter_dir: Path) -> None:
    """Save the tokenizer beside an adapter: one that was given a chat template is no longer the base's."""
    with tempfile.TemporaryDirectory(dir=adapter_dir.parent, prefix=SCRATCH) as scratch:
        tokenizer.save_pretrained(scratch)
        for path in Path(scratch).iterdir():
            if path.name in files.TOKENIZER_FILES:
                path.chmod(0o644)
                path.replace(adapter_dir / path.name)
