"""`hubkit card` on a README.md that is somebody's: adopted, edited, cut, and its front matter heeded."""

from __future__ import annotations

import io
import json
import re
import time
from pathlib import Path

import pytest
from card_cases import CASES

from hubkit import record as records
from hubkit.cli.main import run

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return CASES["causal-lora"](tmp_path / "adapter")


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    return CASES["foreign"](tmp_path / "foreign")


def card(*arguments: object) -> int:
    return run(["card", "--adapter", *map(str, arguments)])


def text_of(directory: Path) -> str:
    return (directory / "README.md").read_bytes().decode()


def put(directory: Path, text: str) -> None:
    (directory / "README.md").write_bytes(text.encode())


def test_somebodys_card_is_adopted(adapter: Path, capsys: Captured) -> None:
    put(adapter, "# Mine\n\nMy words.\n\n## License\n\nAsk me.\n")
    assert card(adapter) == 0
    said = capsys.readouterr().err
    assert "+<!-- hubkit:begin about -->\n" in said
    assert said.index("@@") < said.index("Wrote ")
    text = text_of(adapter)
    assert "\n# Mine\n\nMy words.\n\n<!-- hubkit:begin about -->\n" in text
    assert "\n## License\n\nAsk me.\n\n<!-- hubkit:begin footer -->\n" in text
    assert (len(re.findall("^# Mine|^# Smol", text, re.MULTILINE)), text.count("## License")) == (1, 1)
    assert (adapter / "README.md.orig").read_text() == "# Mine\n\nMy words.\n\n## License\n\nAsk me.\n"
    assert card(adapter) == 0
    assert "@@" not in capsys.readouterr().err
    assert text_of(adapter) == text
    assert not (adapter / "README.md.orig.1").exists()
    assert card(adapter, "--check") == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_form_that_the_author_filled_in_is_not_said_again(foreign: Path, capsys: Captured) -> None:
    sections = ("Direct Use", "Out-of-Scope Use", "Citation [optional]", "Model Card Authors [optional]")
    put(foreign, "# Mine\n\n" + "".join(f"## {title}\n\nMy words.\n\n" for title in sections))
    assert card(foreign, "--json") == 0
    text = text_of(foreign)
    assert "<!-- hubkit:begin about -->" in text
    assert "<!-- hubkit:begin citation -->" not in text
    lacking = {one["what"] for one in json.loads(capsys.readouterr().out)["missing"]}
    assert not lacking & {"intended use", "out-of-scope use", "authors", "contact"}
    put(foreign, "# Mine\n")
    assert card(foreign, "--json") == 0
    assert "<!-- hubkit:begin citation -->" in text_of(foreign)
    lacking = {one["what"] for one in json.loads(capsys.readouterr().out)["missing"]}
    assert {"intended use", "out-of-scope use"} <= lacking


TRL = """\
---
licence: license
tags: [trl]
---

# Model Card for None

This model is a fine-tuned version of [None](https://huggingface.co/None).
It has been trained using TRL.

## Quick start

```python
generator = pipeline("text-generation", model="None", device_map="auto")
```

## Training procedure

This model was trained with SFT.
"""


def test_what_trl_did_not_know_goes(foreign: Path) -> None:
    put(foreign, TRL)
    assert card(foreign, "--base-model", "google-bert/bert-base-uncased", "--yes") == 0
    text = text_of(foreign)
    assert not re.search(r"None\b(?!`)|licence|Quick start", text)
    assert "\nIt has been trained using TRL.\n" in text
    assert "\n## Training procedure\n\nThis model was trained with SFT.\n" in text
    assert re.search(r"^# bert-base-uncased, .*adapter$", text, re.MULTILINE)
    assert card(foreign, "--check") == 0


def test_a_library_that_loads_adapters_stays_and_is_no_finding(foreign: Path, capsys: Captured) -> None:
    put(foreign, "---\nlibrary_name: sentence-transformers\n---\n\n# Mine\n")
    assert card(foreign, "--yes") == 0
    assert "\nlibrary_name: sentence-transformers\n" in text_of(foreign)
    capsys.readouterr()
    assert run(["audit", str(foreign), "--select", "HK131"]) == 0
    assert "Nothing found" in capsys.readouterr().err


@pytest.mark.parametrize(("heading", "region"), [("许可证", "license"), ("한계", "limitations")])
def test_a_section_is_known_in_the_authors_language(heading: str, region: str, adapter: Path) -> None:
    assert card(adapter) == 0
    assert f"begin {region} " in text_of(adapter)
    put(adapter, f"# 标题\n\n## {heading}\n\n文字。\n")
    assert card(adapter, "--yes") == 0
    assert f"begin {region} " not in text_of(adapter)


