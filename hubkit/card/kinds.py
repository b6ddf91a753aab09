"""What kind of adapter it is: its title, tags and papers, from what the files and the record really say.

The adapter's own configuration decides. A record's method is believed where the configuration allows it: the
name "Sparse LoRA" or "QLoRA" cannot be read from the configuration, "HiRA" can.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hubkit import methods


@dataclass(frozen=True)
class Kind:
    """How a card names a method."""

    title: str
    tags: tuple[str, ...] = ()
    papers: tuple[str, ...] = ()  # keys of citations.BIBTEX
    summary: str | None = None  # one sentence, true for every adapter of the kind
    file_is_trainable: bool = True  # every number that it adds to the file is one that training updates


# Types whose file also holds what is not trained (projections, frozen tokens, what an encoder made of its own
# parameters) have no count of trainable parameters from the file alone.
PEFT_KINDS: dict[str, Kind] = {
    "ADALORA": Kind(
        "AdaLoRA", ("adalora",), ("adalora",),
        "AdaLoRA trains low-rank updates in the form of a singular value decomposition, and shares out a"
        " budget of ranks among them while it trains.",
        file_is_trainable=False,
    ),
    "ADAMSS": Kind(
        "AdaMSS", ("adamss",), (),
        "AdaMSS splits each adapted weight into clusters of subspaces and trains small updates in those.",
        file_is_trainable=False,
    ),
    "ADAPTION_PROMPT": Kind(
        "LLaMA-Adapter", ("llama-adapter",), ("llama-adapter",),
        "LLaMA-Adapter puts trained vectors before the keys and values of the upper layers, through a gate"
        " that starts at zero.",
    ),
    "BEFT": Kind("BEFT", ("beft",), (), "BEFT trains bias vectors."),
    "BOFT": Kind(
        "BOFT", ("boft",), ("boft",),
        "BOFT multiplies each adapted weight by a trained orthogonal matrix, made of sparse factors.",
    ),
    "BONE": Kind("Bone", ("bone",), ("miss",), "Bone adds trained blocks that are shared along each weight."),
    "C3A": Kind(
        "C3A", ("c3a",), ("c3a",), "C3A adds an update that is a circular convolution with trained kernels."
    ),
    "CARTRIDGE": Kind(
        "Cartridge", ("cartridge",), ("cartridges",),
        "A cartridge is a trained cache of keys and values that stands before the input in every layer.",
        file_is_trainable=False,
    ),
    "CPT": Kind(
        "CPT", ("cpt",), ("cpt",), "CPT trains the embeddings of examples that stand before the input.",
        file_is_trainable=False,
    ),
    "DEFT": Kind(
        "DEFT", ("deft",), (),
        "DEFT replaces a trained low-rank subspace of each adapted weight by new content.",
    ),
    "DELORA": Kind(
        "DeLoRA", ("delora",), ("delora",),
        "DeLoRA trains normalized low-rank updates, and their strength apart from their direction.",
        file_is_trainable=False,
    ),
    "FOURIERFT": Kind(
        "FourierFT", ("fourierft",), ("fourierft",),
        "FourierFT trains a few coefficients of the discrete Fourier transform of each update.",
    ),
    "FROD": Kind(
        "FRoD", ("frod",), (), "FRoD trains sparse coefficients between projections that layers share.",
        file_is_trainable=False,
    ),
    "GLORA": Kind(
        "GLoRA", ("glora",), ("glora",),
        "GLoRA trains low-rank or constant terms that scale and shift each adapted weight and bias.",
        file_is_trainable=False,
    ),
    "GRALORA": Kind(
        "GraLoRA", ("gralora",), ("gralora",),
        "GraLoRA divides each adapted weight into blocks, each with a low-rank update of its own.",
    ),
    "HRA": Kind(
        "HRA", ("hra",), ("hra",), "HRA multiplies each adapted weight by a chain of trained reflections."
    ),
    "IA3": Kind("(IA)³", ("ia3",), ("ia3",), "(IA)³ trains vectors that rescale activations."),
    "LILY": Kind(
        "Lily", ("lily",), ("lily",),
        "Lily shares low-rank matrices between layers, chosen by a trained router.",
        file_is_trainable=False,
    ),
    "LN_TUNING": Kind(
        "LayerNorm tuning", ("ln-tuning",), ("ln-tuning",),
        "LayerNorm tuning trains the base's normalizations.",
    ),
    "LOHA": Kind(
        "LoHa", ("loha",), ("fedpara", "lycoris"),
        "LoHa adds to each adapted weight the elementwise product of two low-rank matrices.",
    ),
    "LOKR": Kind(
        "LoKr", ("lokr",), ("lycoris",),
        "LoKr adds to each adapted weight a Kronecker product of small matrices.",
    ),
    "MISS": Kind("MiSS", ("miss",), ("miss",), "MiSS adds trained shards that are shared along each weight."),
    "MULTITASK_PROMPT_TUNING": Kind(
        "Multitask prompt tuning", ("multitask-prompt-tuning",), ("multitask-prompt-tuning",),
        "Multitask prompt tuning puts trained vectors before the input: one prompt that tasks share, and a"
        " low-rank factor for each task.",
    ),
    "OFT": Kind(
        "OFT", ("oft",), ("oft",),
        "OFT multiplies each adapted weight by a trained block-diagonal orthogonal matrix.",
    ),
    "OSF": Kind(
        "OSF", ("osf",), ("osf",),
        "OSF keeps the large singular directions of each adapted weight and trains the rest.",
    ),
    "PEANUT": Kind(
        "PEANuT", ("peanut",), (),
        "PEANuT makes each update from the adapted weight by a small trained network.",
    ),
    "POLY": Kind(
        "Poly", ("poly",), ("poly",),
        "Poly trains several low-rank skills, and for each task how they are mixed.",
    ),
    "PREFIX_TUNING": Kind(
        "Prefix tuning", ("prefix-tuning",), ("prefix-tuning",),
        "Prefix tuning puts trained keys and values before those of the input in every layer.",
        file_is_trainable=False,
    ),
    "PROMPT_TUNING": Kind(
        "Prompt tuning", ("prompt-tuning",), ("prompt-tuning",),
        "Prompt tuning puts trained vectors before the embedded input.",
    ),
    "PSOFT": Kind(
        "PSOFT", ("psoft",), (),
        "PSOFT trains an orthogonal map within the principal subspace of each weight.",
    ),
    "PVERA": Kind(
        "PVeRA", ("pvera",), (),
        "PVeRA is VeRA whose trained vectors hold means and variances.",
        file_is_trainable=False,
    ),
    "P_TUNING": Kind(
        "P-tuning", ("p-tuning",), ("p-tuning",),
        "P-tuning puts vectors before the embedded input, which a small encoder made while it was trained.",
        file_is_trainable=False,
    ),
    "RANDLORA": Kind(
        "RandLoRA", ("randlora",), ("randlora",),
        "RandLoRA trains scales of fixed random low-rank matrices, whose sum has full rank.",
        file_is_trainable=False,
    ),
    "ROAD": Kind("RoAd", ("road",), ("road",), "RoAd rotates and scales pairs of output activations."),
    "SHADOW": Kind(
        "Shadow", ("shadow",), (), "A small shadow model runs beside the base and updates its hidden states.",
        file_is_trainable=False,
    ),
    "SHIRA": Kind(
        "SHiRA", ("shira",), ("shira",), "SHiRA trains a small share of the entries of each adapted weight.",
        file_is_trainable=False,
    ),
    "SUPERTUNING": Kind(
        "Super-Tuning", ("supertuning",), (),
        "Super-Tuning trains a small share of the entries of each adapted weight, chosen by magnitude.",
        file_is_trainable=False,
    ),
    "TINYLORA": Kind(
        "TinyLoRA", ("tinylora",), ("tinylora",),
        "TinyLoRA trains very few numbers, which fixed random matrices turn into low-rank updates.",
        file_is_trainable=False,
    ),
    "TRAINABLE_TOKENS": Kind(
        "Trainable tokens", ("trainable-tokens",), (),
        "Trained embeddings of some tokens stand in the place of the base's.",
    ),
    "UNILORA": Kind(
        "Uni-LoRA", ("unilora",), ("unilora",),
        "Uni-LoRA trains one vector, which a fixed random projection turns into all low-rank updates.",
        file_is_trainable=False,
    ),
    "VBLORA": Kind(
        "VB-LoRA", ("vblora",), ("vblora",),
        "VB-LoRA composes its low-rank matrices from one trained bank of vectors.",
        file_is_trainable=False,
    ),
    "VERA": Kind(
        "VeRA", ("vera",), ("vera",),
        "VeRA trains vectors that scale fixed random low-rank matrices, which all layers share.",
        file_is_trainable=False,
    ),
    "WAVEFT": Kind(
        "WaveFT", ("waveft",), ("waveft",), "WaveFT trains a few wavelet coefficients of each update."
    ),
    "XLORA": Kind(
        "X-LoRA", ("x-lora",), ("xlora",),
        "X-LoRA mixes several LoRA adapters, token by token, by a trained classifier, and loads those"
        " adapters too.",
        file_is_trainable=False,
    ),
}  # fmt: skip
_METHOD_PEFT_TYPE = {"lora": "LORA", "sparse-lora": "LORA", "qlora": "LORA", "hira": "HIRA"}


def of(
    config: dict[str, Any],
    method: str | None,
    quantized: bool,
    pruning: str = "magnitude",
    start: str = "default",
    sparse: bool = True,
) -> Kind:
    """The kind of an adapter: `method` is the record's, `quantized` says whether its base is in 4 bits.

    `pruning` is Sparse LoRA's parameter of that name, `start` the parameter `init` of the others. What
    Sparse LoRA left with next to no zeros is not `sparse`: it is called LoRA; how it was trained is cited.
    """
    peft_type = str(config["peft_type"]).upper()
    name = method if method and _METHOD_PEFT_TYPE.get(method) == peft_type else None
    if name is None and peft_type in ("LORA", "HIRA"):
        name = peft_type.lower()
    if name == "lora" and quantized:
        name = "qlora"
    if name is None:
        return PEFT_KINDS.get(peft_type) or Kind(peft_type, file_is_trainable=False)
    module = methods.METHODS[name]
    papers = module.PAPERS + (module.PAPERS_BY_PRUNING.get(pruning, ()) if name == "sparse-lora" else ())
    if name == "sparse-lora" and not sparse:
        module = methods.METHODS["lora"]
    tags = (*module.TAGS, *(BITS_TAGS if name == "hira" and quantized else ()))
    kind = Kind(module.TITLE, tags, tuple(papers), module.SUMMARY)
    if peft_type != "LORA":
        return kind
    kind = _with_variants(kind, config)
    return replace(kind, papers=kind.papers + _papers_of_start(config, start))


BITS_TAGS = ("4-bit", "bitsandbytes")  # of a base that is held so


def _papers_of_start(config: dict[str, Any], start: str) -> tuple[str, ...]:
    """The paper of what A and B began with, by the record or, without one, by the configuration."""
    said = start if start != "default" else str(config.get("init_lora_weights") or "").lower()
    return tuple(name for name in ("pissa", "olora", "loftq") if said.startswith(name))


# LoRA's variants by the key that switches them on; what changes only how training began or was regularized
# is told by the table of settings.
_VARIANTS = (
    ("DoRA", "use_dora", ("dora",), ("dora",)),
    ("rsLoRA", "use_rslora", ("rslora",), ("rslora",)),
    ("QA-LoRA", "use_qalora", ("qalora",), ()),
    ("aLoRA", "alora_invocation_tokens", ("alora",), ()),
)


def _with_variants(kind: Kind, config: dict[str, Any]) -> Kind:
    """LoRA's variants that the configuration switches on: DoRA, rank-stabilized scaling."""
    found = [variant for variant in _VARIANTS if config.get(variant[1])]
    if not found:
        return kind
    titles = " and ".join(title for title, *_ in found)
    return Kind(
        f"{kind.title} with {titles}" if kind.title != "LoRA" else titles,
        kind.tags + tuple(tag for variant in found for tag in variant[2]),
        kind.papers + tuple(paper for variant in found for paper in variant[3]),
        kind.summary if kind.title != "LoRA" else None,
    )
