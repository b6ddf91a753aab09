"""Packages that the base install leaves out: imported where they are needed, missed in one line."""

from __future__ import annotations

import importlib.util
import os
import warnings

from hubkit.errors import MissingExtra

TRAIN = ("torch", "transformers", "peft", "accelerate", "datasets")
LOCAL = ("starlette", "uvicorn", "markdown_it")


def require(extra: str, packages: tuple[str, ...]) -> None:
    """Raise MissingExtra when one of `packages` is not installed. Imports none of them."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"this needs {', '.join(missing)}, which the base install leaves out",
            f"pip install 'hubkit[{extra}]'",
        )


def require_train(watched: bool = False) -> None:
    """Check for torch and its company, and make them quiet: what a user should read, hubkit says itself."""
    require("train", TRAIN)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings(
        "ignore", module=r"(torch|transformers|peft|bitsandbytes|accelerate|datasets)(\..*)?"
    )

    import logging

    import transformers

    transformers.logging.set_verbosity_error()
    # bitsandbytes tells every CPU user to install a package that it does not need; huggingface_hub tells of
    # each of its retries, and hubkit says what came of them; accelerate of each base that it spreads.
    for name in ("bitsandbytes", "huggingface_hub", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not watched:
        transformers.logging.disable_progress_bar()
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
