"""The card's own Python is run: under the real ids, in a clean process, and nothing of it stays behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tiny
from card_cases import LORA_CONFIG, lora_tensors, write_adapter
from huggingface_hub import constants

from hubkit import files, hub, localhub, pipeline, record, stages
from hubkit.card import snippets
from hubkit.cli.main import run as hubkit
from hubkit.errors import BaseModelError, MissingExtra, SnippetError
from hubkit.publishing import PushOptions
from hubkit.record import BaseModel, Record
from hubkit.verify import base_files, process, usage
from hubkit.verify.usage import Options

BASE_ID = str(LORA_CONFIG["base_model_name_or_path"])
SECRETS = {"HF_TOKEN": "hf_secret", "AWS_SECRET_ACCESS_KEY": "secret", "MY_PASSWORD": "secret"}


@pytest.fixture(autouse=True)
def own_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Temporary files of a test lie below its folder, and there are none of them left when it ends."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    yield
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A directory that looks like a base model's."""
    place = tmp_path / "some base"
    place.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (place / name).write_text('{"model_type": "llama"}')
    (place / "model.safetensors").write_bytes(b"weights")
    return place


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An adapter's directory with a record."""
    place = write_adapter(
        tmp_path / "an adapter", LORA_CONFIG, lora_tensors("model.layers", 1, ["q_proj", "v_proj"], 8, 2)
    )
    record.write(
        place, Record(repo_id="user/some-adapter", task="causal-lm", base_model=BaseModel(id=BASE_ID))
    )
    return place


def show(directory: Path, *codes: str) -> None:
    """A written card that shows this code, a block each."""
    blocks = "\n".join(f"```python\n{textwrap.dedent(code).strip()}\n```\n" for code in codes)
    card = f"# A card\n\n<!-- hubkit:begin usage -->\n\n{blocks}\n<!-- hubkit:end usage -->\n"
    (directory / "README.md").write_text(card)


def ran(directory: Path, base: Path, *codes: str, **options: Any) -> record.UsageRun:
    show(directory, *codes)
    return usage.verify(
        directory, localhub.start, Options(base_path=base, **{"time_limit": 60.0, **options}), tiny.quiet
    )


