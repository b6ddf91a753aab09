"""The base install, tried: a fresh environment with hubkit and no extra, torch absent, start-up measured.

    python benchmarks/base_install.py

Builds the environment in a temporary directory from this checkout, with the versions of constraints.txt.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "transformers", "peft", "accelerate", "datasets", "bitsandbytes")


def install(directory: Path) -> Path:
    """Make an environment with the base install, and give its Python."""
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    pinned = ["--constraint", str(constraints)] if constraints.is_file() else []
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *pinned, str(ROOT)], check=True)
    return python


def check_light(python: Path) -> None:
    """See that nothing heavy was installed, and that what needs it says so in one line."""
    for name in HEAVY:
        if subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode == 0:
            sys.exit(f"the base install brings {name}")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as settings:
        settings.write("base_model: org/base\ntask: causal-lm\ndataset: {files: [text.txt]}\n")
        settings.flush()
        train = [str(python.parent / "hubkit"), "train", settings.name]
        done = subprocess.run(train, capture_output=True, text=True)
    if (
        done.returncode != 2
        or done.stderr.count("\n") != 1
        or "pip install 'hubkit[train]'" not in done.stderr
    ):
        sys.exit(f"hubkit train without torch ended with {done.returncode} and said: {done.stderr}")


def main() -> None:
    """Install, check, measure."""
    with tempfile.TemporaryDirectory(prefix="hubkit-base-") as scratch:
        python = install(Path(scratch) / "venv")
        check_light(python)
        packages = [str(python), "-m", "pip", "list", "--disable-pip-version-check"]
        count = (
            len(subprocess.run(packages, capture_output=True, text=True, check=True).stdout.splitlines()) - 2
        )
        print(f"{count} packages, none of them {', '.join(HEAVY)}\n", flush=True)
        # Its own Python runs the benchmark, so that the wheel's hubkit is the one that is measured.
        done = subprocess.run([python, str(ROOT / "benchmarks" / "startup.py"), *sys.argv[1:]], cwd=scratch)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
