"""Secrets are found by their shape, and not where there are none. Paths of a machine, likewise."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit import paths
from hubkit.secrets import hits, scan

WORD = "aB3dE9fG7hJ2kL5mN8pQ4rS6tU1vW0xYzAcCeDgFiHjKlMnOoPqRsTuVwXyZ2b4d6f8h"  # as random as a key looks
HEX = "3fa94c07d1b25e8860f7a9c4d2e1b38f5a6c7d8e"  # 40 digits
SECRETS = {
    "Hugging Face token": [f"hf_{WORD[:34]}", f"api_org_{WORD[:34]}", f"hf_jwt_eyJ{WORD}.eyJ{WORD}.{WORD}"],
    "GitHub token": [*(f"gh{one}_{WORD[:36]}" for one in "pousr"), f"github_pat_{WORD[:22]}_{WORD[:59]}"],
    "AWS access key": ["AKIAQZ4TB7NX2LMV5RWC", "ASIAQZ4TB7NX2LMV5RWC"],
    "OpenAI-style key": [f"sk-{WORD[:48]}", f"sk-proj-{WORD}", f"sk-svcacct-{WORD}", f"sk-or-v1-{HEX}"],
    "Anthropic key": [f"sk-ant-api03-{WORD}{WORD}"],
    "Google API key": [f"AIza{WORD[:35]}"],
    "Google OAuth secret": [f"GOCSPX-{WORD[:28]}"],
    "Google service account": ['"type": "service_account",\n  "project_id": "mine"'],
    "Slack token": [f"xoxb-2983749238-{WORD[:24]}", f"xapp-1-{WORD[:30]}"],
    "Slack webhook": [f"https://hooks.slack.com/services/T0QW3E4R5/B1AZ2SX3D/{WORD[:24]}"],
    "GitLab token": [f"glpat-{WORD[:20]}", f"glrt-{WORD[:20]}"],
    "npm token": [f"npm_{WORD[:36]}"],
    "PyPI token": [f"pypi-AgEIcHlwaS5vcmc{WORD}"],
    "Stripe key": [f"sk_live_{WORD[:24]}", f"rk_live_{WORD[:24]}"],
    "SendGrid key": [f"SG.{WORD[:22]}.{WORD[:43]}"],
    "DigitalOcean token": [f"dop_v1_{HEX}{HEX[:24]}"],
    "Groq key": [f"gsk_{WORD[:52]}"],
    "Replicate token": [f"r8_{WORD[:37]}"],
    "Databricks token": [f"dapi{HEX[:32]}"],
    "Azure storage key": [f"AccountKey={WORD}{WORD[:18]}=="],
    "JSON web token": [f"eyJhbGciOiJIUzI1NiJ9.eyJ{WORD}.{WORD[:43]}"],
    "private key": [
        *(f"-----BEGIN {kind}PRIVATE KEY-----" for kind in ("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ")),
        "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        "PuTTY-User-Key-File-3: ssh-ed25519",
    ],
    "password in an address": ["https://alice:h7Gt42@git.host.io/x.git", "redis://:k3yboard@10.0.0.2:6379"],
    "assigned token": ["HUB_API_TOKEN=q7w8e9r0", f'"push_to_hub_token": "{WORD[:10]}"', f'"token": "{WORD}"'],
    "assigned secret": [f"AWS_SECRET_ACCESS_KEY={WORD[:40]}", f"aws_secret_access_key = {WORD[:40]}"],
    "assigned key": [f"api_key: '{WORD[:30]}'", "export MY_API_KEY=zx81spectrum"],
    "assigned password": ['"password": "tr0ub4dor3"', "DB_PASSWORD=tr0ub4dor3"],
    "W&B key": [f"WANDB_API_KEY={HEX}", f"wandb login {HEX}", f"wandb_v1_{WORD[:50]}"],
    "password of a netrc file": ["machine api.wandb.ai login user\tpassword qwertz77"],
    "Kaggle key": [f'{{"username":"alice","key":"{HEX[:32]}"}}'],
}
EVERY = [(kind, secret) for kind, secrets in SECRETS.items() for secret in secrets]


@pytest.mark.parametrize(("kind", "secret"), EVERY, ids=[kind for kind, _ in EVERY])
def test_each_kind_is_found_with_its_line(kind: str, secret: str) -> None:
    for around in ("one\ntwo\n  {}\n", "one\ntwo\n{}", 'one\ntwo\n"x\\n{}"'):
        found = scan("README.md", around.format(secret).encode())
        assert (3, kind) in [(one.line, one.kind) for one in found], around
        assert {one.path for one in found} == {"README.md"}
        assert WORD[:20] not in repr(found)


def test_each_shape_has_an_example_here() -> None:
    from hubkit import secrets

    assert {kind for kind, *_ in secrets._SHAPES + secrets._ASSIGNED} == set(SECRETS)


def test_a_finding_has_an_id_of_its_own_that_stays() -> None:
    one, other = f"hf_{WORD[:34]}", f"hf_{WORD[1:35]}"
    (here,) = scan("a.json", one.encode())
    assert scan("a.json", f"\n\n{one}\n{other}".encode())[0].id == here.id
    assert len({here.id, scan("b.json", one.encode())[0].id, scan("a.json", other.encode())[0].id}) == 3


@pytest.mark.parametrize(
    "text",
    [
        "Set HF_TOKEN, or log in with `hf auth login`.",
        "hf_hub_download(repo_id)",
        "a risk-averse, task-specific, desk-bound-and-quite-long-compound-word-without-digits",
        "sk-",
        "-----BEGIN CERTIFICATE-----",
        "AKIA",
        "0123456789abcdef" * 4,
        # as documentation writes them
        'HF_TOKEN="hf_..."',
        "hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "hf_XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
        "hf_abcdefghijklmnopqrstuvwxyz01234567",
        "token=hf_your_token_here_please_0123456789",
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "OPENAI_API_KEY=sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0."
        "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
        "postgres://user:password@localhost/db",
        "postgres://user:$PASSWORD@host and https://{user}:{token}@host/x",
        "postgres://admin:s3cr3t77@db.example.com/x",
        "docker://image:v1.2.3@sha256:0123",
        "API_TOKEN=$HF_TOKEN API_KEY=<your-key> PASSWORD=${PASSWORD}",
        # what configurations of models say
        '"eos_token": "<|im_end|>", "pad_token": "[PAD]", "unk_token": "\\u2581unk0unk0unk0unk0unk"',
        '"hub_token": "<HUB_TOKEN>", "push_to_hub_token": "<PUSH_TO_HUB_TOKEN>", "use_auth_token": null',
        '"tokenizer_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"',
        "max_token=1024 num_tokens=123456789012345678901234",
        "sk-learn-based-language-model-v2-quantized-to-4-bits-for-cpus",
        "wandb run of commit 3fa94c07d1b25e8860f7a9c4d2e1b38f5a6c7d8e",
        "see https://example.com:8080/path@2x.png and mailto:a@b.io",
        'token = os.environ["HF_TOKEN_OF_2024"]',
    ],
)
def test_prose_examples_and_configurations_are_no_secrets(text: str) -> None:
    assert scan("README.md", text.encode()) == []


def test_several_come_in_the_order_of_their_lines() -> None:
    text = "\n".join(["-----BEGIN PRIVATE KEY-----", "", f"hf_{WORD[:34]}"])
    assert [found.line for found in scan("x", text.encode())] == [1, 3]


PIECES = [
    "hf_", "sk-", "gh", "://", "://a:", "eyJ", "eyJaaaaaaaaaaa.", "-----BEGIN A ", "wandb", "wandb key",
    "machine ", "machine a login b ", "token", "token=", 'token="a1b2c3d4" ', "secret    =   ", "passwd=a1",
    "SG.", "glpat-",
    '"username":"a",', "AIza", "a", " ", "\n", "\\", "/home/", "/home/a", "file://", "/root/", "/a/bob",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=3), st.integers(0, 40_000))
def test_no_text_takes_longer_than_its_length_allows(parts: list[str], size: int) -> None:
    text = ("".join(parts) * (size // len("".join(parts)) + 1)).encode()
    begun = time.process_time()
    for _ in hits(text):
        pass
    for _ in paths.places(text, "bob", "/srv/bob"):
        pass
    assert time.process_time() - begun < 1  # 40 kB; the slowest of these go at 1 MB a second


@given(st.binary(max_size=300))
def test_any_bytes_can_be_looked_at(content: bytes) -> None:
    assert scan("x", content + b" ") is not None


# Paths


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"/home/alice/x"', "/home/alice"),
        ('"cache": "/home/alice"', "/home/alice"),
        ("`/Users/alice`", "/Users/alice"),
        ("\\/home\\/alice\\/x", "\\/home\\/alice"),
        ("C:\\Users\\alice\\x", "C:\\Users\\alice"),
        (json.dumps("C:\\Users\\alice"), "C:\\\\Users\\\\alice"),
        ("D:/Users/alice/x", "D:/Users/alice"),
        (" /root/work/x", "/root/"),
        ("file:///data/x", "file:///data/x"),
        ("/scratch/alice/models", "/scratch/alice"),
        ('"/srv/people/al/x"', "/srv/people/al"),
    ],
)
def test_paths_of_a_machine(text: str, value: str) -> None:
    found = paths.places(text.encode(), "alice", "/srv/people/al")
    assert {place.value.decode() for place in found} == {value}


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/home/alice/x /home/user/adapter /home/ /Users/you/x and C:\\Users\n",
        "https://huggingface.co/alice/x [mine](/alice/x) alice/x alice",
        "/data/alicex/x /data/x-alice/y",
        "docker run -v ~/.cache/huggingface:/root/.cache/huggingface image",
        "file:///path/to/x",
        "/srv/people/aldous",
        "https://x.org/root/a",
    ],
)
def test_what_is_no_path_of_a_machine(text: str) -> None:
    assert [*paths.places(text.encode(), "alice", "/srv/people/al")] == []


@pytest.mark.parametrize("login", ["root", "test", "runner", "al", "", None])
def test_a_login_that_is_a_word_gives_no_alarm(login: str | None) -> None:
    assert [*paths.places(f"/data/{login}/x /srv/{login}".encode(), login, "/root")] == []
