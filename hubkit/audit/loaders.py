"""The calls of a card's code that load a base model or an adapter, and what they name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hubkit.audit import snippets
from hubkit.audit.document import Document
from hubkit.audit.snippets import Call

_ADAPTER_OWNERS = re.compile(
    r"(?:^|\.)(?:PeftModel\w*|PeftConfig|LoraConfig|AutoPeftModel\w*|PeftMixedModel)$"
)
_BASE_OWNERS = re.compile(
    r"(?:^|\.)(?:Auto(?:Peft)?Model\w*|\w+For[A-Z]\w+|\w+LMHeadModel|Fast\w*Model|[A-Z]\w*Model"
    r"|\w+Pipeline|SentenceTransformer)$"
)
_WHOLE = frozenset(
    {"SentenceTransformer", "CrossEncoder", "SparseEncoder"}
)  # load base and adapter by one name
_NO_MODELS = re.compile(r"Tokenizer|Processor|Config|Extractor|Scheduler")
_LOCAL_ROOTS = frozenset({
    "output", "outputs", "result", "results", "models", "model", "checkpoints", "checkpoint", "saved",
    "saved_models", "adapters",
    "adapter", "lora", "weights", "ckpt", "runs", "experiments", "artifacts", "final", "trained", "path",
    "data", "saves", "content",
    "drive", "kaggle", "workspace", "home", "mnt", "tmp", "root", "users",
})  # fmt: skip
_LOCAL_ENDS = re.compile(
    r"(?:checkpoint-\d+|final(?:[-_]\w+)?|best(?:[-_]\w+)?|last|latest|adapter|output|\S+\.(?:pt|bin|safetensors))$"
)
_PLACEHOLDER = re.compile(
    r"(?:^|[/\s])(?:your|my)[-_ ]|<[^<>]+>|\{\{?[^{}]+\}?\}|^(?:user(?:name)?|org|organization|namespace"
    r"|hf[-_]username|author|xxx+)/|"
    r"path[/_ -]to[/_ -]|/your[-_]|^\[.*\]$|REPLACE|INSERT|YOUR[_-]",
    re.IGNORECASE,
)

# What forms leave for the id of the repo (AutoTrain's, sentence-transformers').
_UNFILLED = re.compile(r"^PATH_TO_|^your[-_/]|^sentence_transformers_model_id$|^<[^<>]+>$", re.IGNORECASE)


@dataclass(frozen=True)
class AdapterLoad:
    """A call that loads an adapter; `named` is the string that it is given, None where that is worked out."""

    named: str | None
    line: int
    is_none: bool = False  # it is given None itself


def adapter_loads(document: Document) -> Iterator[AdapterLoad]:
    """The calls that load an adapter by name."""
    known = snippets.names(document)
    for call in snippets.all_calls(document):
        node = _adapter_argument(call)
        if node is None:
            continue
        value = snippets.constant(node, known)
        none = isinstance(node, ast.Constant) and node.value is None
        yield AdapterLoad(value if isinstance(value, str) else None, call.line, none)


def _adapter_argument(call: Call) -> ast.expr | None:
    owner, _, method = call.name.rpartition(".")
    if method in ("load_adapter", "load_lora_weights"):
        return _argument(call, 0, "model_id", "peft_model_id", "pretrained_model_name_or_path_or_dict")
    if method != "from_pretrained" or not _ADAPTER_OWNERS.search(owner):
        return None
    position = 0 if re.search(r"Config$|AutoPeft", owner) else 1
    return _argument(call, position, "model_id", "pretrained_model_name_or_path")


def _argument(call: Call, position: int, *names: str) -> ast.expr | None:
    for name in names:
        if name in call.keywords:
            return call.keywords[name][0]
    if len(call.arguments) > position and not any(isinstance(a, ast.Starred) for a in call.arguments):
        return call.arguments[position]
    return None


def base_loads(document: Document) -> Iterator[Call]:
    """The calls that load a model that is no adapter."""
    for call in snippets.all_calls(document):
        owner, _, method = call.name.rpartition(".")
        is_base = (
            _BASE_OWNERS.search(owner) and not _NO_MODELS.search(owner) and not _ADAPTER_OWNERS.search(owner)
        )
        if method == "from_pretrained" and is_base:
            yield call


def unfilled_loads(document: Document) -> Iterator[AdapterLoad]:
    """The calls that load a model by a name that a form left open: `PATH_TO_THIS_REPO`."""
    known = snippets.names(document)
    loads = [call for call in snippets.all_calls(document) if call.name.rpartition(".")[2] in _WHOLE]
    for call in [*base_loads(document), *loads]:
        name = model_named(call, known)
        if name and _UNFILLED.search(name):
            yield AdapterLoad(name, call.line)


def model_named(call: Call, known: dict[str, Any]) -> str | None:
    """The model that a call to `from_pretrained` names."""
    node = _argument(call, 0, "pretrained_model_name_or_path", "model_name", "model_id", "model")
    value = snippets.constant(node, known) if node is not None else None
    return value if isinstance(value, str) else None


def is_placeholder(name: str) -> bool:
    """Whether a name stands for one that the reader has to fill in."""
    return bool(_PLACEHOLDER.search(name))


def is_local(name: str) -> bool:
    """Whether a name can only be a path of somebody's machine."""
    if name.startswith((".", "/", "~", "\\")) or "\\" in name or re.match(r"[A-Za-z]:", name):
        return True
    if name.count("/") != 1:
        return name.count("/") > 1 and "://" not in name
    root, _, rest = name.partition("/")
    return root.lower() in _LOCAL_ROOTS or not rest or bool(_LOCAL_ENDS.match(rest))
