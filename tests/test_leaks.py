"""What is found in the files of a push, and where; how the author lets it through, or adds to them."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import struct
import zlib
from pathlib import Path
from unittest import mock

import fake_adapter
import pytest
from conftest import ALICE
from hypothesis import given
from hypothesis import strategies as st

from hubkit import errors, paths
from hubkit.cli.main import run
from hubkit.hub import Hub
from hubkit.localhub import RunningHub
from hubkit.publishing import checks, leaks
from hubkit.publishing.apply import apply
from hubkit.publishing.contents import Choice, collect
from hubkit.publishing.leaks import OVERLAP
from hubkit.publishing.plan import plan

TOKEN = b"hf_aB3dE9fG7hJ2kL5mN8pQ4rS6tU1vW0xYz"
OTHER = b"hf_zY3dE9fG7hJ2kL5mN8pQ4rS6tU1vW0xBa"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return fake_adapter.write(tmp_path / "plain")


def places(path: str, content: bytes) -> list[tuple[int, str]]:
    return [(found.line, found.kind) for found in leaks.find_in(path, content)]


HF = "Hugging Face token"


PIECE = 2 * OVERLAP + 10  # smaller than it is, for speed


@given(at=st.integers(-OVERLAP - 100, OVERLAP + 100), lines=st.integers(0, 30))
def test_a_secret_between_two_pieces_is_found_once(at: int, lines: int) -> None:
    before = (b"\n" * lines).ljust(PIECE + at, b" ")
    content = before + TOKEN + b"\n" + b" " * PIECE + OTHER
    with mock.patch.object(leaks, "PIECE", PIECE):
        assert places("x.json", content) == [(lines + 1, HF), (lines + 2, HF)]


def test_the_same_secret_in_many_lines_is_one_finding() -> None:
    assert places("x.json", b"\n".join([b"", TOKEN, TOKEN, OTHER, TOKEN])) == [(2, HF), (4, HF)]


def test_the_findings_of_a_file_come_to_an_end() -> None:
    content = b"\n".join(b"hf_aB3dE9fG7hJ2kL5mN8pQ4rS6tU%06d" % number for number in range(2000))
    assert len(places("x.json", content)) == leaks.MOST


def safetensors(metadata: dict[str, str], data: bytes = b"") -> bytes:
    entry = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    header = json.dumps({"__metadata__": metadata, "a": entry}).encode()
    return struct.pack("<Q", len(header)) + header + data


def test_the_header_of_a_safetensors_file_is_looked_at_and_its_numbers_are_not() -> None:
    assert places("a.safetensors", safetensors({"note": TOKEN.decode()}, OTHER)) == [(1, HF)]
    assert places("a.safetensors", safetensors({"from": "/home/ada/run/x"})) == [(1, leaks.PATH)]
    assert places("a.safetensors", safetensors({}, TOKEN)) == []
    assert places("a.safetensors", struct.pack("<Q", 2**63) + TOKEN) == [(1, HF)]


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    made = b"\x89PNG\r\n\x1a\n"
    for kind, data in [*chunks, (b"IEND", b"")]:
        made += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return made


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"tEXt", b"Comment\0" + TOKEN),
        (b"zTXt", b"Comment\0\0" + zlib.compress(TOKEN)),
        (b"iTXt", b"Comment\0\0\0en\0\0" + TOKEN),
        (b"iTXt", b"Comment\0\1\0en\0\0" + zlib.compress(TOKEN)),
        (b"eXIf", TOKEN),
    ],
)
def test_the_texts_of_a_picture_are_looked_at_and_its_points_are_not(kind: bytes, data: bytes) -> None:
    assert places("figures/a.png", png((b"IDAT", OTHER), (kind, data))) == [(1, HF)]
    assert places("figures/a.png", png((b"IDAT", OTHER))) == []


@pytest.mark.parametrize("content", [png()[:20], png((b"zTXt", b"a\0\0no zlib")), b"\x89PNG" + bytes(5)])
def test_a_picture_that_is_none_is_looked_at_too(content: bytes) -> None:
    assert places("figures/a.png", content) == []


def test_a_packed_text_is_not_unpacked_without_end() -> None:
    assert places("a.png", png((b"zTXt", b"a\0\0" + zlib.compress(bytes(9_000_000))))) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_text_in_other_encodings(encoding: str) -> None:
    mark = "\ufeff" if encoding.endswith(("le", "be")) else ""
    assert places("notes.txt", f"{mark}one\n{TOKEN.decode()}\n".encode(encoding)) == [(2, HF)]


def test_a_vocabulary_in_binary_tells_where_it_was_made() -> None:
    assert places("tokenizer.model", b"\0\1\x12\x20/home/ada/corpus/en.txt\x12\0") == [(1, leaks.PATH)]


def test_the_login_of_who_runs_this(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "me", lambda: ("ada77", "/net/people/ada77"))
    (plain / "tokenizer_config.json").write_text('{\n"cache": "/scratch/ada77/hf", "model": "ada77/base"}')
    with pytest.raises(errors.HubkitError, match=r"paths of this machine: tokenizer_config\.json:2 "):
        checks.read(plain)


# What the user is told, and says


def test_what_is_found_is_let_through_by_its_id_alone(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (plain / "tokenizer_config.json").write_text(f'{{"a":\n "{TOKEN.decode()}"}}')
    push = ["publish", "--adapter", str(plain), "--local-hub", str(tmp_path / "hub"), "--repo-id", "local/x"]
    assert run([*push, "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert TOKEN[3:12].decode() not in said
    (ready,) = re.findall(r"--allow [0-9a-f]{8}", said)
    assert run([*push, "--dry-run", *ready.split()]) == 0
    (plain / "vocab.txt").write_bytes(OTHER)
    (plain / "tokenizer_config.json").write_text(f'{{"a":\n\n "{TOKEN.decode()}"}}')  # another line
    capsys.readouterr()
    assert run([*push, "--dry-run", *ready.split()]) == 2
    said = capsys.readouterr().err
    assert "vocab.txt:1" in said
    assert "tokenizer_config.json" not in said


def test_the_settings_list_what_is_let_through_and_added(plain: Path) -> None:
    from hubkit.cli.push import push_options
    from hubkit.settings import Hub

    flags = {"include": ("b",), "allow": (), "audit": None, "create_pr": None, "local_hub": None}
    options = push_options(flags, Hub(include=["a"], allow=["0123abcd"]), quiet=True)
    assert options.choice == Choice(("a", "b"), ("0123abcd",))


def test_secrets_and_paths_are_told_at_once_and_let_through_likewise(plain: Path) -> None:
    (plain / "vocab.txt").write_text("/home/ada/x\n")
    (plain / "tokenizer_config.json").write_text(f'{{"hf_token": "{TOKEN.decode()}"}}')
    with pytest.raises(errors.HubkitError, match=r"paths of this machine: vocab\.txt:1") as caught:
        checks.read(plain, choice=Choice(allow=("nonsense",)))
    said = str(caught.value)
    assert "holds what looks like a secret: tokenizer_config.json:1 (Hugging Face token)" in said
    assert "--allow nonsense lets nothing through" in said
    found = re.findall(r"--allow ([0-9a-f]{8})", said)
    assert len(found) == 2  # one for the token, whatever it is assigned to
    contents = checks.read(plain, choice=Choice(allow=(*found, "nonsense")))
    assert "vocab.txt" in contents.names
    assert contents.notes == ("--allow nonsense lets nothing through: nothing was found by that id",)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("dtype", ["F32", "F64", "F16", "BF16"])
def test_weights_that_are_no_numbers_are_not_published(value: str, dtype: str, plain: Path) -> None:
    number, width = float(value), {"F32": 4, "F64": 8, "F16": 2, "BF16": 2}[dtype]
    one = (
        struct.pack("<f", number)[2:]
        if dtype == "BF16"
        else struct.pack(f"<{'_fde'['_F32F64F16'.find(dtype) // 3 + 1]}", number)
    )
    header = json.dumps(
        {
            "fine": {"dtype": dtype, "shape": [3], "data_offsets": [0, 3 * width]},
            "broken": {"dtype": dtype, "shape": [2], "data_offsets": [3 * width, 5 * width]},
        }
    ).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(4 * width) + one
    (plain / "adapter_model.safetensors").write_bytes(content)
    with pytest.raises(errors.AdapterError, match=r"\(NaN or infinity\) in 'broken' "):
        checks.read(plain)


# What belongs, and what the author adds


def names(directory: Path, *include: str) -> set[str]:
    return {file.path for file in collect(directory, include=include).files}


NEVER = [
    "checkpoint-20/adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth",
    "trainer_state.json", "training_args.bin", "adapter_model.bin", "pytorch_model.bin", "data/x.pkl",
    "rng_state_0.pth", "x.PICKLE", "x.ckpt", "x.joblib", ".env", "prod.env",
    ".hidden", ".git/config", "wandb/run/x.txt", "runs/a/x.txt",
    "events.out.tfevents.1.host", "deep/checkpoint-3/x.txt", "__pycache__/x.pyc",
]  # fmt: skip


@pytest.mark.parametrize("name", NEVER)
def test_what_is_never_published_whatever_is_asked_for(name: str, plain: Path) -> None:
    (plain / name).parent.mkdir(parents=True, exist_ok=True)
    (plain / name).write_text("x")
    (plain / "fine.txt").write_text("x")
    before = names(plain)
    assert names(plain, "*") == before | {"fine.txt"}
    with pytest.raises(errors.AdapterError, match="--include"):
        names(plain, name)


@pytest.mark.parametrize(
    "content",
    [b"\x80\x04\x95abc", b"\x80\x02}q\0", b"PK\3\4" + bytes(26) + b"archive/data.pkl"],
    ids=["protocol 4", "protocol 2", "torch"],
)
def test_a_pickle_by_any_other_name_is_none_the_less(content: bytes, plain: Path) -> None:
    (plain / "weights.dat").write_bytes(content)
    with pytest.raises(errors.AdapterError, match=r"weights\.dat is never published: it is a pickle"):
        names(plain, "weights.dat")


def test_what_the_author_names_is_published(plain: Path) -> None:
    for name in ("data/a.json", "data/deep/b.json", "data/c.txt", "notes.md", "figures/unlinked.png"):
        (plain / name).parent.mkdir(parents=True, exist_ok=True)
        (plain / name).write_text("x")
    usual = names(plain)
    assert names(plain, "data/*.json") - usual == {"data/a.json", "data/deep/b.json"}
    assert names(plain, "data/") - usual == {"data/a.json", "data/deep/b.json", "data/c.txt"}
    assert names(plain, "notes.md", "figures/*") - usual == {"notes.md", "figures/unlinked.png"}
    left = collect(plain, include=["notes.md"]).left_out
    assert "notes.md" not in left
    assert "data/" in left
    with pytest.raises(errors.AdapterError, match=r"--include data is a directory.*--include 'data/\*'"):
        names(plain, "data")
    (plain / "data/optimizer.pt").write_text("x")
    assert collect(plain, include=["data/*"]).notes == (
        "named by --include, and never published: data/optimizer.pt (it is the state of a training)",
    )
    with pytest.raises(errors.AdapterError, match=r"--include nothing\*\.md names no file in "):
        names(plain, "nothing*.md")


def test_what_the_author_names_is_looked_at_too(plain: Path) -> None:
    (plain / "notes.md").write_bytes(TOKEN)
    assert "notes.md" not in checks.read(plain).names
    with pytest.raises(errors.HubkitError, match=r"a secret: notes\.md:1"):
        checks.read(plain, choice=Choice(include=("*.md",)))


def test_links_are_not_followed_out_of_the_directory(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.txt").write_text("x")
    (plain / "linked").symlink_to(tmp_path / "outside")
    assert names(plain) == names(plain, "README.md")
    for pattern in ("linked", "*"):
        with pytest.raises(errors.AdapterError, match="leads out of the directory"):
            names(plain, pattern)
    (plain / "linked").unlink()
    (plain / "figures").symlink_to(tmp_path / "outside")
    (tmp_path / "outside" / "x.png").write_text("x")
    with pytest.raises(errors.AdapterError, match="leads out of the directory"):
        names(plain)


def test_a_circle_of_links(plain: Path) -> None:
    (plain / "LICENSE").symlink_to("LICENSE.txt")
    (plain / "LICENSE.txt").symlink_to("LICENSE")
    with pytest.raises(errors.AdapterError, match="is not a file"):
        names(plain)


def test_a_hard_link_is_a_file(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab").write_text("x")
    os.link(tmp_path / "vocab", plain / "vocab.txt")
    assert "vocab.txt" in names(plain)


OURS = [
    "adapter_config.json",
    "adapter_model.safetensors",
    "hubkit.json",
    "README.md",
    "tokenizer.json",
    "notes.txt",
]


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("kind", ["pipe", "socket", "directory", "device"])
def test_what_is_no_file_is_refused_and_not_waited_for(
    kind: str, name: str, plain: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (plain / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(plain / name)
    elif kind == "directory":
        (plain / name).mkdir()
    elif kind == "device":
        (plain / name).symlink_to("/dev/zero")
    else:
        monkeypatch.chdir(plain)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(name)
    for command in (
        ["publish", "--adapter", str(plain), "--token", ALICE, "--endpoint", "http://127.0.0.1:9",
         "--repo-id", "a/b", "--include", name],
        ["audit", str(plain)],
        ["card", "--adapter", str(plain), "--diff"],
    ):  # fmt: skip
        code = run(command)
        said = capsys.readouterr().err
        assert code == 2 or command[0] != "publish"
        assert "Traceback" not in said
        assert "fault of hubkit" not in said


def test_large_files_are_hashed_and_looked_at_in_pieces(plain: Path) -> None:
    (plain / "vocab.txt").write_bytes(b"x\n" * 4_000_000 + TOKEN)
    (found,) = leaks.find("vocab.txt", plain / "vocab.txt")
    assert found.line == 4_000_001
    shutil.rmtree(plain)
    with pytest.raises(errors.AdapterError, match="cannot read"):
        leaks.find("vocab.txt", plain / "vocab.txt")


def test_a_file_that_was_replaced_after_it_was_looked_at_is_not_pushed(
    plain: Path, alice_hub: RunningHub
) -> None:
    hub = Hub(alice_hub.endpoint, ALICE)
    (plain / "vocab.txt").write_bytes(b"x" * len(TOKEN))
    made = plan(plain, "alice/replaced", hub)
    before = (plain / "vocab.txt").stat()
    (plain / "new").write_bytes(TOKEN)
    (plain / "new").replace(plain / "vocab.txt")
    os.utime(plain / "vocab.txt", ns=(before.st_atime_ns, before.st_mtime_ns))  # as `cp -p` does
    with pytest.raises(errors.HubkitError, match=r"vocab\.txt changed after the plan was made"):
        apply(made, hub)
    assert hub.repo("alice/replaced") is None
