"""What an adapter adds to its base in memory, and what of it training updates, from the adapter's file.

A file holds more than parameters (VeRA's projections and SHiRA's indices are buffers), and parameters are not
always in the file (AdaLoRA's ranks). What is said here was read off PEFT's modules; a test loads an adapter
of each kind and compares. Kinds whose parameters the file does not tell are refused.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from hubkit import tensor_names
from hubkit.adapter import Adapter
from hubkit.counting.shapes import FLOATS, NotExact
from hubkit.tensor_file import Tensor

# Each number of these types' files is a parameter that training updates.
_AS_IN_THE_FILE = frozenset({
    "ADAPTION_PROMPT", "BEFT", "BOFT", "C3A", "DEFT", "DELORA", "FOURIERFT", "FROD", "GLORA", "GRALORA",
    "HIRA", "HRA", "IA3", "LN_TUNING", "LOHA", "LOKR", "LORA", "MISS", "MULTITASK_PROMPT_TUNING", "OFT",
    "OSF", "PEANUT", "POLY", "PROMPT_TUNING", "PSOFT", "PVERA", "RANDLORA", "ROAD", "SHIRA", "SUPERTUNING",
    "TINYLORA", "TRAINABLE_TOKENS", "UNILORA", "VBLORA", "VERA", "WAVEFT",
})  # fmt: skip
# But for these, which are buffers: projections, indices, norms, and GLoRA's places for what is switched off.
_BUFFERS = frozenset({
    "delora_w_norm", "frod_V", "frod_s_indices", "frod_s_size", "vera_A", "vera_B", "pvera_A", "pvera_B",
    "randlora_A", "randlora_B", "shira_indices", "supertuning_indices", "tinylora_A", "tinylora_B",
    "tinylora_P", "zeros",
})  # fmt: skip
# Settings that give modules more, or other, parameters than the file holds.
_UNKNOWN_SETTINGS = {
    "LORA": ("layer_replication", "monteclora_config", "arrow_config", "kasa_config", "ensure_weight_tying"),
    "VBLORA": ("save_only_topk_weights",),
    "UNILORA": ("save_indices",),
}
# Of these the file holds what an encoder made of parameters that are gone, or more than is trained.
_PROMPTS_IN_PART = frozenset({"CARTRIDGE", "CPT", "P_TUNING", "PREFIX_TUNING"})


class Added(msgspec.Struct):
    """Parameters beside the base's own."""

    by_dtype: dict[str, int] = {}
    trained: int | None = 0  # of these and of the base; None where the files do not tell
    of_base: list[Tensor] = []  # tensors of the file that stand for the base's own

    @property
    def total(self) -> int:
        """How many parameters."""
        return sum(self.by_dtype.values())

    def add(self, tensor: Tensor, times: int = 1) -> None:
        """Parameters that training updates."""
        self.by_dtype[tensor.dtype] = self.by_dtype.get(tensor.dtype, 0) + times * tensor.numel
        if self.trained is not None:
            self.trained += tensor.numel


def added(adapter: Adapter, of_base: Collection[str] = (), untied: bool = True) -> Added:
    """The adapter's own parameters. Raises NotExact.

    `of_base` names the base's parameters, tied ones once: what an adapter holds for both of two tied modules
    counts once too. `untied`: the base's configuration says that its embeddings are not tied.
    """
    kind = adapter.peft_type
    for key in _UNKNOWN_SETTINGS.get(kind, ()):
        if adapter.config.get(key):
            raise NotExact(f"the adapter sets {key}")
    if kind in _PROMPTS_IN_PART:
        return _prompt(adapter)
    if kind not in _AS_IN_THE_FILE and kind != "ADALORA":
        raise NotExact(f"the file of a {kind} adapter does not tell what it has in memory")
    found = Added()
    two_biases = any(name.endswith(".decoder.bias") for name in of_base)
    names = set() if two_biases else {_without_wrapper(tensor) for tensor in adapter.tensors}
    twice = _tied_tokens(adapter, of_base, untied)
    for tensor in adapter.tensors:
        if not _BUFFERS.isdisjoint(tensor.name.split(".")) or tensor.name in twice:
            continue
        if tensor_names.is_update(tensor.name):
            _check_float(tensor)
            found.add(tensor)
            if kind == "ADALORA" and tensor.name.endswith("lora_E"):
                _rank(found)
        else:
            _whole(found, adapter, tensor, names)
    return found


_TOKENS = ".trainable_tokens_delta"


