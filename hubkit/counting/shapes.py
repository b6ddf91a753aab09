"""Names and shapes of a model's parameters as they are collected, and a configuration read with care."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from hubkit.errors import BaseModelError

LARGEST = 2**40  # of any one number in a configuration
MOST_LAYERS = 2_000
_DEPTHS = (
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers",
    "num_decoder_layers", "num_hidden_groups", "inner_group_num",
)  # fmt: skip
_HINT = "give the config.json of the base model's repo"
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})


# Resizing ties by the configuration, whatever the bytes.
TIED_AGAIN = "the adapter resizes the vocabulary of a base whose tied output head is saved with other values"


class NotExact(Exception):
    """These files do not tell the exact number; the message says why."""


def check_depth(plain: dict[str, Any]) -> None:
    """Too many layers would take for ever to build, even without weights. Raises BaseModelError."""
    parts = [plain, *(part for part in plain.values() if isinstance(part, dict))]
    for part in parts:
        for key in _DEPTHS:
            if isinstance(value := part.get(key), int | float) and value > MOST_LAYERS:
                raise BaseModelError(f"the base's configuration names {value:,} layers ({key})", _HINT)


class Config:
    """A base's config.json, whose numbers must be what they should be.

    `rows` and `labels` are those of the embeddings and the classification head in an adapter's file.
    """

    def __init__(self, plain: dict[str, Any], rows: int | None = None, labels: int | None = None) -> None:
        self.plain = plain
        self._rows, self._labels = rows, labels

    def whole(self, *keys: str, default: int | None = None) -> int:
        """The first of these that is there, a positive whole number. Raises BaseModelError, or NotExact."""
        for key in keys:
            value = self.plain.get(key)
            if value is not None:
                if type(value) is not int or not 0 < value <= LARGEST:
                    raise BaseModelError(
                        f"{key} of the base's configuration is no positive whole number", _HINT
                    )
                return value
        if default is None:
            raise NotExact(f"the base's configuration has no {keys[0]}")
        return default

    def layers(self, *keys: str, default: int) -> int:
        """How many layers. Raises BaseModelError."""
        check_depth(self.plain)
        return self.whole(*keys, default=default)

    def flag(self, key: str, default: bool) -> bool:
        """A yes or no. Raises BaseModelError."""
        value = self.plain.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise BaseModelError(f"{key} of the base's configuration is neither true nor false", _HINT)
        return value

    def vocabulary(self, default: int) -> int:
        """How many tokens the embeddings are of: as the adapter's file says, else the configuration."""
        return self._rows or self.whole("vocab_size", default=default)

    @property
    def labels(self) -> int:
        """Rows of a classification head: as the adapter's file says, else the configuration."""
        if self._labels:
            return self._labels
        named = self.plain.get("id2label")
        return len(named) if isinstance(named, dict) and named else self.whole("num_labels", default=2)

    def refuse(self, *keys: str) -> None:
        """Keys that change what the model is made of, where they are switched on. Raises NotExact."""
        for key in keys:
            if self.plain.get(key) not in (None, False, 0, "", {}, [], "absolute", "none"):
                raise NotExact(f"the base's configuration sets {key}")


class Shapes(msgspec.Struct):
    """Parameters of a class by name, tied ones once. Names of the backbone begin with `prefix`."""

    prefix: str
    tensors: dict[str, tuple[int, ...]] = {}
    embeddings: list[str] = []  # input embedding, and an output head of its own
    tied: dict[tuple[str, str], tuple[int, ...]] = {}  # name and source: shape
    columns_first: bool = False  # its matrices lie on their side, as GPT-2's do
    may_change: set[str] = set()  # names whose shape in files may be another

    @property
    def total(self) -> int:
        """How many numbers they have together."""
        return sum(map(math.prod, self.tensors.values()))

    @property
    def embedding(self) -> int:
        """Those of them in input and output embeddings."""
        return sum(math.prod(self.tensors[name]) for name in self.embeddings)

    def own(self, name: str, *shape: int) -> None:
        """A parameter of the backbone."""
        self.tensors[f"{self.prefix}.{name}"] = shape

    def head(self, name: str, *shape: int) -> None:
        """A parameter beside the backbone."""
        self.tensors[name] = shape

    def linear(self, name: str, rows: int, columns: int, bias: bool = True) -> None:
        """A linear layer of the backbone."""
        self.own(f"{name}.weight", rows, columns)
        if bias:
            self.own(f"{name}.bias", rows)

    def norm(self, name: str, width: int, bias: bool = True) -> None:
        """A normalization of the backbone."""
        self.own(f"{name}.weight", width)
        if bias:
            self.own(f"{name}.bias", width)

    def head_linear(self, name: str, rows: int, columns: int, bias: bool = True) -> None:
        """A linear layer beside the backbone."""
        self.head(f"{name}.weight", rows, columns)
        if bias:
            self.head(f"{name}.bias", rows)

    def head_norm(self, name: str, width: int) -> None:
        """A normalization beside the backbone."""
        self.head(f"{name}.weight", width)
        self.head(f"{name}.bias", width)

    def embed(self, name: str, rows: int, width: int) -> None:
        """The input embedding."""
        self.own(f"{name}.weight", rows, width)
        self.embeddings.append(f"{self.prefix}.{name}.weight")

    def output(self, name: str, rows: int, width: int, tied: bool, bias: str | None = None) -> None:
        """The output head: with a matrix of its own, or the input embedding's.

        `bias` names one that stands beside it, and that it shares where it is tied.
        """
        pairs: list[tuple[str, str, tuple[int, ...]]]
        pairs = [(f"{name}.weight", self.embeddings[0], (rows, width))]
        if bias:
            pairs.append((f"{name}.bias", bias, (rows,)))
        for own, source, shape in pairs:
            self.tied[own, source] = shape
            if not tied:
                self.untie(own, source)

    def untie(self, name: str, source: str) -> None:
        """Give what is tied to `source` numbers of its own."""
        self.tensors[name] = self.tied.pop((name, source))
        if source in self.embeddings:
            self.embeddings.append(name)

    def labelled(self, name: str, rows: int, columns: int, bias: bool = True) -> None:
        """A classification head: files may hold one for other labels."""
        self.head_linear(name, rows, columns, bias)
        self.may_change |= {f"{name}.weight", f"{name}.bias"}