def test_a_snippet_of_the_authors_stays(foreign: Path) -> None:
    body = '## Quick start\n\n```python\ngenerator = pipeline("text-generation", model="a/b")\n```\n'
    put(foreign, body)
    assert card(foreign, "--yes") == 0
    assert body in text_of(foreign)


def test_front_matter_that_is_gone_comes_back(adapter: Path) -> None:
    assert card(adapter) == 0
    written = text_of(adapter)
    body = written.split("\n---\n", 1)[1]
    put(adapter, body)
    assert card(adapter, "--check") == 1
    assert card(adapter) == 0
    assert text_of(adapter) == written


def test_on_a_terminal_adopting_is_asked_for(
    adapter: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    put(adapter, "# Mine\n")
    record = (adapter / "hubkit.json").read_bytes()
    monkeypatch.setattr("hubkit.cli.common.watched", lambda: True)
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert card(adapter) == 2
    assert f"hubkit: {adapter}/README.md stays as it was; nothing was written" in capsys.readouterr().err
    assert text_of(adapter) == "# Mine\n"
    assert (adapter / "hubkit.json").read_bytes() == record
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert card(adapter) == 0
    assert "# Mine\n\n<!-- hubkit:begin about" in text_of(adapter)
    put(adapter, "# Mine\n")
    monkeypatch.setattr("sys.stdin", Terminal(""))
    assert card(adapter, "--yes") == 0
    assert "# Mine\n\n<!-- hubkit:begin about" in text_of(adapter)


def test_an_edit_inside_the_markers_is_found_and_shown(adapter: Path, capsys: Captured) -> None:
    assert card(adapter) == 0
    written = text_of(adapter)
    edited = written.replace("## Limitations\n", "## Limits\n")
    assert edited != written
    put(adapter, edited)
    capsys.readouterr()
    for way in ([], ["--stdout"], ["--diff"]):
        assert card(adapter, *way) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "\n-## Limitations\n+## Limits\n" in said.err
        assert 'region "limitations" was edited by hand. Next: --keep keeps' in said.err
        assert text_of(adapter) == edited
    assert card(adapter, "--check") == 1
    assert "--keep" in capsys.readouterr().err
    assert card(adapter, "--keep", "usage") == 2
    capsys.readouterr()
    assert card(adapter, "--keep", "limits") == 2
    assert (
        'there is no region "limits" in README.md. Next: its regions: title, about,'
        in capsys.readouterr().err
    )
    assert card(adapter, "--keep", "limitations") == 0
    kept = text_of(adapter)
    assert re.search("## Limits\n.*<!-- hubkit:end limitations sha256=[0-9a-f]{16} kept -->", kept, re.DOTALL)
    capsys.readouterr()
    assert card(adapter) == 0
    assert capsys.readouterr().err.count("kept as you wrote it: limitations") == 1
    assert card(adapter, "--check") == 0
    put(adapter, kept.replace("## Limits", "## My limits"))
    assert card(adapter) == 0  # what is kept is the author's, and may be edited on
    assert card(adapter, "--force") == 0
    assert text_of(adapter) == written
    assert "## My limits" in (adapter / "README.md.orig").read_text(encoding="utf-8")
    put(adapter, edited)
    assert card(adapter, "--keep") == 0
    assert text_of(adapter) == kept


def without(text: str, name: str) -> str:
    return re.sub(f"<!-- hubkit:begin {name} .*?hubkit:end {name} [^\n]*\n\n", "", text, flags=re.DOTALL)


def test_a_region_that_was_taken_out_stays_out(adapter: Path, capsys: Captured) -> None:
    assert card(adapter) == 0
    cut = without(text_of(adapter), "citation")
    assert cut != text_of(adapter)
    put(adapter, cut)
    capsys.readouterr()
    assert card(adapter, "--title", "Other") == 0
    assert "taken out by you: citation; --restore brings it back" in capsys.readouterr().err
    assert "citation" not in text_of(adapter)
    assert card(adapter, "--check") == 0
    assert card(adapter, "--restore") == 0
    assert "hubkit:begin citation" in text_of(adapter)
    assert without(text_of(adapter), "citation") == cut.replace(
        "# SmolLM2-135M-Instruct, LoRA adapter", "# Other"
    ).replace(digest_of(cut, "title"), digest_of(text_of(adapter), "title"))
    assert card(adapter, "--check") == 0


def digest_of(text: str, name: str) -> str:
    found = re.search(f"hubkit:end {name} sha256=([0-9a-f]+)", text)
    assert found
    return found[1]


def test_what_the_front_matter_says_is_the_authors_word(foreign: Path, capsys: Captured) -> None:
    assert card(foreign) == 0
    head, _, body = text_of(foreign).partition("tags:\n")
    put(foreign, f"{head}license: mit  # asked them\nlanguage: no\ntags:\n- mine\n{body}")
    capsys.readouterr()
    assert card(foreign, "--json") == 0
    missing = [entry["what"] for entry in json.loads(capsys.readouterr().out)["missing"]]
    assert not {"license", "language of the text"} & set(missing)
    assert "license: mit  # asked them\nlanguage: no\ntags:\n- mine\n" in text_of(foreign)
    assert "The adapter is licensed under `mit`." in text_of(foreign)
    assert records.read(foreign).author.license is None
    assert card(foreign, "--check") == 0
    assert card(foreign, "--license", "apache-2.0") == 0
    assert "license: apache-2.0  # asked them\n" in text_of(foreign)
    assert "The adapter is licensed under `apache-2.0`." in text_of(foreign)
    assert card(foreign, "--check") == 0
    assert "license: apache-2.0  # asked them\nlanguage: no\ntags:\n- mine\n" in text_of(foreign)


@pytest.mark.parametrize(
    ("front", "why"),
    [
        ("tags: [a", "line 3: the front matter is not YAML"),
        ("a: 1\na: 2", 'line 3: the front matter has "a" twice'),
        ("license: nonsense", "line 2: the Hub would refuse this card"),
        ("- a", "line 2: the front matter is no mapping"),
        ("a:\n\tb: 1", "line 3: the front matter is not YAML"),
        ("x: &tags\n- a\ntags: *tags", "line 4: hubkit cannot edit"),
        ("<<: {tags: a}", "line 2: the front matter has a merge key"),
    ],
)
def test_front_matter_that_cannot_be_edited_is_one_line(
    front: str, why: str, adapter: Path, capsys: Captured
) -> None:
    record = (adapter / "hubkit.json").read_bytes()
    text = f"---\n{front}\n---\n# Mine\n"
    put(adapter, text)
    assert card(adapter) == 2
    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1
    assert text_of(adapter) == text
    assert (adapter / "hubkit.json").read_bytes() == record


def test_json_for_what_is_only_shown(adapter: Path, capsys: Captured) -> None:
    assert card(adapter, "--check", "--diff", "--json") == 1
    shown = json.loads(capsys.readouterr().out)
    assert (shown["up_to_date"], shown["edited"]) == (False, [])
    assert "+<!-- hubkit:begin title -->\n" in shown["diff"]
    assert card(adapter, "--stdout", "--json") == 0
    assert json.loads(capsys.readouterr().out)["card"].startswith("---\n")
    assert not (adapter / "README.md").exists()


def test_bytes_that_are_no_text_stay_and_are_printed(
    adapter: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (adapter / "README.md").write_bytes(b"# Mine\r\n\r\nCaf\xe9.\r\n")
    assert card(adapter, "--stdout") == 0
    shown = capfdbinary.readouterr().out
    assert b"# Mine\r\n\r\nCaf\xe9.\r\n\r\n<!-- hubkit:begin about -->\r\n" in shown
    assert card(adapter) == 0
    assert (adapter / "README.md").read_bytes() == shown
    assert b"\n" not in shown.replace(b"\r\n", b"")
    assert card(adapter, "--check") == 0


def test_an_edit_outside_the_markers_is_no_finding(adapter: Path) -> None:
    assert card(adapter) == 0
    put(
        adapter,
        text_of(adapter).replace("<!-- hubkit:begin usage", "My words.\n\n<!-- hubkit:begin usage") + "P.S.",
    )
    before = text_of(adapter)
    record = (adapter / "hubkit.json").read_bytes()
    assert card(adapter, "--check") == 0
    assert card(adapter) == 0
    assert text_of(adapter) == before
    assert (adapter / "hubkit.json").read_bytes() == record
    assert card(adapter, "--title", "Other") == 0
    assert "My words.\n\n<!-- hubkit:begin usage" in text_of(adapter)
    assert text_of(adapter).endswith("P.S.")


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("<!-- hubkit:", "  <!-- hubkit:"),  # all of it was put into a list, or formatted
        ("<!-- hubkit:", "> <!-- hubkit:"),
        (" citation", "  citation"),
        ("<!-- hubkit:card", "- <!-- hubkit:card"),
    ],
)
def test_a_damaged_marker_is_one_line(was: str, now: str, adapter: Path, capsys: Captured) -> None:
    assert card(adapter) == 0
    text = text_of(adapter).replace(was, now)
    put(adapter, text)
    for way in ([], ["--force"], ["--check"], ["--stdout"]):
        capsys.readouterr()
        assert card(adapter, *way) == 2
        said = capsys.readouterr()
        number = int(re.findall(r"hubkit's markers are broken in line (\d+): ", said.err)[0])
        assert "<!-- hubkit:" in text.split("\n")[number - 1]
        assert (said.out, said.err.count("\n")) == ("", 1)
    assert text_of(adapter) == text


