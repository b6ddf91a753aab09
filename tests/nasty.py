"""Files that were made to break a reader: by name, the file that they stand in for, and their bytes.

Run as a program, it gives each of them to hubkit's readers and commands in one process, and prints as JSON
what came of it: the faults (a traceback, more than one line, an error of hubkit's own) and the most memory
that it took above what it had before.

    python tests/nasty.py DIRECTORY [BEGINNING OF A NAME ...]
"""
# ruff: noqa: E501 (tables of bytes)

from __future__ import annotations

import contextlib
import io
import json
import resource
import shutil
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_adapter

WEIGHTS, CONFIG, RECORD, CARD = "adapter_model.safetensors", "adapter_config.json", "hubkit.json", "README.md"
TOKENIZER = "tokenizer_config.json"
CPU_SECONDS = 20  # for one file and command; most take milliseconds
Made = Callable[[], bytes]
MB = 1_000_000


def weights(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file with this header."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def entry(start: int, end: int, **other: Any) -> dict[str, Any]:
    """A tensor of bytes."""
    return {"dtype": "U8", "shape": [end - start], "data_offsets": [start, end], **other}


# JSON that means trouble wherever a mapping is read
JSON: dict[str, Made] = {
    "empty": lambda: b"",
    "nul": lambda: b"\0" * 100,
    "null": lambda: b"null",
    "a text": lambda: b'"x"',
    "a number": lambda: b"1e999",
    "not a number": lambda: b'{"peft_type": NaN, "r": Infinity}',
    "cut off": lambda: b'{"peft_type": "LO',
    "trailing": lambda: b'{"peft_type": "LORA"} {}',
    "bom": lambda: b'\xef\xbb\xbf{"peft_type": "LORA"}',
    "utf-16": lambda: '{"peft_type": "LORA"}'.encode("utf-16"),
    "latin-1": lambda: b'{"peft_type": "LORA", "x": "\xe9"}',
    "overlong utf-8": lambda: b'{"peft_type": "\xc0\xaf"}',
    "utf-8 surrogate": lambda: b'{"peft_type": "LORA", "x": "\xed\xa0\x80"}',
    "escaped surrogate": lambda: b'{"peft_type": "LO\\ud800RA", "base_model_name_or_path": "\\udfff/x", "\\udc00": 1}',
    "escaped nul": lambda: b'{"peft_type": "LORA\\u0000", "base_model_name_or_path": "a\\u0000/b\\u0007\\u001b[31m"}',
    "line ends": lambda: b'{"peft_type": "LORA\\r\\n\\u2028x", "base_model_name_or_path": "a/b\\nc", "task_type": "A\\nB"}',
    "twice": lambda: b'{"peft_type": "LORA", "peft_type": "HIRA", "r": 1, "r": 2}',
    "deep list": lambda: b"[" * 1_000_000,
    "deep mapping": lambda: b'{"a":' * 500_000,
    "deep and closed": lambda: b'{"peft_type": "LORA", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep as allowed": lambda: b'{"peft_type": "LORA", "x": ' + b"[" * 900 + b"]" * 900 + b"}",
    "huge number": lambda: b'{"peft_type": "LORA", "r": ' + b"9" * 1_000_000 + b"}",
    "long number": lambda: b'{"peft_type": "LORA", "r": ' + b"9" * 4_000 + b', "lora_alpha": -' + b"8" * 4_000 + b"}",
    "huge exponent": lambda: b'{"peft_type": "LORA", "r": 1e308, "lora_alpha": 1e-400, "lora_dropout": 1e400}',
    "many lists": lambda: b'{"peft_type": "LORA", "x": [' + b"[]," * 5_000_000 + b"[]]}",
    "many keys": lambda: b'{"peft_type": "LORA"' + b"".join(b', "k%d": {}' % n for n in range(300_000)) + b"}",
    "many texts": lambda: b'{"peft_type": "LORA", "x": [' + b'"ab",' * 3_000_000 + b'"ab"]}',
    "many numbers": lambda: b'{"peft_type": "LORA", "x": [' + b"1e1," * 3_900_000 + b"1]}",
    "one long text": lambda: b'{"peft_type": "LORA", "base_model_name_or_path": "' + b"a" * 3 * MB + b'"}',
    "long text of other signs": lambda: b'{"peft_type": "LORA", "x": "' + "😀".encode() * 900_000 + b'"}',
    "100 MB of space": lambda: b" " * 100 * MB,
    "100 MB of text": lambda: b'{"peft_type": "' + b"a" * 100 * MB + b'"}',
    "100 MB of lists": lambda: b"[" + b"[]," * 33 * MB + b"[]]",
}  # fmt: skip
HEADERS: dict[str, Made] = {
    "nothing": lambda: b"",
    "seven bytes": lambda: b"\0" * 7,
    "length 0": lambda: struct.pack("<Q", 0),
    "length 2**64-1": lambda: struct.pack("<Q", 2**64 - 1) + b"{}",
    "length 2**63": lambda: struct.pack("<Q", 2**63) + b"{}",
    "length of the format": lambda: struct.pack("<Q", 100_000_000) + b"{" + b" " * 100_000_000,
    "length beyond": lambda: struct.pack("<Q", 100_000_001) + b"{" + b" " * 100_000_001,
    "16 MB of space": lambda: weights(b"{}" + b" " * 15_999_998),
    "16 MB of lists": lambda: weights(b"[" + b"[]," * 5_333_332 + b"[]]"),
    "1 M values": lambda: weights(b"[" + b"[]," * 499_000 + b"[]]"),
    "1 M texts": lambda: weights(b"[" + b",".join(b'"%d"' % n for n in range(990_000)) + b"]"),
    "1 M numbers": lambda: weights(b"[" + b",".join(b"%d.5" % n for n in range(990_000)) + b"]"),
    "500 k keys": lambda: weights(b"{" + b",".join(b'"%d":[]' % n for n in range(490_000)) + b"}"),
    "16 MB of text": lambda: weights(b'{"__metadata__": {"a": "' + b"a" * 15_999_000 + b'"}}'),
    "16 MB of other signs": lambda: weights(b'{"__metadata__": {"a": "' + "😀".encode() * 3_999_000 + b'"}}'),
    "4 MB of other signs": lambda: weights(b'{"__metadata__": {"a": "' + "😀".encode() * 999_000 + b'"}}'),
    "metadata of numbers": lambda: weights({"__metadata__": {"a": 1}}),
    "metadata of lists": lambda: weights({"__metadata__": [1]}),
    "94,000 tensors": lambda: weights(
        {f"base_model.model.layers.{n}.x.lora_A.weight": entry(n, n + 1) for n in range(94_000)}, bytes(94_000)
    ),
    "deep": lambda: weights(b'{"a":' * 100_000),
    "surrogate in a name": lambda: weights(b'{"\\ud800.lora_A.weight": {"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"1"),
    "line end in a name": lambda: weights({"a\n\x1b[31m\0.lora_A.weight": entry(1, 2)}, b"1"),
    "empty name": lambda: weights({"": entry(0, 1)}, b"1"),
    "only dots": lambda: weights({"...lora_A...": entry(0, 1), "..": entry(1, 2)}, b"12"),
    "long name": lambda: weights({"a." * 100_000 + "lora_A.weight": entry(0, 1)}, b"1"),
    "no tensors": lambda: weights({}),
    "no numbers in them": lambda: weights({"x.lora_A.weight": {"dtype": "F32", "shape": [0, 2**40], "data_offsets": [0, 0]}}),
    "heads of no rows": lambda: weights({"base_model.model.classifier.weight": {"dtype": "F32", "shape": [0, 0], "data_offsets": [0, 0]}}),
    "product overflows": lambda: weights({"a": {"dtype": "F64", "shape": [2**62, 4], "data_offsets": [0, 0]}}),
    "64 dimensions": lambda: weights({"a": entry(0, 1, shape=[1] * 62)}, b"1"),
    "begins with a space": lambda: weights(b" {}"),
    "twice": lambda: weights(b'{"a": {"dtype":"U8","shape":[0],"data_offsets":[0,0]}, "a": {"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    "pickle": lambda: b"\x80\x04\x95" + b"cos\nsystem\n(S'x'\ntR." * 100,
    "zip": lambda: b"PK\3\4" + b"\0" * 1000,
    "pointer": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12\n",
    "whole, 100 MB": lambda: weights({"x.lora_A.weight": entry(0, 100 * MB)}, bytes(100 * MB)),
}  # fmt: skip


def lora(**other: Any) -> Made:
    """A configuration with something odd in it."""
    return lambda: json.dumps(
        {"peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 8, **other}
    ).encode()


ODD = [None, True, -1, 0, 1e308, 10**30, "", "\n", "x" * 10_000, "{{ 1 }}", "<script>", "`|`", "---", [], {}, [None], [[1]], {"a": {"b": []}}, "\ud800"]  # fmt: skip
KEYS = ["peft_type", "base_model_name_or_path", "r", "lora_alpha", "lora_dropout", "target_modules", "modules_to_save",
        "task_type", "rank_pattern", "alpha_pattern", "bias", "layers_to_transform", "use_dora", "auto_mapping", "revision",
        "peft_version", "exclude_modules", "init_lora_weights", "loftq_config", "num_virtual_tokens"]  # fmt: skip
CONFIGS: dict[str, Made] = {
    f"{key} {at}": lora(**{key: value})
    for nth, key in enumerate(KEYS)
    for at, value in enumerate(ODD)
    if (at + nth) % 3 == 0
}


def record(**other: Any) -> Made:
    """A record with something odd in it."""
    return lambda: json.dumps({"schema_version": 1, **other}).encode()


RECORDS: dict[str, Made] = {
    **{
        f"{key} {at}": record(**{key: value})
        for nth, key in enumerate(
            ("schema_version", "repo_id", "task", "method", "base_model", "dataset", "training", "measures",
             "usage", "author", "author_files", "comparison", "written", "unknown")
        )
        for at, value in enumerate(ODD)
        if (at + nth) % 3 == 0
    },
    **{
        f"in {at}": record(
            repo_id="a/b", task="causal-lm", base_model={"id": value}, author={"description": value, "tags": [value]},
            written={"metadata": {"tags": value}, "regions": [value]},
        )
        for at, value in enumerate(ODD)
    },
    "newer": record(schema_version=10**9),
    "written deep": lambda: b'{"written": {"metadata": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}}",
    "written lists": lambda: b'{"written": {"metadata": {"a": [' + b"[]," * 400_000 + b"[]]}}}",
    "written texts": lambda: b'{"written": {"metadata": {"a": [' + b",".join(b'"%d"' % n for n in range(900_000)) + b"]}}}",
    "written 15 MB": lambda: b'{"written": {"metadata": {"a": "' + b"a" * 15 * MB + b'"}}}',
}  # fmt: skip


def card(front: str | bytes, body: str | bytes = "# A card\n") -> Made:
    """A card with this front matter."""

    def made() -> bytes:
        parts = [
            part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part for part in (front, body)
        ]
        return b"---\n" + parts[0] + b"\n---\n" + parts[1]

    return made


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
FRONTS: dict[str, str | bytes] = {
    "bomb": BOMB, "bomb in license": BOMB + "license: *i\ntags: *h",
    "circle": "a: &a [*a]\ntags: *a", "circle of keys": "&a ? *a : b", "merge of nothing": "<<: 1\nlicense: mit",
    "merge circle": "a: &a\n  <<: *a", "merge of lists": "<<: [[1]]", "no anchor": "license: *x",
    "deep flow": "a: " + "[" * 100_000, "deep closed": "a: " + "[" * 5_000 + "]" * 5_000,
    "deep block": "".join(" " * n + "a:\n" for n in range(1_000)), "deep list": "- " * 20_000,
    "date of no day": "license: 2024-99-99", "date of year 0": "license: 0000-00-00", "time": "license: 2024-01-01T99:99:99Z",
    "python": "license: !!python/object/apply:os.system [x]", "binary": "license: !!binary '#'", "set": "tags: !!set {a, b}",
    "omap": "tags: !!omap [a]", "pairs": "tags: !!pairs [a: b]", "int": "license: !!int x", "float": "license: !!float x",
    "bool": "license: !!bool x", "null": "license: !!null x", "unknown tag": "license: !foo bar", "timestamp": "a: !!timestamp x",
    "list as key": "? [1, 2]\n: 3", "mapping as key": "{{a: b}: c}", "null key": "? \n: 1\nlicense: mit", "true key": "yes: 1\n1: 2\n1.5: 3",
    "nul": "license: \0", "control": "license: \x07\x1b[31m", "tab": "\tlicense: mit", "tab in list": "tags:\n\t- a",
    "not utf-8": b"license: \xff\xfe", "bom": "\ufefflicense: mit", "surrogate": b"license: \xed\xa0\x80", "escaped surrogate": 'license: "\\ud800"',
    "escape": 'license: "\\x"', "separator": "license: mit\u2028x", "next line": "license: mit\x85x",
    "huge number": "license: " + "9" * 100_000, "sexagesimal": "a: " + "1:" * 5_000 + "1", "infinite": "a: .inf\nb: .nan\nmodel-index: .nan",
    "exponent": "a: 1e400\nb: -1e999", "octal": "a: 0o7\nb: 0777777777777777777777777", "hex": "a: 0x" + "f" * 5_000, "binary number": "a: 0b" + "1" * 9_000,
    "version": "%YAML 9.9\n---\na: b", "two documents": "a: b\n...\nc: d", "only anchors": "&a &b c", "percent": "%x", "at": "@x", "backquote": "`x`",
    "a list": "- a\n- b", "a text": "x", "empty": "", "a number": "1", "question": "? ? ? ? ? a",
    "many keys": "\n".join(f"k{n}: v" for n in range(48_000)), "many tags": "tags: [" + ",".join(["a"] * 95_000) + "]",
    "too many tags": "tags: [" + ",".join(["a"] * 400_000) + "]", "twice": "license: mit\nlicense: apache-2.0\ntags: [a]\ntags: [b]",
    "long key": "a" * 900_000 + ": b", "long text": "license: " + "a" * 900_000, "folded": "license: >\n" + "  a\n" * 200_000,
    "quotes": "license: '" + "''" * 400_000, "double quotes": 'license: "' + "\\" * 900_000, "comments": "#" * 900_000, "colons": ":" * 900_000, "dashes": "-" * 900_000,
    "braces": "{" * 900_000, "spaces": "a:" + " " * 900_000 + "b", "line ends": "\n" * 900_000, "carriage returns": "license: mit\rtags: [a]\r",
    "index of texts": "model-index: x", "index of lists": "model-index: [[]]", "index of nothing": "model-index:\n- name: x\n  results: [{}]",
    "index of null": "model-index:\n- null", "index deep": "model-index:\n- name: x\n  results:\n  - task: {type: [1]}\n    dataset: 3\n    metrics: [{type: x, value: .nan}]",
    "base of lists": "base_model: [[a]]", "base of mappings": "base_model: {a: b}", "language of all": "language: [no, yes, null, 1, [a]]", "datasets": "datasets: [null, 1, {a: b}]",
    "widget": "widget: [[[]]]", "tags of all": "tags: [1, null, {a: b}, [c], 2024-01-01]", "license of list": "license: [mit, [x]]", "eval results": "eval_results: 3",
}  # fmt: skip
MARKERS = "<!-- hubkit:begin usage -->\n"
BODIES: dict[str, str | bytes] = {
    "not utf-8": b"\xff\xfe\xfa" * 1_000, "nul": "\0" * 1_000, "utf-16": "# x\n".encode("utf-16"), "surrogates": b"\xed\xa0\x80" * 100,
    "no end": "---\n", "fences": "```\n" * 100_000, "fence": "`" * 900_000, "tildes": "~~~\n" * 200_000, "brackets": "[" * 900_000, "closed": "[](" * 300_000, "links": "[a](b)" * 150_000,
    "images": "![" * 450_000, "stars": "*" * 900_000, "underscores": "_a" * 450_000, "emphasis": "*a_" * 300_000, "quotes": ">" * 900_000, "lists": "- " * 450_000, "numbers": "1. " * 300_000,
    "headings": "#" * 900_000, "many headings": "# a\n" * 200_000, "setext": "a\n=\n" * 200_000, "pipes": "|" * 900_000, "table": "|" + "a|" * 100_000 + "\n|" + "-|" * 100_000 + "\n|" + "1|" * 100_000,
    "rows": "|a|b|\n|-|-|\n" + "|1|2|\n" * 100_000, "comment": "<!--" * 200_000, "comments": "<!---->" * 120_000, "tags": "<" * 900_000, "open tags": "<a " * 300_000, "divs": "<div>" * 180_000, "entities": "&" * 900_000,
    "entity": "&#x" * 300_000, "backslashes": "\\" * 900_000, "spaces": " " * 900_000, "tabs": "\t" * 900_000, "indented": "    a\n" * 150_000, "returns": "\r" * 900_000, "separators": "\u2028" * 300_000,
    "markers": MARKERS * 30_000, "ends": "<!-- hubkit:end usage sha256=0123456789abcdef -->\n" * 15_000, "nested": (MARKERS + "<!-- hubkit:begin data -->\n") * 15_000, "cards": "<!-- hubkit:card sha256=00 -->\n" * 20_000,
    "ignores": "<!-- hubkit:ignore-file HK311 -->\n" * 20_000, "addresses": "https://a.b/" * 70_000, "numbers of all": "perplexity 1.2 " * 60_000, "long number": "Perplexity: " + "9" * 900_000, "dots": "." * 900_000, "minus": "- a: -" * 150_000,
    "footnotes": "[^a]: b\n" * 100_000, "references": "[a]: b\n" * 100_000, "code": "```python\n" + "x = [" * 150_000, "code of depth": "```python\n" + "(" * 5_000 + ")" * 5_000 + "\n```\n", "code of nul": "```python\n\0\n```\n",
    "code of minus": "```python\nx = " + "-" * 100_000 + "1\n```\n", "code of strings": "```python\nx = '" + "a" * 800_000 + "'\n```\n", "code of calls": "```python\n" + "f(" * 900 + ")" * 900 + "\n```\n", "code of attributes": "```python\nx" + ".a" * 50_000 + "\n```\n",
    "2 MB": "a" * 2 * MB,
}  # fmt: skip
BARE: dict[str, Made] = {
    "empty": lambda: b"", "only an end": lambda: b"---", "never closed": lambda: b"---\na: b\n", "100 MB": lambda: b"a" * 100 * MB,
    "boms": lambda: b"\xef\xbb\xbf" * 1_000 + b"---\na: b\n---\n", "utf-32": lambda: "---\na: b\n---\n".encode("utf-32"),
}  # fmt: skip


def corpus() -> Iterator[tuple[str, str, Made]]:
    """All of them: a name, the file that each stands in for, and how its bytes are made."""
    for file in (CONFIG, RECORD, TOKENIZER):
        yield from ((f"{file}: {name}", file, made) for name, made in JSON.items())
    yield from ((f"{WEIGHTS}: {name}", WEIGHTS, made) for name, made in HEADERS.items())
    yield from ((f"{CONFIG}: {name}", CONFIG, made) for name, made in CONFIGS.items())
    yield from ((f"{RECORD}: {name}", RECORD, made) for name, made in RECORDS.items())
    yield from ((f"{CARD}: front {name}", CARD, card(front)) for name, front in FRONTS.items())
    yield from ((f"{CARD}: body {name}", CARD, card("license: mit", body)) for name, body in BODIES.items())
    yield from ((f"{CARD}: {name}", CARD, made) for name, made in BARE.items())


class Stuck(BaseException):
    """It took longer than any file should."""


def _stuck(*_: object) -> None:
    raise Stuck


def commands(directory: Path) -> list[list[str]]:
    """What is run on a directory with such a file in it."""
    return [
        ["audit", str(directory)],
        ["card", "--adapter", str(directory), "--diff"],
        ["publish", "--adapter", str(directory)],  # what of it needs no Hub
    ]


def _checked(directory: Path) -> int:
    """What `publish` does before it asks a Hub, which is where files are read."""
    from hubkit.errors import HubkitError
    from hubkit.publishing import checks

    try:
        checks.read(directory)
    except HubkitError as error:
        print(f"hubkit: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def fault_of(arguments: list[str]) -> str | None:
    """What a command did that it must not."""
    from hubkit.cli.main import run

    out, err = (
        io.TextIOWrapper(io.BytesIO(), "utf-8"),
        io.TextIOWrapper(io.BytesIO(), "utf-8"),
    )  # strict, as a file is
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS if signal.getsignal(signal.SIGPROF) is _stuck else 0)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _checked(Path(arguments[2])) if arguments[0] == "publish" else run(arguments)
            out.flush()
    except Stuck:
        return "stuck at " + " < ".join(frame.name for frame in traceback.extract_tb(sys.exc_info()[2])[-6:])
    except BaseException as error:
        return f"raised {type(error).__name__}: {error}"[:300] + "".join(traceback.format_exc()[-600:])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    err.flush()
    said = err.buffer.getvalue().decode()  # type: ignore[attr-defined]
    if "fault of hubkit" in said or "Traceback" in said:
        return said[-400:]
    if code not in (0, 1, 2):
        return f"exit code {code}"
    if code == 2 and (said.count("\n") != 1 or len(said) > 3_000):
        return f"{said.count(chr(10))} lines, {len(said)} characters: {said[:300]}"
    return None


def main(place: Path, wanted: list[str]) -> None:
    """Run all, or those whose names begin so, and print what came of it."""
    signal.signal(signal.SIGPROF, _stuck)
    sane = fake_adapter.write(place / "sane")
    for arguments in commands(sane):  # imports what there is to import
        assert fault_of(arguments) is None, fault_of(arguments)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak, faults, count = before, {}, 0
    grew: dict[str, int] = {}
    slow: dict[str, float] = {}
    for name, file, made in corpus():
        if wanted and not name.startswith(tuple(wanted)):
            continue
        directory, begun = place / "nasty", time.process_time()
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(sane, directory)
        _write(directory / file, made)
        for arguments in commands(directory):
            if fault := fault_of(arguments):
                print(name, arguments[0], fault[:300], file=sys.stderr, flush=True)
                faults[f"{name} -> {arguments[0]}"] = fault
        count += 1
        if (spent := time.process_time() - begun) > 2:
            slow[name] = round(spent, 1)
        now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if now > peak:
            peak, grew[name] = now, (now - before) // 1024
    print(
        json.dumps(
            {
                "files": count,
                "faults": faults,
                "megabytes": (peak - before) // 1024,
                "grew": grew,
                "slow": slow,
            }
        )
    )


def _write(path: Path, made: Made) -> None:
    """Make the bytes in a process of their own: what that takes is not hubkit's."""
    import os

    child = os.fork()
    if child == 0:
        try:
            path.write_bytes(made())
            os._exit(0)
        except BaseException:
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"cannot make {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