def is_running(pid: int) -> bool:
    """Whether a process lives; one that has ended and that nobody asked for is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


def test_blocks_are_one_program_and_its_output_is_recorded(directory: Path, base: Path) -> None:
    found = ran(directory, base, "import sys\nx = 20", "print(x + 1, __name__)\nprint('no', file=sys.stderr)")
    assert found.output == "21 __main__"
    assert found.snippet_sha256 == snippets.sha256(
        snippets.python_blocks((directory / "README.md").read_text())
    )
    assert found.environment.python == ".".join(map(str, sys.version_info[:3]))
    assert found.environment.libraries == {}  # none was used
    assert found.base_weights_sha256 == files.sha256_of([base / "model.safetensors"])
    assert ran(directory, base, "print(input if False else 1)").output == "1"
    assert ran(directory, base, "pass").output is None


def test_the_ids_of_the_card_lead_to_the_files_here(directory: Path, base: Path) -> None:
    (directory / "training_args.bin").write_bytes(b"not published")
    found = ran(
        directory,
        base,
        f"""
        from huggingface_hub import HfApi, hf_hub_download
        for name in ("{BASE_ID}", "user/some-adapter"):
            print(sorted(file.rfilename for file in HfApi().model_info(name).siblings))
        print(open(hf_hub_download("user/some-adapter", "adapter_config.json")).read())
        print(open(hf_hub_download("{BASE_ID}", "model.safetensors")).read())
        """,
    )
    assert found.output is not None
    listed, published, config, weights = found.output.split("\n")
    assert listed == str(["config.json", "model.safetensors", "tokenizer.json"])
    assert published == str(
        sorted(path.name for path in directory.iterdir() if path.name in files.ADAPTER_FILES)
    )
    assert json.loads(config) == LORA_CONFIG
    assert weights == "weights"
    assert set(found.environment.libraries) == {"huggingface_hub"}


def test_without_a_repo_the_directory_is_there_under_its_name(directory: Path, base: Path) -> None:
    record.write(directory, Record(task="causal-lm"))
    found = ran(directory, base, "import os\nprint(os.listdir(), sorted(os.listdir('an adapter'))[0])")
    assert found.output == "['an adapter'] adapter_config.json"


def test_no_secret_and_no_place_of_the_users_reaches_the_code(
    directory: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**SECRETS, "PYTHONPATH": "relative", "http_proxy": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(name, value)
    (Path(os.environ["HF_HOME"]) / "token").write_text("hf_secret_of_the_user")
    found = ran(
        directory,
        base,
        """
        import json, os, sys
        from huggingface_hub import get_token
        print(json.dumps([dict(os.environ), get_token(), sys.path, os.path.expanduser("~"), os.getcwd()]))
        """,
    )
    (Path(os.environ["HF_HOME"]) / "token").unlink()
    assert found.output is not None
    printed = found.output
    assert "secret" not in printed
    assert "relative" not in printed
    assert str(directory.parent) not in printed
    assert str(Path.home()) not in printed.replace(os.environ["PATH"], "")


def test_the_environment_is_a_list_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    given = process.environment(tmp_path / "e", "http://127.0.0.1:1", threads=3)
    own = {name for name in given if name not in process.PASSED}
    assert own - {"PYTHONPATH", "PYTHONUSERBASE"} == {
        "HOME", "TMPDIR", "HF_HOME", "HF_ENDPOINT", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_XET",
        "HF_HUB_DISABLE_PROGRESS_BARS", "TOKENIZERS_PARALLELISM", "PYTHONHASHSEED", "PYTHONUTF8", "NO_COLOR",
    }  # fmt: skip
    assert given["OMP_NUM_THREADS"] == "3"
    assert all(Path(given[name]).is_relative_to(tmp_path) for name in ("HOME", "TMPDIR", "HF_HOME"))


@pytest.mark.real
@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (
            ["x = 1", "a = 0\n\nx / a"],
            r"fails in block 2 of 2, line 12: ZeroDivisionError: division by zero \(",
        ),
        (
            ["def f():\n    raise OSError('no:\\n  file\\nmore')\n\nf()"],
            r"block 1 of 1, line 7: OSError: no: file \(",
        ),
        (["x = 1", "x = = 2"], "block 2 of 2, line 10: SyntaxError: invalid syntax"),
        (["import no_such_module"], "line 6: ModuleNotFoundError: No module named 'no_such_module'"),
        (["exit()", "print(1)"], "line 6: it ended the program .* before the card's code was done"),
        (["import os\nos._exit(0)"], "ended before it was done: exit code 0"),
        (
            ["import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"],
            "ended before it was done: exit code -9",
        ),
        (
            ["raise RuntimeError('\\x1b[31m' + __import__('os').environ['HOME'])"],
            r"RuntimeError: \.\.\./home \(",
        ),
    ],
)
def test_a_failure_is_one_line_that_says_where(
    codes: list[str], said: str, directory: Path, base: Path
) -> None:
    with pytest.raises(SnippetError, match=said) as caught:
        ran(directory, base, *codes)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    log = directory / usage.LOG_NAME
    assert str(log) in caught.value.message
    if "Error" in said and "Syntax" not in said:
        assert 'File "README.md", line' in log.read_text()
        assert "child.py" not in log.read_text()
    ran(directory, base, "pass")
    assert not log.exists()


def test_an_adapter_that_peft_only_warns_of_fails(directory: Path, base: Path) -> None:
    code = """
    import warnings
    warnings.warn("Found missing adapter keys while loading the checkpoint: ['x']")
    """
    with pytest.raises(SnippetError, match="has no weights for some modules of the base"):
        ran(directory, base, code)


SLEEP = """
    import os, subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open("{pids}", "w") as file:
        file.write(f"{{os.getpid()}} {{child.pid}}")
    print("begun", flush=True)
"""


def pids(path: Path) -> list[int]:
    return [int(part) for part in path.read_text().split()]


@pytest.mark.real
def test_the_time_limit_ends_all_of_it(directory: Path, base: Path, tmp_path: Path) -> None:
    code = SLEEP.format(pids=tmp_path / "pids") + "    time.sleep(600)"
    with pytest.raises(SnippetError, match="did not end within 3 seconds"):
        ran(directory, base, code, time_limit=3)
    assert [ends(pid) for pid in pids(tmp_path / "pids")] == [True, True]


def test_what_the_code_let_loose_is_ended_with_it(directory: Path, base: Path, tmp_path: Path) -> None:
    assert ran(directory, base, SLEEP.format(pids=tmp_path / "pids")).output == "begun"
    assert [ends(pid) for pid in pids(tmp_path / "pids")] == [True, True]


def test_an_interrupt_ends_all_of_it(
    directory: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = subprocess.Popen.wait

    def interrupted(self: Any, timeout: float | None = None) -> int:
        if timeout is None:
            return wait(self)
        while not (tmp_path / "pids").exists() or len((tmp_path / "pids").read_text().split()) < 2:
            time.sleep(0.02)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ran(directory, base, SLEEP.format(pids=tmp_path / "pids") + "    time.sleep(600)")
    assert [ends(pid) for pid in pids(tmp_path / "pids")] == [True, True]


def test_it_ends_when_hubkit_is_killed(tmp_path: Path) -> None:
    code = textwrap.dedent(SLEEP.format(pids=tmp_path / "pids")) + "time.sleep(600)"
    script = f"""
