"""Run blocks of code as one program, in a process of their own: `python child.py PLAN RESULT`.

PLAN is JSON: the card's text, its name, and its blocks with their lines. RESULT is written when the last
block has ended, or when one failed. Nothing of hubkit is imported here, and standard input is the parent's
sign of life: when it ends, this process ends itself and all that it started.
"""

from __future__ import annotations

import json
import linecache
import os
import platform
import signal
import sys
import threading
import traceback
import types
from importlib import metadata
from typing import Any

LIBRARIES = (
    "torch", "transformers", "peft", "accelerate", "bitsandbytes", "tokenizers", "safetensors",
    "huggingface_hub",
)  # fmt: skip


def main(plan_path: str, result_path: str) -> int:
    """Run the plan, one block after the other in one namespace."""
    _end_with_the_parent()
    with open(plan_path, encoding="utf-8") as file:
        plan = json.load(file)
    name = plan["name"]
    lines = [line + "\n" for line in plan["card"].split("\n")]
    linecache.cache[name] = (len(plan["card"]), None, lines, name)  # so that a traceback shows the line
    program = types.ModuleType("__main__")
    sys.modules["__main__"] = program
    sys.argv = [name]
    for number, block in enumerate(plan["blocks"], start=1):
        try:
            # As many lines before it as on the card, so that the traceback says where it stands there.
            code = compile("\n" * (block["line"] - 1) + block["code"], name, "exec", dont_inherit=True)
            exec(code, program.__dict__)
        except BaseException as error:
            line = _line(error, name) or block["line"]
            _report(error)
            _write(result_path, {"block": number, "line": line, "error": _said(error)})
            return 1
    sys.stdout.flush()
    _write(result_path, {"environment": _environment(program.__dict__)})
    return 0


def _end_with_the_parent() -> None:
    """Watch the pipe that is standard input in a thread, and give the code an empty one."""
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        os.read(pipe, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _line(error: BaseException, name: str) -> int | None:
    """The card's line that an error came from."""
    if isinstance(error, SyntaxError) and error.filename == name:
        return error.lineno
    lines = [
        line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == name
    ]
    return lines[-1] if lines else None


def _said(error: BaseException) -> str:
    """The error in one line, as the last of a traceback has it."""
    if isinstance(error, SystemExit):
        return f"it ended the program (exit {error.code}) before the card's code was done"
    last = traceback.format_exception_only(error)[-1].strip()
    first, _, more = last.partition("\n")
    return f"{first} {more.strip().splitlines()[0]}" if more and first.endswith(":") else first


def _report(error: BaseException) -> None:
    """The traceback, without the frames of this file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.stdout.flush()
    traceback.print_exception(type(error), error, trace)
    sys.stderr.flush()


def _environment(namespace: dict[str, Any]) -> dict[str, Any]:
    """The libraries that the code loaded, and the device that its models are on."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "libraries": {name: metadata.version(name) for name in LIBRARIES if name in sys.modules},
        "cpu_count": os.cpu_count(),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        found["threads"] = torch.get_num_threads()
        models = [value for value in namespace.values() if isinstance(value, torch.nn.Module)]
        weights = [next(iter(model.parameters()), None) for model in models]
        devices = [weight.device.type for weight in weights if weight is not None]
        if devices:
            found["device"] = devices[-1]
        if "cuda" in devices:
            found["accelerator"] = torch.cuda.get_device_name(0)
    return found


def _write(path: str, result: dict[str, Any]) -> None:
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(result, file)
    os.replace(path + ".new", path)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
