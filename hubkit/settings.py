"""Settings of a run: one typed object from a YAML file, `--set` overrides and flags.

A task and a method keep their own parameters; here they are a name and a mapping, and the task or method
checks the mapping (`yaml_source.section` does that for them, with the same errors). Every error names the
file, the line and the key, and the nearest right key where one is close.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hubkit import hub_rules, yaml_source
from hubkit.errors import SettingsError
from hubkit.record import Author
from hubkit.settings_data import Data as Data
from hubkit.settings_data import NotNegative as NotNegative
from hubkit.settings_data import Positive as Positive
from hubkit.settings_data import Section as Section
from hubkit.settings_data import Seed as Seed
from hubkit.yaml_source import Source

MemoryLimit = Annotated[
    str,
    Meta(
        pattern=r"^([0-9]+(\.[0-9]+)?\s?[KMGT]i?B|[1-9][0-9]?%)$",
        description="a size such as 8GiB, or a share of what is free such as 50%",
    ),
]
DEFAULT_METHOD = "lora"
Precision = Literal["auto", "float32", "bfloat16", "float16"]


class Base(Section, frozen=True):
    """The base model: a Hub id, or a local path with the id to cite."""

    id: str
    revision: str | None = None
    path: str | None = None  # local directory to load from; `id` is what the card cites
    note: str | None = None  # how the weights at `path` differ from those that `id` names
    trust_remote_code: bool = False
    gated: bool = False  # the Hub hands it out only to those who asked for access
    device_map: Literal["single", "auto"] = "single"  # auto: spread over all devices, memory and disk
    max_memory: dict[str | int, str] = {}  # with auto, of each place: {0: 20GiB, cpu: 60GiB}
    bits: Literal[4, 8] | None = None  # hold the base so, for an adapter that does not tell (NF4, LLM.int8)

    def __post_init__(self) -> None:
        """Refuse limits that would be left out in silence."""
        if self.max_memory and self.device_map == "single":
            raise ValueError("max_memory is for device_map: auto")


class HubAdapter(Section, frozen=True):
    """An adapter of the Hub."""

    id: str
    revision: str | None = None  # branch, tag or commit
    path: str | None = None  # directory that it is laid into; default: <output_dir>/adapter

    def __post_init__(self) -> None:
        """Refuse what is no id."""
        if not hub_rules.is_repo_id(self.id, namespace=True):
            raise ValueError(f"{self.id[:99]!r} is no id of the Hub; write it as user/name")


class Training(Section, frozen=True):
    """How to train."""

    epochs: Annotated[float, Meta(gt=0)] = 3
    max_steps: Positive | None = None  # ends training where `epochs` would end it later
    batch_size: Positive | Literal["auto"] = 16  # auto: the largest part of effective_batch that fits memory
    gradient_accumulation: Positive = 1
    effective_batch: Positive = (
        16  # with batch_size auto: sequences of one optimizer step, over all processes
    )
    memory_limit: MemoryLimit | None = None  # of this process, "8GiB", or of what is free, "50%"; default 80%
    learning_rate: Annotated[float, Meta(gt=0)] = 3e-4
    weight_decay: Annotated[float, Meta(ge=0)] = 0.0
    warmup_steps: NotNegative = 0
    scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup", "polynomial"] = "linear"
    max_grad_norm: Annotated[float, Meta(ge=0)] = 1.0
    optimizer: str = "adamw_torch"
    seed: Seed = 42
    block_size: Annotated[int, Meta(ge=8)] = 128  # tokens per packed sequence
    precision: Precision = "auto"  # auto: bfloat16 where the machine computes it natively, else float32
    gradient_checkpointing: bool | Literal["auto"] = False  # auto: when a step would not fit memory_limit
    kernels: Literal["auto", "plain"] = (
        "auto"  # auto: the head where there are labels alone; oneDNN's products
    )
    # apart: those of a block do not see each other; auto: so conversations, where the model can
    documents: Literal["auto", "packed", "apart"] = "auto"
    log_steps: Positive = 10
    eval_steps: Positive | None = None  # evaluate during training every so many steps
    save_steps: Positive = 100
    threads: Positive | None = None
    report_to: list[Literal["tensorboard", "trackio"]] = []  # their logs go to <output_dir>/logs

    def __post_init__(self) -> None:
        """Refuse what transformers would leave out in silence."""
        if self.scheduler == "constant" and self.warmup_steps:
            raise ValueError("scheduler constant has no warm-up steps; use constant_with_warmup for them")
        if self.batch_size == "auto" and self.gradient_accumulation > 1:
            raise ValueError("batch_size auto finds gradient_accumulation too; give effective_batch instead")


class ThroughputSettings(Section, frozen=True):
    """How to measure speed."""

    batch_size: Positive = 1
    sequence_length: Positive = 128
    new_tokens: Annotated[int, Meta(ge=2)] = 32
    warmup: Annotated[int, Meta(ge=0, le=1_000)] = 3
    repeats: Annotated[int, Meta(ge=3)] = 10
    min_seconds: Annotated[float, Meta(ge=0)] = 5.0
    batch_sizes: list[Positive] = []  # others to measure too, until one does not fit
    merged: bool = True  # measure the merged model as a second figure
    grams_co2_per_kwh: Annotated[float, Meta(gt=0)] | None = None  # default: the world's mean


class Measuring(Section, frozen=True):
    """What to measure, and under which conditions."""

    perplexity: bool = True
    classification: bool = True  # accuracy and F1, where the text has labels
    throughput: bool = True
    context: Annotated[int, Meta(ge=2)] | None = None  # tokens; default: the block size of training
    stride: Positive | None = None  # tokens scored per window; default: the context
    documents: Literal["apart", "packed"] = "packed"
    batch_size: Positive = 8
    max_eval_documents: Positive | None = None
    mask_seed: Seed = 0
    precision: Precision = "float32"
    kernels: Literal["auto", "plain"] = "auto"  # auto: the fastest that give the same number
    resamples: Annotated[int, Meta(ge=0, le=1_000_000)] = 2000  # of documents, for intervals; 0: none
    pseudo_perplexity: bool = False  # masked models: each token in turn, a forward pass for each
    pseudo_tokens: Positive | None = None  # of the text; default: all
    speed: ThroughputSettings = ThroughputSettings()


class Verifying(Section, frozen=True):
    """What is tried before a push: the card's own code is run as a reader would run it."""

    usage: bool = True
    time_limit: Annotated[float, Meta(gt=0)] = 600.0  # seconds