from pathlib import Path
from hubkit.card import snippets
from hubkit.verify import process
place = Path({str(tmp_path)!r}) / "sandbox"
variables = process.environment(place, "http://127.0.0.1:1")
process.run("", [snippets.Block({code!r}, 1)], place, place, variables, 600)
"""
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        deadline = time.monotonic() + 30
        while not (tmp_path / "pids").exists() or len(pids(tmp_path / "pids")) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        parent.send_signal(signal.SIGKILL)
    assert [ends(pid) for pid in pids(tmp_path / "pids")] == [True, True]


def test_endless_output_fills_no_memory(directory: Path, base: Path) -> None:
    found = ran(directory, base, "for n in range(200_000):\n    print('line', n)")
    assert found.output is not None
    assert found.output.startswith("line 0\nline 1\n")
    assert len(found.output) < 5_000


@pytest.mark.parametrize(
    ("code", "asks"),
    [
        ("f(trust_remote_code=True)", True),
        ("f(trust_remote_code=x)", True),
        ("f(**{'trust_remote_code': True})", True),
        ("f(trust_remote_code=False)", False),
        ("f()  # without trust_remote_code", False),
        ("f(trust_remote_code=True", True),
    ],
)
def test_code_of_the_bases_repo_is_not_run_silently(
    code: str, asks: bool, directory: Path, base: Path
) -> None:
    show(directory, f"def f(**given):\n    pass\n\nx = True\n{code}")
    options = Options(base_path=base, time_limit=60)
    if not asks:
        usage.verify(directory, localhub.start, options, tiny.quiet)
        return
    with pytest.raises(SnippetError, match=r"runs code of .*'s repo.*--trust-remote-code"):
        usage.verify(directory, localhub.start, options, tiny.quiet)
    if code.endswith(")"):
        usage.verify(
            directory, localhub.start, Options(base_path=base, trusted=True, time_limit=60), tiny.quiet
        )


def test_a_card_without_code_says_what_is_missing(directory: Path, base: Path, tmp_path: Path) -> None:
    with pytest.raises(SnippetError, match="there is no "):
        usage.verify(directory, localhub.start, Options(base_path=base), tiny.quiet)
    show(directory)
    with pytest.raises(SnippetError, match="no block of Python"):
        usage.verify(directory, localhub.start, Options(base_path=base), tiny.quiet)
    unknown = write_adapter(
        tmp_path / "unknown", {"peft_type": "LORA", "r": 8}, lora_tensors("x", 1, ["y"], 8, 2)
    )
    show(unknown)
    with pytest.raises(SnippetError, match=r"shows no code to run.*--base-model.*--task"):
        usage.verify(unknown, localhub.start, Options(base_path=base), tiny.quiet)


def test_other_weights_than_those_of_the_record_are_refused(
    directory: Path, base: Path, tmp_path: Path
) -> None:
    known = BaseModel(id=BASE_ID, weights_sha256=files.sha256_of([base / "model.safetensors"]))
    assert base_files.of_directory(base, known).weights_sha256 == known.weights_sha256
    (base / "model.safetensors").write_bytes(b"others!")
    with pytest.raises(BaseModelError, match="holds other weights"):
        base_files.of_directory(base, known)
    with pytest.raises(BaseModelError, match=r"holds no config\.json"):
        base_files.of_directory(tmp_path, known)


def test_a_pinned_commit_is_what_the_local_hub_says(directory: Path, base: Path) -> None:
    commit = "ab" * 20
    known = msgspec.structs.replace(record.read(directory), base_model=BaseModel(id=BASE_ID, revision=commit))
    record.write(directory, known)
    load = """
        from huggingface_hub import hf_hub_download
        print(hf_hub_download("{}", "config.json", revision="{}"))
        """
    found = ran(directory, base, load.format(BASE_ID, commit))
    assert found.output is not None
    assert found.output.endswith(f"/snapshots/{commit}/config.json")
    with pytest.raises(SnippetError, match="RevisionNotFoundError"):
        ran(directory, base, load.format(BASE_ID, "cd" * 20))


def test_the_files_of_a_repo_that_loading_needs() -> None:
    names = [
        "README.md", ".gitattributes", "config.json", "model-00001-of-00002.safetensors", "onnx/model.onnx",
        "model-00002-of-00002.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
        "tf_model.h5", "pytorch_model.bin.index.json", "tokenizer.json", "vocab.txt", "merges.txt",
        "modeling_x.py", "spiece.model", "consolidated.safetensors", "chat_template.jinja", "sub/config.json",
    ]  # fmt: skip
    chosen = set(base_files.needed(names, trusted=False))
    assert chosen == {
        "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "merges.txt",
        "model.safetensors.index.json", "tokenizer.json", "vocab.txt", "spiece.model", "chat_template.jinja",
    }  # fmt: skip
    assert set(base_files.needed(names, trusted=True)) == chosen | {"modeling_x.py"}
    assert base_files.needed(["config.json", "pytorch_model.bin", "flax_model.msgpack"], False) == [
        "config.json", "pytorch_model.bin"
    ]  # fmt: skip


def test_a_base_on_the_users_hub_is_fetched_once(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "12" * 20
    (base / "pytorch_model.bin").write_bytes(b"another form")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    said: list[str] = []
    with localhub.start(tmp_path / "hub", mounts={"org/base": (base, commit)}) as served:
        monkeypatch.setattr(hub, "Hub", partial(hub.Hub, endpoint=served.endpoint, token=served.token))
        found = base_files.of_hub("org/base", None, False, said.append)
        with pytest.raises(BaseModelError, match="the Hub has no org/other"):
            base_files.of_hub("org/other", None, False, said.append)
    assert (found.commit, found.revision, found.weights_sha256) == (commit, commit, None)
    names = {path.name for path in found.directory.iterdir()}
    assert names == {"config.json", "tokenizer.json", "model.safetensors"}
    assert base_files.of_hub("org/base", commit, False, said.append) == found  # the Hub is gone by now
    assert len(said) == 1


SETTINGS = "base_model: org/base\ntask: causal-lm\ndataset: org/data\n"


@pytest.mark.parametrize(
    ("setting", "flag", "runs"),
    [
        ("", [], True),
        ("", ["--no-verify-usage"], False),
        ("verifying: {usage: false}\n", [], False),
        ("verifying: {usage: false}\n", ["--verify-usage"], True),
    ],
)
def test_the_code_is_run_before_a_push_unless_told_otherwise(
    setting: str, flag: list[str], runs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def stop(run: Any, *rest: Any, **options: Any) -> None:
        seen.append(run.settings.verifying.usage)
        raise SnippetError("stopped here")

    monkeypatch.setattr(pipeline, "run_and_publish", stop)
    (tmp_path / "run.yaml").write_text(SETTINGS + setting)
    assert hubkit(["run-and-publish", str(tmp_path / "run.yaml"), *flag]) == 2
    assert seen == [runs]


def test_without_the_local_hub_a_run_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "LOCAL", ("no_such_package",))
    settings = {"verifying": {"usage": True}, "base_model": {"path": str(tmp_path)}}
    run = tiny.run("causal-lm", tmp_path, tmp_path, **settings)
    with pytest.raises(MissingExtra, match=r"needs no_such_package.*hubkit\[local\].*--no-verify-usage"):
        pushed(run, tmp_path / "hub", [])
    assert not run.output_dir.exists()
    assert not (tmp_path / "hub").exists()


# --- with torch: the code that hubkit writes, on tiny models (each run imports torch anew, so they are few)


def pushed(run: Any, hub_dir: Path, said: list[str]) -> Any:
    return pipeline.run_and_publish(run, PushOptions(local_hub=hub_dir), localhub.start, said.append)


@pytest.mark.real
def test_a_run_is_published_with_what_its_code_printed_or_not_at_all(
    tiny_llama: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"verifying": {"usage": True}, "measuring": {"perplexity": False}}
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1, **changes)
    said: list[str] = []
    first = pushed(run, tmp_path / "hub", said)
    assert any(line.startswith("it ran in ") for line in said)
    card = (run.adapter_dir / "README.md").read_text()
    known = record.read(run.adapter_dir).usage
    assert known is not None
    assert known.output
    assert known.output.startswith("Once upon a time")
    assert f"Output:\n\n```text\n{known.output}\n```" in card
    assert {"torch", "transformers", "peft"} <= set(known.environment.libraries)
    assert known.environment.device == "cpu"
    assert 'PeftModel.from_pretrained(base, "local/run")' in card
    assert hubkit(["card", "--adapter", str(run.adapter_dir), "--check"]) == 0

    again = pushed(run, tmp_path / "hub", said)
    assert again.nothing_to_do
    assert "the card's code ran already on these files" in said

    template = tmp_path / "own.md.j2"
    template.write_text(
        "---\n{{ front_matter -}}\n---\n\n# {{ title }}\n\n<!-- hubkit:begin usage -->\n\n"
        "```python\nraise RuntimeError('of the template')\n```\n\n<!-- hubkit:end usage -->\n"
    )
    broken = tiny.run(
        "causal-lm", tiny_llama, tmp_path, training__max_steps=1, card={"template": str(template)}, **changes
    )
    with pytest.raises(SnippetError, match="RuntimeError: of the template"):
        pushed(broken, tmp_path / "hub", said)
    with localhub.start(tmp_path / "hub") as served:
        found = hub.Hub(served.endpoint, served.token).repo("local/run")
    assert found is not None
    assert found.head == first.commit
    assert record.read(run.adapter_dir).training is not None  # what was trained stays


@pytest.mark.real
def test_a_4_bit_base_with_a_head_of_the_adapters_runs_from_its_folder_and_prints_the_same_again(
    tiny_bert: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tiny.run(
        "masked-lm",
        tiny_bert,
        tmp_path,
        training__max_steps=1,
        method={"name": "qlora", "modules_to_save": ["cls"]},
    )
    adapter_dir = stages.train(run, tiny.quiet)
    command = ["card", "--adapter", str(adapter_dir), "--verify-usage", "--base-path", str(tiny_bert)]
    assert hubkit(command) == 0
    words = capfd.readouterr().err
    assert "it ran in" in words
    assert "a run of its code" not in words
    card = (adapter_dir / "README.md").read_text()
    assert "BitsAndBytesConfig" in card
    assert 'PeftModel.from_pretrained(base, "adapter")' in card
    assert re.search(r"This code was run on .* bitsandbytes [\d.]+", card)
    assert hubkit([*command, "-q"]) == 0
    assert (adapter_dir / "README.md").read_text() == card
    assert hubkit(["card", "--adapter", str(adapter_dir), "--check", "-q"]) == 0
    assert hubkit([*command, "--check"]) == 2
    assert "--verify-usage writes the card, and --check does not" in capfd.readouterr().err


@pytest.mark.real
def test_an_adapter_of_another_base_fails(
    tiny_llama: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tensors = lora_tensors("model.layers", 2, ["self_attn.q_proj", "self_attn.v_proj"], 32, 8)
    misfit = write_adapter(tmp_path / "misfit", LORA_CONFIG, tensors, tokenizer=False)
    options = ["--task", "causal-lm", "--base-path", str(tiny_llama)]
    assert hubkit(["card", "--adapter", str(misfit), "--verify-usage", *options]) == 2
    said = capfd.readouterr().err
    assert re.search("misfit does not fit the base model: .*q_proj", said)  # its headers tell, before any run
    assert "Traceback" not in said


def test_what_chance_decides_is_not_kept(directory: Path, base: Path) -> None:
    known = record.read(directory)
    headless = msgspec.structs.replace(known.base_model, head_newly_initialized=True)
    record.write(directory, msgspec.structs.replace(known, base_model=headless))
    assert ran(directory, base, "print(1)").output is None


def test_code_that_ran_on_other_files_is_run_again(directory: Path, base: Path) -> None:
    run = ran(directory, base, "print(1)")
    assert run.tokenizer_sha256
    record.write(directory, msgspec.structs.replace(record.read(directory), usage=run))
    assert usage.has_run(directory)
    for name in ("adapter_model.safetensors", "tokenizer.json"):
        path = directory / name
        before = path.read_bytes()
        path.write_bytes(before[:-1] + (b" " if before[-1:] != b" " else b"x"))
        assert not usage.has_run(directory), name
        path.write_bytes(before)
        assert usage.has_run(directory)
    show(directory, "print(2)")
    assert not usage.has_run(directory)


def test_updates_that_peft_would_leave_out_are_an_error(directory: Path, base: Path) -> None:
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "target_modules": ["q_proj"]}))
    with pytest.raises(
        SnippetError, match=r"holds updates of v_proj, which adapter_config\.json does not name"
    ):
        ran(directory, base, "print(1)")
    for fine in (".*_proj", "all-linear", ["layers.0.v_proj", "q_proj"]):
        path.write_text(json.dumps({**config, "target_modules": fine}))
        assert ran(directory, base, "print(1)").output == "1"
