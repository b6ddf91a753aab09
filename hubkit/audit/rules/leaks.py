"""Leaks: what a card tells strangers about a machine, an account or a person."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit import paths, secrets
from hubkit.adapter import CONFIG_NAME
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.subject import Subject

# Places where machines and clusters keep what people train. A path in a mount (`host:/workspace`) is none.
_PLACES = re.compile(
    r"(?<![\w.:/~$}])/(?:root|mnt|workspace|scratch|gpfs|lustre|nfs\d?|raid|dbfs|fsx|efs|opt/ml|autodl-tmp"
    r"|cluster|kaggle/(?:input|working)|content/(?:drive|gdrive))/[\w.-]+[\w./-]*"
    r"|(?<![\w.:/~$}])/(?:data|share|storage|nas|projects?|public|hpc|ssd|hdd|disk)\d*/[\w.-]+/[\w./-]+"
)
_ADDRESS = re.compile(
    r"(?<![\w.+/:=-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,4}[A-Za-z]{2,12}(?![\w@.-]{0,60}[@/(])"
)
_GIVEN = re.compile(
    r"contact|e-?mail|mail\b|reach|author|maintain|question|feedback|support|report|inquir|enquir|write to"
    r"|get in touch|developed by|created by|correspond|联系|邮箱|联络|作者|문의|이메일"
    r"|연락|contacto|correo|contato|contattare|kontakt|連絡",
    re.IGNORECASE,
)
_PART = r"(?<![\w.@-])(?:[a-z0-9-]{1,60}\.)"
_NETS = r"internal|lan|corp|intranet|localdomain"
_HOST = re.compile(
    rf"{_PART}{{0,5}}[a-z0-9-]{{0,40}}[0-9-][a-z0-9-]{{0,20}}\.(?:local|{_NETS})(?![\w-]|\.\w)"
    rf"|{_PART}{{2,5}}(?:{_NETS})(?![\w-]|\.\w)",
    re.IGNORECASE,
)
_PRIVATE = re.compile(
    r"(?<![\d.])(?:10(?:\.\d{1,3}){3}|192\.168(?:\.\d{1,3}){2}|172\.(?:1[6-9]|2\d|3[01])(?:\.\d{1,3}){2})(?![\d.])"
)
PLAIN = frozenset({"", "text", "txt", "yaml", "yml", "json", "toml", "ini", "log", "console", "output"})


def _shown(subject: Subject) -> Iterator[tuple[int, str]]:
    """What the card tells as facts: front matter, prose, and code that is no program."""
    document = subject.document
    front = document.front
    if front.first and front.last:
        for number in range(front.first + 1, front.last):
            yield number, document.line(number)
    yield from document.prose
    for fence in document.fences:
        if fence.language in PLAIN:
            yield from enumerate(fence.code.split("\n"), fence.line)


@rule("HK520", "warning", title="A path of the author's machine")
def path(subject: Subject) -> Iterator[Fault]:
    """A path of the machine that made the adapter exists nowhere else. It tells the reader nothing, and
    strangers the author's user name or the layout of a cluster. `/path/to/...` and `./data` are no such
    paths.

    Bad:

        - **Base model:** /home/ada/models/smollm2

    Good:

        - **Base model:** HuggingFaceTB/SmolLM2-135M-Instruct
    """
    document = subject.document
    places = {
        number: document.line(number).strip()
        for number in paths.home_lines(document.text.encode(errors="replace"))
    }
    front = document.front
    of_base = {front.line_of("base_model", *rest) for rest in ((), (0,), (1,))}  # another rule's
    for number, line in _shown(subject):
        if number not in places and number not in of_base and (there := _PLACES.search(line)):
            places[number] = there[0]
    for number, said in sorted(places.items()):
        yield found(
            number,
            "The card shows a path of somebody's machine.",
            says=said[:200],
            instead=subject.base_id if "base" in document.line(number).lower() else None,
            mend="name the model or dataset by its id, or drop the path",
        )


@rule("HK521", "warning", title="A configuration that names its base by a path")
def base_path(subject: Subject) -> Iterator[Fault]:
    """`base_model_name_or_path` of adapter_config.json is what PEFT loads the base from. A path of the
    author's machine loads nowhere else, and the Hub cannot tell what the adapter belongs to.

    Bad:

        The adapter_config.json beside this card says:

        "base_model_name_or_path": "/data/models/smollm2"

    Good:

        The adapter_config.json beside this card says:

        "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct"
    """
    import json

    if subject.config is None or subject.record is not None:
        return  # publishing refuses such a configuration, and names the base
    named = paths.local_name(CONFIG_NAME, json.dumps(subject.config).encode())
    if named:
        yield found(
            None,
            f"{CONFIG_NAME} names the base model by a path.",
            instead=named.value,
            mend=f'write its id there: "{named.key}": "owner/name"',
        )


@rule("HK522", "error", title="A token or a key")
def secret(subject: Subject) -> Iterator[Fault]:
    """What has the shape of a token is one until it is proven not to be. Everybody who saw the card has it:
    revoke it first.

    Bad:

        Log in with hf_aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH first.

    Good:

        Log in with `hf auth login` first.
    """
    for leak in secrets.scan(subject.path, subject.document.text.encode(errors="replace")):
        yield found(
            leak.line,
            f"The card holds what looks like a secret: {leak.kind}.",
            mend="revoke it, then take it out; the repo's history keeps it",
        )


@rule("HK523", "note", title="An e-mail address that is no contact")
def address(subject: Subject) -> Iterator[Fault]:
    """An address that is not given as a contact may be there by accident, from a log or a configuration.
    One that stands in a section or beside a word such as contact or author is no finding.

    Bad:

        The run ada@turing.example.org was the best of three.

    Good:

        Contact: ada@turing.example.org
    """
    document = subject.document
    for number, line in _shown(subject):
        about = " ".join(
            (line, *document.section_at(number)[-2:], document.line(number - 1), document.line(number + 1))
        )
        for said in _ADDRESS.findall(line):
            if said.startswith(("git@", "noreply@", "no-reply@")) or re.search(
                r"@(?:[\w-]+\.)*example\.(?:com)$", said
            ):
                continue
            if not _GIVEN.search(about):
                yield found(
                    number,
                    "An e-mail address stands here, and not as a contact.",
                    says=said,
                    mend="take it out",
                )


@rule("HK524", "warning", title="A host of somebody's own network")
def host(subject: Subject) -> Iterator[Fault]:
    """Names and addresses of machines in a private network lead nowhere for a reader, and tell strangers
    how it is built.

    Bad:

        Trained on gpu-17.cluster.internal, logs at http://192.168.1.20:6006.

    Good:

        Trained on one NVIDIA A100, 80 GB.
    """
    for number, line in _shown(subject):
        hosts = [one[0] for one in (*_HOST.finditer(line), *_PRIVATE.finditer(line))]
        if hosts and not re.search(r"(?i)\bversion\b|==|>=", line):
            yield found(
                number,
                "The card names a machine of a private network.",
                says=", ".join(hosts),
                mend="name the hardware, not the machine",
            )
