"""`.gitattributes` and `.gitignore` as the local Hub reads them, against git itself."""

import itertools
import random
import shutil
import subprocess

import pytest

from hubkit.localhub.gitfiles import is_ignored, is_tracked, track

PATTERNS = [
    *(
        "*.png",
        "figures/",
        "/a.txt",
        "a.txt",
        "figures/*.png",
        "**/b",
        "a/**",
        "!a.png",
        "*.tar.*",
        "x?z",
        "c*",
    ),
    *(
        "saved_model/**/*",
        "[ab].txt",
        "[!a].txt",
        "a/b",
        "*tfevents*",
        "b/",
        "\\#x",
        "/figures/**/c",
        "[[:space:]]x",
    ),
]
PATHS = [
    *(
        "a.png",
        "figures/loss.png",
        "a.txt",
        "b.txt",
        "d/a.txt",
        "a/b/c",
        "b",
        "d/b",
        "a.tar.gz",
        "saved_model/x",
    ),
    *(
        "saved_model/1/x",
        "xyz",
        "events.tfevents.1",
        "#x",
        "figures/c",
        "figures/d/e/c",
        "b/x",
        "cat",
        " x",
        "a/b",
    ),
]
SETTINGS = ("filter=lfs", "-filter", "filter=lfs diff=lfs merge=lfs -text", "text")


def test_the_last_line_that_matches_counts():
    assert is_tracked("*.png filter=lfs\n", "figures/loss.png")
    assert not is_tracked("*.png filter=lfs\n*.png -filter\n", "loss.png")
    assert not is_tracked("*.png text\n# *.txt filter=lfs\n", "a.txt")
    assert is_ignored("runs/\n", "runs/1/a.txt")
    assert not is_ignored("*.log\n!keep.log\n", "keep.log")
    assert not is_ignored("", "a")


@pytest.mark.parametrize(
    "path", ["a.png", "a b.png", "a*b[1]?.png", "é/ü.png", "#x", "!x", '"x"', "[", "a]b"]
)
def test_what_is_tracked_once_is_tracked(path):
    for before in ("", "*.bin filter=lfs\n", "*.bin filter=lfs"):
        after = track(before, [path])
        assert is_tracked(after, path)
        assert after.startswith(before)
        assert is_tracked(after, "x.bin") == bool(before)
        assert not is_tracked(after, "other.png")


@pytest.mark.soak
@pytest.mark.skipif(not shutil.which("git"), reason="git is what this is compared with")
def test_git_reads_what_is_added(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    names = ["a b.png", "a*b[1]?.png", "é/ü.png", "#x", "!x", '"x"', "[", "a]b"]
    (tmp_path / ".gitattributes").write_text(track("", names))
    for name in names:
        told = subprocess.run(
            ["git", "-C", tmp_path, "check-attr", "-z", "filter", "--", name], capture_output=True, text=True
        )
        assert told.stdout.split("\0")[2] == "lfs", name


@pytest.mark.soak
@pytest.mark.skipif(not shutil.which("git"), reason="git is what this is compared with")
def test_it_agrees_with_git(tmp_path):
    chance = random.Random(7)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for _ in range(40):
        ignore = "\n".join(chance.sample(PATTERNS, 4)) + "\n"
        lines = [p for p in chance.sample(PATTERNS, 6) if not p.startswith("!")]
        attributes = "".join(f"{line} {chance.choice(SETTINGS)}\n" for line in lines)
        (tmp_path / ".gitignore").write_text(ignore)
        (tmp_path / ".gitattributes").write_text(attributes)
        ignored = git(tmp_path, "check-ignore", "--no-index", "--stdin", "-z").split("\0")
        told = git(tmp_path, "check-attr", "--stdin", "-z", "filter").split("\0")
        filters = dict(zip(told[0::3], told[2::3], strict=False))
        for path in PATHS:
            assert is_ignored(ignore, path) == (path in ignored), (ignore, path)
            assert is_tracked(attributes, path) == (filters[path] == "lfs"), (attributes, path)


def git(folder, *arguments):
    """What git says of all the paths."""
    given = "\0".join(itertools.chain(PATHS, [""]))
    return subprocess.run(
        ["git", "-C", folder, *arguments], input=given, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize(
    "pattern",
    ["*a" * 100 + "b", "**/" * 100 + "b", "a*/**/" * 50 + "b", "[a-z]*" * 100 + "b", "*" * 200 + "b"],
)
@pytest.mark.parametrize("path", ["a" * 250, "/".join(["aaa"] * 200)])
def test_no_pattern_takes_for_ever(pattern, path):
    assert not is_tracked(f"{pattern} filter=lfs\n", path)  # by backtracking, it would outlast the test run
    assert not is_ignored(f"{pattern}\n", path)


def test_stars_find_what_is_there():
    for pattern, path in (
        ("*ab*ab", "xabyabzab"),
        ("a*b?*c", "abbxc"),
        ("**/a/**/b", "a/b"),
        ("**/a/**/b", "x/a/y/a/z/b"),
        ("a/**/b*/c", "a/b1/x/b2/c"),
        ("a/**", "a/b/c"),
        ("a**c", "abc"),
    ):
        assert is_tracked(f"{pattern} filter=lfs\n", path), pattern
    for pattern, path in (("a/**", "a"), ("a/**/b", "ab"), ("a*b", "a/b"), ("*ab*ab", "xab")):
        assert not is_tracked(f"{pattern} filter=lfs\n", path), pattern
    assert not is_tracked(f"{'a' * 3000} filter=lfs\n", "a" * 3000)
