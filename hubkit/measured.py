"""The part of the record that holds numbers: what was measured, where, and under which conditions."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from hubkit.measured_part import AdapterDigest, Environment, Part, Selection, TextDigest
from hubkit.measured_speed import Throughput


class RankRange(Part):
    """Ranks over some modules."""

    low: int
    median: int
    high: int


class UpdateRanks(Part):
    """Numerical ranks of what HiRA adds to its base's weights, W * (B A), and of B A.

    Counted are singular values above max(rows, columns) times float32's epsilon times the largest.
    """

    modules: int  # looked at, spread evenly over the model
    modules_total: int  # that are adapted
    factors: RankRange  # of B A
    update: RankRange  # of W * (B A)
    full: RankRange  # the most that a matrix of that shape can have


class Parameters(Part):
    """Parameter counts. 4-bit weights count as the parameters they stand for; tied weights count once."""

    adapter_sha256: AdapterDigest
    adapter: int  # numbers in the adapter file
    adapter_by_dtype: dict[str, int] = {}
    trainable: int | None = None  # what training would update with this configuration
    total: int | None = None  # base and adapter
    total_by_dtype: Annotated[
        dict[str, int], Meta(description='As stored in memory; packed 4-bit weights under "4bit".')
    ] = {}
    embedding: Annotated[
        int | None,
        Meta(description="Of `total`: input and output embeddings of the base; tied ones once."),
    ] = None
    adapter_nonzero: int | None = None  # counted in the saved file
    sparsity: Annotated[
        float | None, Meta(description="Share of exact zeros in the prunable tensors of the saved file.")
    ] = None
    sparsity_by_module: dict[str, float] = {}
    update_ranks: UpdateRanks | None = None  # of HiRA
    rank_by_module: Annotated[
        dict[str, int], Meta(description="Of LoRA, as the saved file has it; absent where all have one rank.")
    ] = {}
    counted_on: str | None = None  # "loaded model", "file headers", "base configuration", "adapter file"


class Size(Part):
    """Bytes, each said as what it is."""

    adapter_sha256: AdapterDigest
    adapter_weights_bytes: int  # the safetensors file
    adapter_directory_bytes: int | None = None  # all files that are published, without record and card
    base_weights_bytes: int | None = None  # the base's weight files
    base_memory_bytes: int | None = None  # loaded weights and buffers, quantisation constants included
    quantization_constants_bytes: int | None = None  # part of base_memory_bytes
    adapter_memory_bytes: int | None = None
    merged_bytes: int | None = None  # the base's parameters in `merged_dtype`, as after merging
    merged_dtype: str | None = None
    load_peak_bytes: int | None = None  # highest memory while base and adapter were loaded
    load_peak_kind: str | None = None  # as `memory_kind` of throughput


class Interval(Part):
    """A bootstrap interval: percentiles over resamples of documents, drawn with replacement under a seed."""

    low: float
    high: float
    resamples: int
    confidence: float = 0.95
    seed: int = 0


class Perplexity(Part):
    """Perplexity of base + adapter, and of the base alone, on the same tokens."""

    adapter_sha256: AdapterDigest
    definition: Annotated[
        Literal["causal", "masked", "pseudo", "answers"],
        Meta(
            description="pseudo: each token of the text hidden in turn (Salazar et al. 2020). answers:"
            " causal, of the answers of conversations alone, each token given all that stands before it"
            " in its own."
        ),
    ]
    value: float  # base + adapter
    tokens_scored: Annotated[
        int, Meta(description="Predictions that went into `value`, and into `base_value`.")
    ]
    tokens_total: int  # tokens of the text
    documents: int
    documents_kept: Literal["apart", "packed"]
    context: int  # longest input, in tokens
    stride: Annotated[int, Meta(description="Tokens scored per window.")]
    batch_size: int
    dtype: str
    device: str
    dataset_sha256: TextDigest
    dataset_name: str
    dataset_id: str | None = None  # Hub id
    dataset_config: str | None = None
    dataset_revision: str | None = None
    split: str | None = None
    selection: Selection | None = None  # where `documents` are not all
    tokens_sha256: Annotated[
        str | None,
        Meta(
            description="SHA-256 over the token ids of the text, each stream as one line of JSON: equal only"
            " where text, tokenizer and the way documents are kept are the same."
        ),
    ] = None
    base_value: float | None = None
    base_left_out: str | None = None  # why there is no base_value
    mask_probability: float | None = None  # masked only
    mask_seed: int | None = None
    nll_sum: float | None = None  # of base + adapter, in nats
    base_nll_sum: float | None = None
    words: int | None = None  # of the text, parted by white space
    bytes: int | None = None  # of the text in UTF-8; of the answers, where those are scored
    tokens_cut: int | None = None  # answers: tokens that were not scored, as they lie beyond the context
    word_perplexity: float | None = None  # causal: exp(nll_sum / words)
    byte_perplexity: float | None = None  # causal: exp(nll_sum / bytes)
    bits_per_byte: float | None = None  # causal: nll_sum / bytes / ln 2
    interval: Interval | None = None  # of `value`
    base_interval: Interval | None = None  # of `base_value`
    change_interval: Interval | None = None  # of `change`, documents drawn once for both
    kernels: Annotated[
        str | None,
        Meta(description="What computed it, where that is not torch's own way: oneDNN, attention in blocks."),
    ] = None
    merged: Annotated[
        bool, Meta(description="The adapter was merged into the base for this; checked to change no number.")
    ] = False
    processes: int | None = None  # that shared the windows, where there were several
    peak_memory_bytes: int | None = None
    memory_kind: str | None = None  # as `memory_kind` of throughput
    seconds: float | None = None
    date: str | None = None
    environment: Environment | None = None

    @property
    def change(self) -> float | None:
        """Against the base alone, as a share of its value; a base without a value above zero has none."""
        return self.value / self.base_value - 1 if self.base_value and self.base_value > 0 else None


class ClassScore(Part):
    """How one class was told apart from the others."""

    label: str
    support: int  # documents of this class in the text
    precision: float | None = None  # absent where nothing was predicted as it
    recall: float | None = None  # absent where the text has none
    f1: float | None = None  # absent where there is neither


class Classification(Part):
    """How well labels are predicted, with the adapter; the base has no head that was trained for them.

    F1 per class is 2 TP / (2 TP + FP + FN); macro is the mean over the classes that the text or the
    predictions have, weighted that by their support.
    """

    adapter_sha256: AdapterDigest
    accuracy: float
    macro_f1: float
    weighted_f1: float
    majority_accuracy: float  # of always answering the class that the text has most of
    loss: float  # mean cross-entropy, in nats
    documents: int
    context: int  # tokens at most, special tokens included
    batch_size: int
    dtype: str
    device: str
    dataset_sha256: TextDigest
    labels_sha256: Annotated[
        str, Meta(description="SHA-256 over the documents' labels by name, in order, each as a line of JSON.")
    ]
    dataset_name: str
    dataset_id: str | None = None  # Hub id
    dataset_config: str | None = None
    dataset_revision: str | None = None
    split: str | None = None
    selection: Selection | None = None  # where `documents` are not all
    classes: list[ClassScore] = []
    confusion: Annotated[list[list[int]], Meta(description="Rows: true classes; columns: predicted.")] = []
    accuracy_interval: Interval | None = None  # bootstrap over documents
    macro_f1_interval: Interval | None = None
    truncated: int = 0  # documents cut to `context`
    tokens: int | None = None  # that the model read, special tokens included
    kernels: Annotated[
        str | None,
        Meta(description="What computed it, where that is not torch's own way: oneDNN, attention in blocks."),
    ] = None
    processes: int | None = None  # that shared the documents, where there were several
    peak_memory_bytes: int | None = None
    memory_kind: str | None = None  # as `memory_kind` of throughput
    seconds: float | None = None
    date: str | None = None
    environment: Environment | None = None


class Measures(Part):
    """What was measured."""

    parameters: Parameters | None = None
    size: Size | None = None
    perplexity: Perplexity | None = None
    pseudo_perplexity: Perplexity | None = None
    classification: Classification | None = None
    throughput: Throughput | None = None

    @property
    def were_taken(self) -> bool:
        """Whether any was taken on a loaded model, and not counted from files."""
        counted = self.parameters is not None and self.parameters.counted_on == "loaded model"
        sized = self.size is not None and self.size.base_memory_bytes is not None
        return bool(counted or sized or self.on_text or self.throughput)

    @property
    def on_text(self) -> Perplexity | Classification | None:
        """A measure that was taken on a text, and tells which."""
        return self.perplexity or self.pseudo_perplexity or self.classification


class UsageRun(Part):
    """A run of the card's own Python, from its first line to its last, that raised no error."""

    snippet_sha256: Annotated[
        str, Meta(description="SHA-256 of the card's Python blocks, in order, joined by a line end.")
    ]
    adapter_sha256: AdapterDigest
    seconds: float  # from the start of Python to its end, loading included
    date: str  # UTC
    environment: Environment
    output: str | None = None  # what it printed, cut and cleaned; absent where chance decides it
    tokenizer_sha256: Annotated[
        str | None,
        Meta(
            description="Of the tokenizer beside the adapter: SHA-256 over a line 'NAME SHA256' for each of"
            " its files, sorted by name. It is the digest of no file."
        ),
    ] = None
    base_revision: str | None = None  # commit of the base's repo, where its files came from the Hub
    base_weights_sha256: str | None = None  # of a base that came from a local path; see BaseModel