class Card(Author, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The author's words and the template."""

    template: str | None = None
    figures: bool = True  # draw them, where matplotlib is installed


class Hub(Section, frozen=True):
    """Where to publish."""

    repo_id: str | None = None
    private: bool | None = None
    revision: str | None = None
    create_pr: bool = False
    commit_message: str | None = None
    tag: str | None = None  # for the commit; one that is there already is never moved
    collection: str | None = None  # slug or title of one that gets the repo
    verify_download: bool = False  # load from the Hub what was pushed, and check it
    local_hub: str | None = None  # directory of a local Hub to publish to
    audit: bool = True  # errors that `hubkit audit` finds on the card stop the push
    include: list[str] = []  # patterns of files that are published too
    allow: list[str] = []  # ids of findings that may stay: what looks like a secret, or a path


class Settings(Section, frozen=True):
    """One run."""

    base_model: str | Base
    task: str | dict[str, Any]
    method: str | dict[str, Any] = DEFAULT_METHOD
    dataset: str | Data | None = None
    adapter: str | HubAdapter | None = None  # loaded in place of training: a directory, owner/name[@revision]
    output_dir: str = "runs/hubkit"
    training: Training = Training()
    measuring: Measuring = Measuring()
    verifying: Verifying = Verifying()
    card: Card = msgspec.field(default_factory=Card)
    hub: Hub = Hub()

    def __post_init__(self) -> None:
        """Refuse bits that training would not look at: there the method says how the base is held."""
        if self.base.bits and not self.adapter:
            raise ValueError("base_model.bits is for an adapter that is loaded; train with method: qlora")

    @property
    def base(self) -> Base:
        """The base model, whether it was given as an id or as a mapping."""
        return Base(id=self.base_model) if isinstance(self.base_model, str) else self.base_model

    @property
    def data(self) -> Data | None:
        """The dataset, whether it was given as an id or as a mapping."""
        return Data(id=self.dataset) if isinstance(self.dataset, str) else self.dataset


def load(path: Path, overrides: list[str] | tuple[str, ...] = ()) -> tuple[Settings, Source]:
    """Read a settings file and apply `a.b=c` overrides (values are YAML).

    Relative paths in the file are meant from the current directory, as on the command line.
    Raises SettingsError.
    """
    tree, plain = read(path)
    return from_plain(plain, overrides, path, tree)


def read(path: Path) -> tuple[Any, dict[str, Any]]:
    """The node tree (for places) and the plain mapping of a YAML file, unchecked. Raises SettingsError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(
            f"cannot read settings {path}: {reason}", "see examples/ for files to start from"
        ) from error
    from hubkit import yaml_reading

    return yaml_reading.parse(text, path)


def from_plain(
    plain: dict[str, Any],
    overrides: list[str] | tuple[str, ...] = (),
    path: Path | None = None,
    tree: Any = None,
) -> tuple[Settings, Source]:
    """Apply `a.b=c` overrides to a plain mapping and check it. Raises SettingsError."""
    from hubkit import yaml_reading

    given: dict[str, str] = {}
    for override in overrides:
        key, value = yaml_reading.override(override)
        given[key] = override
        if key.startswith("method."):
            plain.setdefault("method", DEFAULT_METHOD)
        yaml_source.put(plain, key, value)
    source = Source(path, tree, given)
    return yaml_source.section(plain, Settings, source, []), source


def json_schema(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The JSON Schema of a settings file; `parts` holds the schemas of `task` and `method`."""
    schema = msgspec.json.schema(Settings)
    properties = schema["$defs"]["Settings"]["properties"]
    for name, part in parts.items():
        default = {"default": properties[name]["default"]} if "default" in properties[name] else {}
        properties[name] = {**part, **default}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "hubkit settings", **schema}
