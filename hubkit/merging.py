"""An adapter merged into its base for good: a model that needs no PEFT, checked before it is written.

The base is loaded as it is published, never in 4 bits, and merged in float32: what it computes must be what
base and adapter compute. Then it is rounded to the dtype to save in, written beside its place, loaded again
from there, compared, and renamed. An adapter that was trained on a base in 4 bits meets other weights here
than in training, and how far that moves the model is measured and said.
"""

from __future__ import annotations

import glob
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubkit import __version__, adapter, files, record, stages, to_measure
from hubkit.errors import MeasureError, SettingsError
from hubkit.extras import require_train
from hubkit.runs import Run

if TYPE_CHECKING:
    from hubkit.measures.subject import Subject

Say = Callable[[str], None]
NAME = "merge.json"  # what was merged, and how far the model is from base and adapter
TOLERANCE = 1e-3  # of the largest logit: merged in float32, against base and adapter in float32
PASSAGE = (
    "The lighthouse stood at the end of a long stone pier, and every evening its keeper climbed the stairs to"
    " light the lamp. Ships that came from the north could see it for twenty miles. When fog lay on the"
    " water, he rang a bell instead, once each minute, until the morning wind had carried the fog away."
)
SCRATCH = ".merging-"  # in the name of the directory beside
TOKENS = 64  # of the passage, at most


@dataclass(frozen=True)
class Difference:
    """How far apart the logits of two models are, on the tokens of one passage."""

    largest: float
    largest_logit: float  # in size, of the model that is compared with
    same_first: float  # share of places where both have the same most likely answer

    def __str__(self) -> str:
        return (
            f"logits differ by {self.largest:.2g} at most (the largest is {self.largest_logit:.3g}),"
            f" the most likely answer is the same at {self.same_first:.1%} of places"
        )


@dataclass(frozen=True)
class Merged:
    """What was written, and how far it is from base and adapter."""

    output: Path
    dtype: str
    bytes: int
    exact: Difference  # merged in float32, against base and adapter in float32
    rounded: Difference  # as saved, against the same
    four_bits: Difference | None = None  # as saved, against the adapter on the base as it was trained on
    weights_moved: float | None = (
        None  # mean over modules of |W - Q(W)| / |W|, Frobenius; Q(W): in 4 or 8 bits
    )

    def lines(self) -> list[str]:
        """The same in words."""
        said = [
            f"merged in float32: {self.exact}",
            f"saved in {self.dtype}: {self.rounded}",
        ]
        if self.four_bits:
            said += [
                f"against the quantised base that it was trained on: {self.four_bits}",
                f"the adapted weights of that base differ from the published ones by {self.weights_moved:.1%}"
                " (relative Frobenius norm); perplexity that was measured on it is not this model's",
            ]
        return said


def merge(run: Run, output: Path, dtype: str | None, say: Say) -> Merged:
    """Merge the adapter of a run into its base, into a directory that is empty or not there.

    Raises SettingsError for a directory with something in it, MeasureError for an adapter that cannot be
    merged or where the merged weights compute something else.
    """
    _check_output(output)
    found = adapter.read(run.adapter_dir)
    known = record.read(run.adapter_dir)
    require_train()
    from hubkit.models import limits, loading

    bits = to_measure.quantization(run, known)
    subject = stages.subject_of(run, found, bits, None, to_measure.labels(run, found, known, None))
    try:
        return _merge(subject, known, output, dtype or loading.stored_dtype(subject.base), say)
    except (RuntimeError, MemoryError) as error:
        if not limits.is_out_of_memory(error):
            raise
        raise MeasureError(
            "out of memory: merging loads the base in float32", "merge on a machine with more memory"
        ) from error


def _merge(subject: Subject, known: record.Record, output: Path, dtype: str, say: Say) -> Merged:
    """Load, merge, check, write."""
    import torch

    from hubkit.measures import merging
    from hubkit.models import loading

    held = None
    if subject.quantization:
        say("loading the base as it was trained on")
        held = _loaded(subject, "bfloat16", subject.quantization)
    say("loading the base as it is published, in float32")
    whole = _loaded(subject, "float32", None)
    tokenizer = loading.tokenizer_beside(subject.adapter, loading.load_tokenizer(subject.base))
    ids = _ids(tokenizer, whole)
    moved = _weights_moved(held, whole) if held is not None else None
    on_bits, attached = (_logits(model, ids) if model is not None else None for model in (held, whole))
    del held
    model = merging.merged(whole)
    exact = _difference(_logits(model, ids), attached)
    if not exact.largest <= TOLERANCE * max(exact.largest_logit, 1.0):
        raise MeasureError(f"the merged weights do not compute what base and adapter do: {exact}")
    for parameter in model.parameters():  # not the buffers: a model's rotary frequencies stay in float32
        parameter.data = parameter.data.to(getattr(torch, dtype))
    model.config.dtype = dtype
    say(f"writing {output}")

    def told(directory: Path) -> Merged:
        """What is told of the model that was written."""
        saved = _logits(_loaded_again(directory, model, subject, dtype), ids)
        return Merged(
            output=output,
            dtype=dtype,
            bytes=sum(path.stat().st_size for path in directory.glob("*.safetensors")),
            exact=exact,
            rounded=_difference(saved, attached),
            four_bits=None if on_bits is None else _difference(saved, on_bits),
            weights_moved=moved,
        )

    return _write(model, tokenizer, output, told, _sources(subject, known))


