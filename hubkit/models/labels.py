"""What a base needs to be a classifier of given labels: their names, and a token that pads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hubkit.errors import BaseModelError


def options(labels: Sequence[str]) -> dict[str, Any]:
    """What from_pretrained is told of the labels; the model's configuration keeps it."""
    if not labels:
        return {}
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {name: label for label, name in enumerate(labels)},
    }


def check_head(error: Exception, base_id: str, labels: Sequence[str]) -> None:
    """Say what is wrong where the base has a head of another number of labels. Raises BaseModelError."""
    if labels and "ignore_mismatched_sizes" in str(error):
        raise BaseModelError(
            f"the weights of {base_id} hold a head that does not fit {len(labels)} labels",
            "name a base without such a head, or text with as many labels as it has",
        ) from error


def pad(model: Any, tokenizer: Any, base_id: str) -> tuple[str | None, int | None]:
    """Let model and tokenizer agree on the token that pads; the tokenizer's own, else the end of text.

    A decoder takes its answer from the last token of a text that is not this one. Returns the token that the
    tokenizer was given and the id that the configuration was given, None where they had it.
    Raises BaseModelError where there is neither.
    """
    given_token, given_id = None, None
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise BaseModelError(
                f"the tokenizer of {base_id} has neither a padding nor an end-of-text token",
                "name another base_model",
            )
        tokenizer.pad_token = given_token = tokenizer.eos_token
    config = model.config.get_text_config()
    if config.pad_token_id != tokenizer.pad_token_id:
        config.pad_token_id = given_id = tokenizer.pad_token_id
    tokenizer.padding_side = "right"
    return given_token, given_id
