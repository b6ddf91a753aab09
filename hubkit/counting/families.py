"""The families whose parameters follow from the configuration alone: names and shapes, without any weights.

Other families are counted from the headers of their weights (headers.py) or on the meta device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from hubkit.counting import decoders, encoders
from hubkit.counting.shapes import Config, NotExact, Shapes

_ALL = frozenset({"lm", "sequences", "tokens", "questions", "features"})
_NO_QUESTIONS = _ALL - {"questions"}
_CAUSAL, _MASKED, _SEQ2SEQ = "AutoModelForCausalLM", "AutoModelForMaskedLM", "AutoModelForSeq2SeqLM"
_BOTH = (_CAUSAL, _MASKED)
# Of Llama's kin, those that lack classes of some kinds.
_KINDS = {"granite": frozenset({"lm", "features"}), "gemma3_text": frozenset({"lm", "sequences", "features"})}
# What each of transformers' auto classes puts on the backbone.
KINDS = {
    _CAUSAL: "lm",
    _MASKED: "lm",
    _SEQ2SEQ: "lm",
    "AutoModelForSequenceClassification": "sequences",
    "AutoModelForTokenClassification": "tokens",
    "AutoModelForQuestionAnswering": "questions",
    "AutoModel": "features",
}


class Family(msgspec.Struct, frozen=True):
    """How a model_type's parameters are worked out, and for which kinds of classes."""

    prefix: str
    build: Callable[[Shapes, Config, str], None]
    heads: tuple[str, ...] = (_CAUSAL,)  # the auto classes that have a language-modelling head for it
    kinds: frozenset[str] = _ALL

    def has(self, auto_class: str) -> bool:
        """Whether transformers has such a class for it, and its parameters are known."""
        kind = KINDS.get(auto_class)
        return kind in self.kinds and (kind != "lm" or auto_class in self.heads)


FAMILIES = {
    "bert": Family("bert", encoders.bert, _BOTH),
    "roberta": Family("roberta", encoders.roberta, _BOTH),
    "xlm-roberta": Family("roberta", encoders.xlm_roberta, _BOTH),
    "camembert": Family("roberta", encoders.xlm_roberta, _BOTH),
    "mpnet": Family("mpnet", encoders.mpnet, (_MASKED,)),
    "distilbert": Family("distilbert", encoders.distilbert, (_MASKED,)),
    "electra": Family("electra", encoders.electra, _BOTH),
    "albert": Family("albert", encoders.albert, (_MASKED,)),
    "gpt2": Family("transformer", decoders.gpt2),
    "gpt_neox": Family("gpt_neox", decoders.gpt_neox),
    "phi": Family("model", decoders.phi, kinds=_NO_QUESTIONS),
    "t5": Family("transformer", decoders.t5, (_SEQ2SEQ,), frozenset({"lm", "features"})),
    **{
        name: Family("model", partial(decoders.llama, family=family), kinds=_KINDS.get(name, _NO_QUESTIONS))
        for name, family in decoders.LLAMAS.items()
    },
}


def shapes(plain: dict[str, Any], auto_class: str, rows: int | None, labels: int | None) -> Shapes:
    """The parameters of the model that `auto_class` makes from a base's configuration. Raises NotExact.

    `rows` and `labels` are those of the embeddings and the classification head in the adapter's file.
    """
    name, kind = str(plain.get("model_type")), KINDS.get(auto_class)
    family = FAMILIES.get(name)
    if family is None or kind is None or not family.has(auto_class):
        raise NotExact(f"no formula for {auto_class} of {name}")
    _as_transformers_has_it(plain)
    found = Shapes(family.prefix)
    family.build(found, Config(plain, rows, labels), kind)
    if rows is not None:  # the files have as many as the base had
        found.may_change |= {name for name, shape in found.tensors.items() if shape[0] == rows}
    return found


def _as_transformers_has_it(plain: dict[str, Any]) -> None:
    """A model with code of its own may be made of anything. Raises NotExact."""
    if plain.get("auto_map"):
        raise NotExact("the base brings code of its own (auto_map)")