def _loaded(subject: Subject, dtype: str, bits: dict[str, Any] | None) -> Any:
    """Base and adapter. Raises MeasureError where the adapter cannot be merged into the base as published."""
    from hubkit.measures import merging, text_scores
    from hubkit.models import loading

    loaded = loading.load_base(
        subject.base,
        subject.task,
        dtype=dtype,
        quantization=bits,
        keep=subject.adapter.modules_to_save,
        labels=subject.labels,
    )
    if text_scores.head_is_random(loaded, subject.adapter):
        raise MeasureError(
            f"cannot merge {subject.adapter.directory}: neither it nor the base has weights for"
            f" {', '.join(sorted(loaded.new_modules))[:200]}"
        )
    model = loading.load_adapter(loaded.model, subject.adapter)
    if bits is None and (reason := merging.why_not(model)):
        raise MeasureError(f"cannot merge {subject.adapter.directory}: {reason}")
    return model


def _ids(tokenizer: Any, model: Any) -> Any:
    """The tokens of the passage, as the model takes them."""
    ids = tokenizer(PASSAGE, return_tensors="pt")["input_ids"][:, :TOKENS]
    most = getattr(model.config, "max_position_embeddings", None) or TOKENS
    return ids[:, :most].to(next(model.parameters()).device)


def _logits(model: Any, ids: Any) -> Any:
    import torch

    model.eval()
    with torch.no_grad():
        return model(input_ids=ids).logits.float().cpu()


def _difference(found: Any, expected: Any) -> Difference:
    return Difference(
        largest=float((found - expected).abs().max()),
        largest_logit=float(expected.abs().max()),
        same_first=float((found.argmax(-1) == expected.argmax(-1)).float().mean()),
    )


def _weights_moved(held: Any, whole: Any) -> float:
    """How far rounding moved the adapted weights: the mean over modules of |W - Q(W)| / |W|."""
    from peft.utils.integrations import dequantize_bnb_weight

    shares, published = [], dict(_adapted(whole))
    for name, weight in _adapted(held):
        state = getattr(weight, "quant_state", None)
        if state is None and not hasattr(weight, "SCB"):
            continue
        layer = held.get_submodule(name).get_base_layer()
        rounded = dequantize_bnb_weight(weight, state=state if state is not None else layer.state).float()
        plain = published[name].to(rounded.device)
        shares.append(float((plain - rounded).norm() / plain.norm()))
    return sum(shares) / len(shares) if shares else 0.0


def _adapted(model: Any) -> Iterator[tuple[str, Any]]:
    """The base's weights under the adapter, by the name of the adapted module."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in model.named_modules():
        if isinstance(module, BaseTunerLayer) and hasattr(module.get_base_layer(), "weight"):
            yield name, module.get_base_layer().weight


def _write(
    model: Any, tokenizer: Any, output: Path, told: Callable[[Path], Merged], sources: dict[str, Any]
) -> Merged:
    """Write beside, look at what was written, and rename. Raises SettingsError, MeasureError."""
    from safetensors import SafetensorError

    tokenizer.model_max_length = tokenizer.init_kwargs.get("model_max_length", tokenizer.model_max_length)
    scratch = None
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        for left in output.parent.glob(
            f".{glob.escape(output.name)}{SCRATCH}*"
        ):  # by a merge that was killed
            shutil.rmtree(left, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}{SCRATCH}"))
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        (scratch / "README.md").unlink(missing_ok=True)
        merged = told(scratch)
        found = {key: value for key, value in asdict(merged).items() if key != "output"}
        kept = {key: value for key, value in {**sources, **found}.items() if value is not None}
        files.write_atomically(scratch / NAME, f"{json.dumps(kept, indent=2)}\n".encode())
        for path in scratch.iterdir():
            path.chmod(0o644)
        scratch.chmod(0o755)
        scratch.replace(output)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"cannot write {output}: {reason}", "make room, or give another --output"
        ) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
    return merged


def _sources(subject: Subject, known: record.Record) -> dict[str, Any]:
    """What was merged into what."""
    base = known.base_model
    return {
        "hubkit_version": __version__,
        "base_model": subject.base.id,
        "base_revision": (base.revision if base else None) or subject.base.revision,
        "adapter": known.repo_id,
        "adapter_sha256": subject.adapter.sha256(),
        "method": known.method.name if known.method else subject.adapter.peft_type,
        "trained_on": subject.quantization,
    }


def _loaded_again(directory: Path, model: Any, subject: Subject, dtype: str) -> Any:
    """The model that was written, which must be the one in memory. Raises MeasureError."""
    from hubkit.models import loading
    from hubkit.settings import Base

    base = Base(id=subject.base.id, path=str(directory), trust_remote_code=subject.base.trust_remote_code)
    again = loading.load_base(base, subject.task, dtype=dtype, labels=subject.labels)
    if again.new_modules:
        raise MeasureError(f"what was written lacks weights of {', '.join(sorted(again.new_modules))}")
    there = dict(again.model.named_parameters())
    for name, parameter in model.named_parameters():
        if name not in there or not bool((there[name].to(parameter.dtype) == parameter).all()):
            raise MeasureError(f"what was written does not load as it was: {name} differs")
    return again.model


def _check_output(output: Path) -> None:
    """Refuse a place that holds something. Raises SettingsError."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise SettingsError(
            f"{output} is there, and nothing is written over it",
            "give an empty or a new directory as --output",
        )