def test_a_marker_in_a_fence_or_a_sentence_is_text(adapter: Path) -> None:
    line = "<!-- hubkit:end usage sha256=0123456789abcdef -->"
    text = f"# Mine\n\nThe line `{line}` ends it:\n\n```\n  {line}\n```\n"
    put(adapter, text)
    assert card(adapter) == 0
    assert text.partition("\n")[2] in text_of(adapter)


def test_an_edit_made_while_hubkit_asks_is_not_lost(
    adapter: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    put(adapter, "# Mine\n")
    record = (adapter / "hubkit.json").read_bytes()

    class Editing(Terminal):
        def readline(self, *limit: int) -> str:  # type: ignore[override]
            put(adapter, "# Mine, and more\n")
            return super().readline(*limit)

    monkeypatch.setattr("hubkit.cli.common.watched", lambda: True)
    monkeypatch.setattr("sys.stdin", Editing("y\n"))
    assert card(adapter) == 2
    assert (
        "README.md changed while this card was made. Next: run the command again" in capsys.readouterr().err
    )
    assert text_of(adapter) == "# Mine, and more\n"
    assert not (adapter / "README.md.orig").exists()
    assert (adapter / "hubkit.json").read_bytes() == record


def test_utf_16_is_one_line(adapter: Path, capsys: Captured) -> None:
    content = "# Mine\r\n".encode("utf-16")
    (adapter / "README.md").write_bytes(content)
    assert card(adapter) == 2
    assert "is UTF-16 text. Next: save it as UTF-8" in capsys.readouterr().err
    assert (adapter / "README.md").read_bytes() == content


def test_many_fences_that_nothing_closes_take_no_time(adapter: Path) -> None:
    text = "# Mine\n\n" + "```python\n" * 20_000
    put(adapter, text)
    started = time.monotonic()
    assert card(adapter, "--quiet", "--stdout") == 0
    assert time.monotonic() - started < 10  # it took two minutes


def test_a_tag_that_pefts_card_had_and_the_author_deleted_stays_deleted(foreign: Path) -> None:
    put(
        foreign,
        "---\nlibrary_name: peft\ntags:\n- lora\n- mine\n- transformers\n---\n\n# Mine\n\nMy words.\n",
    )
    assert card(foreign, "-q") == 0
    assert "- transformers\n" in text_of(foreign)
    put(foreign, text_of(foreign).replace("- transformers\n", ""))
    assert card(foreign, "-q") == 0
    assert card(foreign, "-q", "--language", "en") == 0
    assert "- transformers\n" not in text_of(foreign)
    assert "- mine\n" in text_of(foreign)
    assert card(foreign, "-q", "--check") == 0


@pytest.mark.parametrize(
    ("tag", "stays"), [("fill-mask", False), ("image-text-to-text", True), ("translation", True)]
)
def test_a_task_that_the_adapter_cannot_have_gives_way(
    tag: str, stays: bool, adapter: Path, capsys: Captured
) -> None:
    known = records.read(adapter)
    known.training, known.measures = None, records.Measures()
    records.write(adapter, known)
    put(adapter, f"---\npipeline_tag: {tag}\n---\n\n# Mine\n\nMy words.\n")
    assert card(adapter) == 0
    said = capsys.readouterr().err
    assert (f"pipeline_tag: {tag}\n" in text_of(adapter)) == stays
    assert ("as the adapter says, in place of fill-mask" in said) != stays
    run(["audit", str(adapter), "--select", "HK134"])
    assert "HK134" not in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--check", "--diff", "--stdout"])
def test_numbers_of_other_weights_do_not_go_without_a_word(
    flag: str, adapter: Path, capsys: Captured
) -> None:
    assert card(adapter, "-q") == 0
    path = adapter / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    card(adapter, flag)
    said = capsys.readouterr().err
    assert "Left out, of other weights or another configuration than these: parameters, " in said
    assert f"Next: hubkit measure --adapter {adapter}" in said
    card(adapter, flag, "-q")
    assert "Left out" not in capsys.readouterr().err


def test_a_base_by_its_path_is_mended_by_an_option(foreign: Path, capsys: Captured) -> None:
    config = json.loads((foreign / "adapter_config.json").read_text())
    (foreign / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "/data/b"}))
    put(foreign, "---\nbase_model: /data/b\n---\n\n# Mine\n\nMy words.\n")
    assert card(foreign) == 2
    said = capsys.readouterr().err
    assert "line 2: the Hub would refuse this card" in said
    assert "Next: mend that line, or say --base-model OWNER/NAME\n" in said
    assert card(foreign, "--base-model", "org/base") == 0
    assert "base_model: org/base\n" in text_of(foreign)
