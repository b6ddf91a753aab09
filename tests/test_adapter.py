"""Adapter directories read without torch: whole ones, and everything that a broken one can be."""

from __future__ import annotations

import hashlib
import json
import shlex
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors as safetensors_library
from fake_adapter import weights as whole_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubkit import adapter, tensor_file
from hubkit.errors import AdapterError

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1779464\n"
LORA = {"peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 8}
quickly = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=2000)


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A file with this header, which is text, bytes, or anything that JSON can say."""
    if not isinstance(header, bytes):
        header = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(start: int, end: int, **other: Any) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [end - start], "data_offsets": [start, end], **other}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / adapter.WEIGHTS_NAME


def refusal(function: Callable[[Path], Any], path: Path) -> str | None:
    """The one line of the AdapterError, or None where it was read; no other error passes."""
    begun = time.process_time()
    try:
        function(path)
    except AdapterError as error:
        said = str(error)
        assert "\n" not in said
        assert len(said) < 900
        return said
    finally:
        assert time.process_time() - begun < 2
    return None


def check_agreement(content: bytes, file: Path) -> None:
    """What is read here, safetensors reads too: the same tensors at the same places."""
    file.write_bytes(content)
    if refusal(tensor_file.read_header, file) is not None:
        return
    theirs = {name: tuple(tensor["shape"]) for name, tensor in safetensors_library.deserialize(content)}
    assert {tensor.name: tensor.shape for tensor in tensor_file.read_header(file)} == theirs


def broken(content: bytes, file: Path) -> str:
    file.write_bytes(content)
    said = refusal(tensor_file.read_header, file)
    assert said is not None
    assert said.startswith(f"{file} is not a whole safetensors file: ")
    return said


def test_a_whole_file(file: Path) -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "base_model.model.l.0.query.lora_A.weight": {
            "dtype": "F32",
            "shape": [2, 3],
            "data_offsets": [2, 26],
        },
        "base_model.model.l.0.query.lora_B.weight": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]},
        "base_model.model.empty": {"dtype": "F16", "shape": [0, 4], "data_offsets": [26, 26]},
        "base_model.model.packed": {"dtype": "F4", "shape": [4], "data_offsets": [26, 28]},
    }
    file.write_bytes(safetensors(header, bytes(28)))
    tensors = tensor_file.read_header(file)
    assert [(t.dtype, t.shape, t.numel, t.end - t.start) for t in tensors] == [
        ("float32", (2, 3), 6, 24),
        ("bfloat16", (1,), 1, 2),
        ("float16", (0, 4), 0, 0),
        ("f4", (4,), 4, 2),
    ]
    assert tensors[1].start == len(file.read_bytes()) - 28


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "its header does not fit"),
        (b"\x00" * 7, "its header does not fit"),
        (struct.pack("<Q", 0), "its header does not fit"),
        (struct.pack("<Q", 2**64 - 1) + b"{}", "its header does not fit"),
        (safetensors("{}", length=3), "its header does not fit"),
        (safetensors("{}", length=tensor_file.MAX_HEADER_BYTES + 1), "its header does not fit"),
        (b"PK\x03\x04" + bytes(60), "its header does not fit"),
        (safetensors("{]"), "its header is not JSON"),
        (safetensors(b'{"\xff": 1}'), "its header is not JSON"),
        (safetensors("{}".encode("utf-16")), "its header is not JSON"),
        (safetensors("[" * 100_000), "its header is not JSON"),
        (safetensors('{"a":' * 100_000), "its header is not JSON"),
        (
            safetensors('{"a": {"dtype": "U8", "shape": [' + "9" * 5000 + '], "data_offsets": [0, 0]}}'),
            "not JSON",
        ),
        (safetensors('{"a": NaN}'), "NaN is no JSON"),
        (safetensors([]), "not a mapping"),
        (safetensors("null"), "not a mapping"),
        (safetensors({"a": None}), "entry for 'a' makes no sense"),
        (safetensors({"a": []}), "entry for 'a' makes no sense"),
        (safetensors({"a": "x"}), "entry for 'a' makes no sense"),
        (safetensors({"a": {}}), "entry for 'a' makes no sense"),
        (safetensors({"a": entry(0, 2, dtype="FLOAT")}, b"12"), "entry for 'a' makes no sense"),
        (safetensors({"a": entry(0, 2, dtype=["U8"])}, b"12"), "entry for 'a' makes no sense"),
        (safetensors({"a": entry(0, 2, dtype="F32")}, b"12"), "entry for 'a' makes no sense"),
        (safetensors({"a": entry(0, 2, shape=[-1, -2])}, b"12"), "entry for 'a' makes no sense"),
        (safetensors({"a": entry(0, 2, shape=[2.0])}, b"12"), "entry for 'a' makes no sense"),
        (safetensors({"a": entry(0, 1, shape=[True])}, b"1"), "entry for 'a' makes no sense"),
        (safetensors({"a": entry(0, 2, shape=2)}, b"12"), "entry for 'a' makes no sense"),
        (safetensors({"a": entry(0, 2, shape=[1] * 70 + [2])}, b"12"), "entry for 'a' makes no sense"),
        (safetensors({"a": entry(0, 2, shape=[2**64, 0])}, b"12"), "entry for 'a' makes no sense"),
        (safetensors({"a": entry(0, 2, data_offsets=[0])}, b"12"), "entry for 'a' makes no sense"),
        (safetensors({"a": entry(0, 2, data_offsets=[0, 1, 2])}, b"12"), "entry for 'a' makes no sense"),
        (safetensors({"a": entry(0, 2, data_offsets=[2, 0])}, b"12"), "entry for 'a' makes no sense"),
        (safetensors({"a": entry(0, 2, data_offsets=[-2, 0])}, b"12"), "entry for 'a' makes no sense"),
        (safetensors({"a": entry(1, 3)}, b"123"), "tensor 'a' overlaps another or leaves a gap"),
        (safetensors({"a": entry(0, 2), "b": entry(1, 3)}, b"123"), "tensor 'b' overlaps another"),
        (safetensors({"a": entry(0, 1), "b": entry(2, 3)}, b"123"), "tensor 'b' overlaps another or leaves"),
        (safetensors({"a": entry(0, 2), "b": entry(0, 2)}, b"12"), "tensor 'b' overlaps another"),
        (safetensors({"a": entry(0, 4)}, b"123"), "it was cut off"),
        (safetensors({"a": entry(0, 2)}, b"123"), "it was cut off or added to"),
        (safetensors({"a" * 1000: entry(1, 2)}, b"12"), "overlaps another"),
        (safetensors({"a" * 1001: entry(0, 1)}, b"1"), "makes no sense"),
        (
            safetensors(f'{{"a": {json.dumps(entry(0, 2))}, "a": {json.dumps(entry(0, 2))}}}', b"12"),
            "a name stands twice",
        ),
        (safetensors('{"a": {"dtype": "U8", "dtype": "I8", "shape": [0], "data_offsets": [0, 0]}}'), "twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_broken_files_say_how(content: bytes, words: str, file: Path) -> None:
    said = broken(content, file)
    assert words in said
    assert said.endswith("(copy or download it again)")


def test_a_large_header_is_read_quickly(file: Path) -> None:
    names = {f"base_model.model.layers.{i}.q.lora_A.weight": entry(i, i + 1) for i in range(20_000)}
    file.write_bytes(safetensors(names, bytes(20_000)))
    assert refusal(tensor_file.read_header, file) is None


@quickly
@given(size=st.integers(0, 2000))
def test_a_file_cut_off_anywhere_is_refused(size: int, file: Path) -> None:
    content = whole_file(rows=8)
    assert broken(content[: size % len(content)], file)


@quickly
@given(content=st.binary(max_size=100))
def test_random_bytes(content: bytes, file: Path) -> None:
    check_agreement(content, file)


NUMBERS = st.one_of(st.integers(-2, 10), st.integers(), st.floats(), st.booleans(), st.none())
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.one_of(st.sampled_from([*tensor_file.DTYPE_BITS, "X", ""]), NUMBERS),
        "shape": st.one_of(st.lists(NUMBERS, max_size=4), NUMBERS, st.text()),
        "data_offsets": st.one_of(st.lists(NUMBERS, max_size=3), NUMBERS, st.text()),
    },
)
HEADERS = st.dictionaries(st.text(max_size=3), st.one_of(ENTRIES, NUMBERS, st.lists(NUMBERS)), max_size=3)


@quickly
@given(header=st.one_of(HEADERS, st.text(), st.binary()), data=st.binary(max_size=20))
def test_random_headers(header: Any, data: bytes, file: Path) -> None:
    text = header.encode("utf-8", "surrogatepass") if isinstance(header, str) else header
    check_agreement(safetensors(text, data), file)


@quickly
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_in_the_header(at: int, bit: int, file: Path) -> None:
    content = bytearray(whole_file(rows=2))
    header = 8 + struct.unpack("<Q", content[:8])[0]
    content[at % header] ^= 1 << bit
    check_agreement(bytes(content), file)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / adapter.WEIGHTS_NAME).write_bytes(whole_file())
    (tmp_path / adapter.CONFIG_NAME).write_text(json.dumps(LORA))
    return tmp_path


def test_a_directory(directory: Path) -> None:
    found = adapter.read(directory)
    assert found.peft_type == "LORA"
    assert found.base_model == "org/base"
    assert found.parameters == 64 * 8
    assert found.parameters_by_dtype == {"float32": 512}
    assert found.target_modules == ["query"]
    assert found.weights_sha256() == hashlib.sha256(found.weights.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"peft_version": "9.9", "inference_mode": False, "base_model_name_or_path": "x/y"}, True),
        ({"revision": "main", "task_type": "CAUSAL_LM", "auto_mapping": {"parent_library": "x"}}, True),
        ({"some_new_setting": None, "rank_pattern": {}, "layers_to_transform": []}, True),
        ({"target_modules": ["value", "query"]}, True),
        ({"target_modules": ["query"]}, False),
        ({"lora_alpha": 64}, False),
        ({"use_dora": True}, False),
    ],
)
def test_the_digest_is_of_weights_and_effective_configuration(
    change: dict[str, object], same: bool, directory: Path
) -> None:
    config = {**LORA, "target_modules": ["query", "value"], "lora_alpha": 16}
    (directory / adapter.CONFIG_NAME).write_text(json.dumps(config))
    before = adapter.read(directory).sha256()
    (directory / adapter.CONFIG_NAME).write_text(json.dumps({**config, **change}))
    assert (adapter.read(directory).sha256() == before) is same


def test_the_digest_changes_with_the_weights(directory: Path) -> None:
    before = adapter.read(directory).sha256()
    weights = directory / adapter.WEIGHTS_NAME
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert adapter.read(directory).sha256() != before


def test_a_pickle_is_refused_and_never_opened(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / adapter.WEIGHTS_NAME).unlink()
    pickle = directory / adapter.PICKLE_NAME
    pickle.write_bytes(b"cos\nsystem\n(S'touch harm'\ntR.")
    opened: list[str] = []
    real = Path.open

    def watch(path: Path, *arguments: Any, **options: Any) -> Any:
        opened.append(path.name)
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", watch)
    said = refusal(adapter.read, directory)
    assert said is not None
    assert said.startswith(f"{pickle} is a pickle, and loading a pickle can run any code")
    assert adapter.PICKLE_NAME not in opened


def test_safetensors_beside_a_pickle_is_used(directory: Path) -> None:
    (directory / adapter.PICKLE_NAME).write_bytes(b"x")
    assert adapter.read(directory).parameters == 512


def test_what_is_missing_is_named(directory: Path) -> None:
    assert "there is no directory" in str(refusal(adapter.read, directory / "none"))
    assert "there is no directory" in str(refusal(adapter.read, directory / adapter.CONFIG_NAME))
    (directory / adapter.WEIGHTS_NAME).unlink()
    assert "there is no adapter_model.safetensors in" in str(refusal(adapter.read, directory))
    (directory / adapter.CONFIG_NAME).unlink()
    assert "there is no adapter_config.json in" in str(refusal(adapter.read, directory))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b'{"r": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"a":' * 100_000, "is not JSON"),
        (b"null", "names no peft_type"),
        (b"[]", "names no peft_type"),
        (b"{}", "names no peft_type"),
        (b'{"peft_type": null}', "names no peft_type"),
        (b'{"peft_type": 3}', "names no peft_type"),
        (b'{"peft_type": ""}', "names no peft_type"),
        (POINTER, "is a Git-LFS pointer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_configurations_that_are_none(content: bytes, words: str, directory: Path) -> None:
    path = directory / adapter.CONFIG_NAME
    path.write_bytes(content)
    said = refusal(adapter.read, directory)
    assert said is not None
    assert said.startswith(f"{path} {words}")


@quickly
@given(content=st.one_of(st.binary(), st.text().map(str.encode)))
def test_random_configurations(content: bytes, directory: Path) -> None:
    (directory / adapter.CONFIG_NAME).write_bytes(content)
    assert refusal(adapter.read, directory)


def test_a_pointer_in_place_of_the_weights(directory: Path) -> None:
    (directory / adapter.WEIGHTS_NAME).write_bytes(POINTER)
    said = str(refusal(adapter.read, directory))
    assert "is a Git-LFS pointer, not the file" in said
    assert said.endswith("(run: git lfs pull)")


def test_a_directory_in_place_of_a_file(directory: Path) -> None:
    (directory / adapter.CONFIG_NAME).unlink()
    (directory / adapter.CONFIG_NAME).mkdir()
    assert "Is a directory" in str(refusal(adapter.read, directory))


def with_names(directory: Path, names: list[str], **config: Any) -> adapter.Adapter:
    header = {name: entry(i, i + 1) for i, name in enumerate(names)}
    (directory / adapter.WEIGHTS_NAME).write_bytes(safetensors(header, bytes(len(names))))
    (directory / adapter.CONFIG_NAME).write_text(json.dumps({**LORA, **config}))
    return adapter.read(directory)


def test_target_modules_are_those_of_the_file(directory: Path) -> None:
    names = [
        "base_model.model.bert.layer.0.query.lora_A.weight",
        "base_model.model.bert.layer.0.query.lora_B.weight",
        "base_model.model.bert.layer.0.key.hira_A.weight",
        "base_model.model.bert.layer.1.query.lora_A.default.weight",
        "base_model.model.cls.predictions.bias",
        "base_model.vera_A",
    ]
    found = with_names(directory, names, target_modules=["q_lin", "v_lin"])
    assert found.target_modules == ["key", "query"]
    assert found.adapted_modules == [
        "base_model.model.bert.layer.0.query",
        "base_model.model.bert.layer.0.key",
        "base_model.model.bert.layer.1.query",
    ]
    assert [t.name for t in found.whole_tensors] == ["base_model.model.cls.predictions.bias"]


@pytest.mark.parametrize(
    ("configured", "meant"),
    [(["b", "a"], ["a", "b"]), ("all-linear", []), (None, []), (3, []), ([1, None], ["1", "None"])],
)
def test_without_any_in_the_file_the_configuration_tells(
    configured: Any, meant: list[str], directory: Path
) -> None:
    assert with_names(directory, ["prompt_embeddings"], target_modules=configured).target_modules == meant


@pytest.mark.parametrize("base", [None, "", 3, ["x"]])
def test_a_base_that_is_not_named(base: Any, directory: Path) -> None:
    assert with_names(directory, ["a"], base_model_name_or_path=base).base_model is None


@pytest.mark.soak  # it loads torch
def test_the_command_that_is_named_converts_a_pickle(directory: Path) -> None:
    import torch
    from safetensors.torch import load_file

    weights = {"base_model.model.l.0.query.lora_A.weight": torch.ones(2, 3).T}  # not contiguous
    torch.save(weights, directory / adapter.PICKLE_NAME)
    (directory / adapter.WEIGHTS_NAME).unlink()
    said = str(refusal(adapter.read, directory))
    command = shlex.split(said[said.index("python -c") : said.rindex(")")])
    subprocess.run([sys.executable, *command[1:]], check=True)
    assert adapter.read(directory).parameters == 6
    made = load_file(directory / adapter.WEIGHTS_NAME)
    assert all(torch.equal(made[name], tensor) for name, tensor in weights.items())