def _tied_tokens(adapter: Adapter, of_base: Collection[str], untied: bool) -> set[str]:
    """Trained tokens of an output head that is tied to the input embedding, whose own are the same.

    Raises NotExact where the base has a matrix for none of them, and where it has one for a head that its
    configuration ties: PEFT goes by the configuration, and shares the tokens.
    """
    held = [tensor.name for tensor in adapter.tensors if tensor.name.endswith(_TOKENS)]
    if len(held) < 2 or not of_base:
        return set()
    tied = {name for name in held if not _has_matrix(name, of_base)}
    if len(tied) == len(held):
        raise NotExact("nothing tells which of the adapter's trained tokens are tied")
    if not untied and any(_module_of_tokens(name).endswith(_HEADS) for name in set(held) - tied):
        raise NotExact("the adapter trains tokens, and the base has its input and output embeddings apart")
    return tied


def _module_of_tokens(name: str) -> str:
    return name.removesuffix(_TOKENS).removesuffix(".token_adapter").removeprefix("base_model.model.")


def _has_matrix(name: str, of_base: Collection[str]) -> bool:
    """Whether the module of trained tokens has a matrix of its own."""
    matrix = f".{_module_of_tokens(name)}.weight"
    return any(matrix.endswith(f".{own}") or f".{own}".endswith(matrix) for own in of_base)


def _without_wrapper(tensor: Tensor) -> str:
    """The name of one of the base's tensors, as it is without PEFT's layers around it."""
    return (
        tensor.name.replace(".token_adapter.", ".").replace(".base_layer.", ".").replace(".base_layer.", ".")
    )


def _whole(found: Added, adapter: Adapter, tensor: Tensor, names: set[str]) -> None:
    """A tensor that replaces one of the base's: a saved module, a trained bias, or embeddings as they are."""
    name = _without_wrapper(tensor)
    tied = name.endswith(".decoder.bias") and name.replace(".decoder.bias", ".bias") in names
    biases = adapter.config.get("bias", "none") != "none"
    if is_saved_whole(tensor.name, adapter.modules_to_save):
        if biases:
            raise NotExact("the adapter trains biases and whole modules")
        _check_float(tensor)
        if not tied:
            found.add(tensor)
    elif biases and tensor.name.endswith(".bias"):
        if found.trained is not None and not tied and _is_trained(adapter, name):
            found.trained += tensor.numel
        found.of_base.append(tensor)
    elif tensor_names.module_of(tensor.name).rpartition(".")[2] in _EMBEDDING_MODULES:
        found.of_base.append(tensor)
    else:
        raise NotExact(f"nothing tells what {tensor.name[:80]} of the adapter's file is")


_HEADS = ("lm_head", "decoder", "embed_out")
_EMBEDDING_MODULES = tensor_names.EMBEDDINGS.union(_HEADS)


def _is_trained(adapter: Adapter, bias: str) -> bool:
    """Whether a bias is trained: the file has an output head's too where the vocabulary is resized."""
    return adapter.config.get("bias") != "lora_only" or bias.removesuffix(".bias") in adapter.adapted_modules


def is_saved_whole(name: str, modules: list[str]) -> bool:
    """Whether a tensor lies in a module that is saved whole; PEFT matches the end of a module's name."""
    parts = name.removeprefix("base_model.model.").split(".")
    ends = (".".join(parts[:end]) for end in range(1, len(parts)))
    return bool(modules) and any(end.endswith(tuple(modules)) for end in ends)


def _check_float(tensor: Tensor) -> None:
    if tensor.dtype not in FLOATS:
        raise NotExact(f"{tensor.name[:80]} of the adapter's file holds no floating-point numbers")


def _rank(found: Added) -> None:
    """AdaLoRA keeps the number of its ranks as a parameter that is not trained, beside each `lora_E`."""
    found.by_dtype["float32"] = found.by_dtype.get("float32", 0) + 1


def _prompt(adapter: Adapter) -> Added:
    """What is held of a prompt to use it. What was trained is told where there was no encoder."""
    found = Added()
    for tensor in adapter.tensors:
        if tensor.name not in tensor_names.PROMPT_NAMES:
            raise NotExact(f"nothing tells what {tensor.name[:80]} of the adapter's file is")
        _check_float(tensor)
        # CPT holds the embeddings that it began with beside what it adds to them
        found.add(tensor, times=2 if adapter.peft_type == "CPT" else 1)
    if adapter.peft_type == "CARTRIDGE":
        found.trained = _without_frozen(adapter, found.trained or 0)
    elif adapter.peft_type == "P_TUNING" or adapter.config.get("prefix_projection"):
        found.trained = None
    return found


def _without_frozen(adapter: Adapter, total: int) -> int | None:
    """A cartridge's first tokens are not trained."""
    tokens, frozen = adapter.config.get("num_virtual_tokens"), adapter.config.get("num_frozen_tokens", 1)
    if (
        type(tokens) is not int
        or type(frozen) is not int
        or not 0 <= frozen <= tokens
        or total % (tokens or 1)
    ):
        return None
    return total // tokens * (tokens - frozen) if tokens else None
