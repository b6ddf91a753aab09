"""The Hub's rules as data, each with its source, and one function that holds a card's front matter to them.

Everything here is known without the network, so a card can be checked anywhere. The Hub's own answer stays
the second opinion. Standard library only: this module is imported by every command and must cost nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

# https://huggingface.co/docs/hub/repositories-licenses: the closed list of ids that `license` may name, one
# or many. The Hub's refusal names them all: https://github.com/huggingface/huggingface_hub/issues/4218
LICENSES = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
    bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0
    c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0
    cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m
    deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
    fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community h-research
    intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
    lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openmdw-1.1 openrail openrail++ osl-3.0
    other pddl postgresql unknown unlicense wtfpl zlib
    """.split()
)

# https://github.com/huggingface/huggingface.js/blob/main/packages/tasks/src/pipelines.ts (PIPELINE_DATA);
# huggingface_hub/hf_api.py (TransformersInfo) points there for the values of `pipeline_tag`.
PIPELINE_TAGS = frozenset(
    """
    any-to-any audio-classification audio-text-to-text audio-to-audio automatic-speech-recognition
    depth-estimation document-question-answering feature-extraction fill-mask graph-ml image-classification
    image-feature-extraction image-segmentation image-text-to-image image-text-to-text image-text-to-video
    image-to-3d image-to-image image-to-text image-to-video keypoint-detection mask-generation
    multiple-choice object-detection other question-answering reinforcement-learning robotics
    sentence-similarity summarization table-question-answering table-to-text tabular-classification
    tabular-regression tabular-to-text text-classification text-generation text-ranking text-retrieval
    text-to-3d text-to-audio text-to-image text-to-speech text-to-video text2text-generation
    time-series-forecasting token-classification translation unconditional-image-generation
    video-classification video-text-to-text video-to-video visual-document-retrieval
    visual-question-answering voice-activity-detection zero-shot-classification
    zero-shot-image-classification zero-shot-object-detection
    """.split()
)

# https://huggingface.co/docs/hub/models-libraries: those that load an adapter by its repo; not transformers,
# which trainers write for all models.
ADAPTER_LIBRARIES = frozenset(
    {"sentence-transformers", "setfit", "unsloth", "adapter-transformers", "pylate"}
)
# https://huggingface.co/docs/hub/model-cards#specifying-a-base-model
BASE_MODEL_RELATIONS = ("adapter", "finetune", "merge", "quantized")

# https://github.com/huggingface/hub-docs/blob/main/modelcard.md: "Required" in the model-index. Its last
# lines say that `model-index`, `datasets` and `license` are verified when a README.md is pushed.
MODEL_INDEX_REQUIRED = ("task.type", "dataset.type", "dataset.name", "metrics[].type", "metrics[].value")

# The same specification: keys of `dataset` that name something, hence strings where they are given. The Hub's
# refusal in its own words: https://github.com/huu4ontocord/MDEL/issues/34
MODEL_INDEX_STRINGS = ("config", "split", "revision")

# huggingface_hub/repocard.py (REGEX_YAML_BLOCK), which says that it is the server's own. To the server's
# JavaScript a byte order mark is white space.
_FRONT_MATTER = re.compile(r"([\s\ufeff]*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|\Z))")

# huggingface_hub/hf_api.py (create_collection, add_collection_item): how long these texts may be.
COLLECTION_DESCRIPTION_MAX = 150
COLLECTION_NOTE_MAX = 500

# huggingface_hub/utils/_validators.py (REPO_ID_REGEX and validate_repo_id).
REPO_NAME_MAX = 96
_REPO_NAME = r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9_.\-]{0,94}[A-Za-z0-9_])?"
REPO_NAME_PATTERN = re.compile(_REPO_NAME)
REPO_ID_PATTERN = re.compile(rf"(?:{_REPO_NAME}/)?{_REPO_NAME}")

# https://www.loc.gov/standards/iso639-2/php/code_list.php: the two-letter codes, and those that were in use
# before (in, iw, ji, jw, mo, sh).
ISO_639_1 = frozenset(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de
    dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id
    ie ig ii ik in io is it iu iw ja ji jv jw ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li
    ln lo lt lu lv mg mh mi mk ml mn mo mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa
    pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta te tg th
    ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    """.split()
)

# The Hub takes ISO 639-1, 639-2 and 639-3 codes, and a few words; BCP-47 tags go to `language_bcp47`. All of
# ISO 639-3 is not listed here: any three lower-case letters pass.
# https://huggingface.co/docs/hub/model-cards#specifying-a-language
# https://github.com/huggingface/huggingface_hub/issues/3862
LANGUAGE_PATTERN = re.compile(rf"{'|'.join(sorted(ISO_639_1))}|[a-z]{{3}}|multilingual|code")

# https://huggingface.co/docs/hub/model-cards#specifying-a-license: either an address or a file of the repo.
LICENSE_LINK_PATTERN = re.compile(r"https?://\S+|[A-Za-z0-9_][\w.\-/]*")

# The .gitattributes that the Hub writes into each new model repo: these names go to LFS whatever their size.
LFS_PATTERNS = tuple(
    """
    *.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack *.npy *.npz
    *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors saved_model/**/* *.tar.* *.tar
    *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*
    """.split()
)

# The Hub's refusals of other keys: https://github.com/ostris/ai-toolkit/issues/260 (widget),
# https://github.com/huggingface/transformers/pull/25961 (base_model may not be empty),
# https://github.com/huggingface/autotrain-advanced/issues/648 (a path among the datasets).
LIST_KEYS = ("widget",)

# https://huggingface.co/docs/hub/storage-limits and repositories-recommendations.
REGULAR_FILE_MAX = 10_000_000  # a larger file must go by LFS or Xet
FILE_MAX = 50_000_000_000  # refused beyond; huggingface_hub/constants.py has it as MAX_HTTP_DOWNLOAD_SIZE
FILE_RECOMMENDED_MAX = 20_000_000_000
FILES_PER_COMMIT_RECOMMENDED_MAX = 100
FILES_PER_FOLDER_MAX = 10_000
FILES_PER_REPO_RECOMMENDED_MAX = 100_000

# huggingface_hub/hf_api.py (ExpandModelProperty_T): what `expand` may ask for of a model.
MODEL_PROPERTIES = frozenset(
    """
    author baseModels cardData childrenModelCount config createdAt disabled downloads downloadsAllTime
    evalResults gated gguf inference inferenceProviderMapping lastModified library_name likes mask_token
    model-index pipeline_tag private resourceGroup safetensors sha siblings spaces tags transformersInfo
    trendingScore usedStorage widgetData
    """.split()
)

# huggingface_hub/constants.py (DEFAULT_REVISION, REGEX_COMMIT_OID) and _commit_api.py (FORBIDDEN_FOLDERS).
DEFAULT_BRANCH = "main"
COMMIT_OID_PATTERN = re.compile(r"[0-9a-f]{40}")
SHORT_OID_PATTERN = re.compile(r"[0-9A-Fa-f]{5,40}")  # what `parentCommit` may be
FORBIDDEN_FOLDERS = (".git", ".cache")

# https://github.com/git/git/blob/master/read-cache.c (verify_path): no empty part, no "." and "..", and no
# ".git" in whatever case. Narrower than git: no backslash (a separator on Windows) and no control character
# (no header could hold it); NAME_MAX is Linux's limit of a part, and PATH_MAX leaves room below its limit of
# 4,096 for where a download goes.
PATH_MAX = 1000
NAME_MAX = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")

# https://git-scm.com/docs/git-check-ref-format. A name of 40 hexadecimal digits is read as a commit, and one
# below refs/ as a whole reference. ASCII only and REF_NAME_MAX are narrower than git, and never in doubt.
REF_NAME_MAX = 80
_REF_NAME_PATTERN = re.compile(rf"[!-~]{{1,{REF_NAME_MAX}}}")
_NOT_IN_REF_NAMES = re.compile(r"[~^:?*\[\\]|\.\.|@\{|//|\A/|[/.]\Z|\A@\Z|(?:\A|/)[.-]|\.lock(?:/|\Z)")


def is_repo_id(text: object, *, namespace: bool = False) -> bool:
    """Whether this is shaped like a Hub id (`name` or `user/name`); `namespace` asks for the longer form."""
    return isinstance(text, str) and ("/" in text or not namespace) and _has_shape_of_id(text)


def is_repo_path(text: object) -> bool:
    """Whether this can be the path of a file in a repo: relative, climbing nowhere, and storable."""
    if not isinstance(text, str) or not 0 < len(text) <= PATH_MAX or _CONTROL.search(text):
        return False
    try:
        parts = [part.encode() for part in text.split("/")]
    except UnicodeEncodeError:
        return False
    hidden = {name.encode() for name in FORBIDDEN_FOLDERS}
    return not any(
        part in (b"", b".", b"..") or part.lower() in hidden or len(part) > NAME_MAX for part in parts
    )


def is_ref_name(text: str) -> bool:
    """Whether git takes this as the name of a branch or a tag, and nobody mistakes it for something else."""
    if text.startswith("refs/") or text == "HEAD" or COMMIT_OID_PATTERN.fullmatch(text):
        return False
    return _REF_NAME_PATTERN.fullmatch(text) is not None and not _NOT_IN_REF_NAMES.search(text)


@lru_cache(maxsize=4096)
def _has_shape_of_id(text: str) -> bool:
    return not text.endswith(".git") and REPO_ID_PATTERN.fullmatch(text) is not None


def is_large(size: int, sample: bytes = b"") -> bool:
    """Whether the Hub stores a file by LFS whatever its name: it is big, or its first block is no text."""
    return size > REGULAR_FILE_MAX or b"\0" in sample


def goes_to_lfs(path: str, size: int, sample: bytes = b"") -> bool:
    """Whether the Hub stores this file by LFS in a new repo: by its name, or since it is large."""
    if size == 0:  # the client sends empty files as regular ones whatever it is told
        return False
    name = path.rsplit("/", 1)[-1]
    by_name = any(fnmatchcase(path if "/" in pattern else name, pattern) for pattern in LFS_PATTERNS)
    return by_name or is_large(size, sample)


def split_card(card: str) -> tuple[str | None, str]:
    """A card's front matter, None where it has none, and its text, as the Hub tells them apart."""
    block = _FRONT_MATTER.match(card)
    return (block[2], card[block.end() :]) if block else (None, card)


def front_matter_problems(metadata: Mapping[str, Any]) -> list[str]:
    """What the Hub would refuse or misread in a card's front matter, one line a problem, in reading order."""
    if not isinstance(metadata, Mapping):
        return ["the front matter must be a mapping of keys to values"]
    return [
        *_license_problems(metadata),
        *_language_problems(metadata),
        *_tag_problems(metadata),
        *_base_model_problems(metadata),
        *_model_index_problems(metadata),
    ]


def _license_problems(metadata: Mapping[str, Any]) -> Iterator[str]:
    if "license" not in metadata:
        return
    for licence in _as_list(metadata["license"]):
        if not isinstance(licence, str) or licence not in LICENSES:
            yield f'"license" must be an id of the Hub\'s list, not {licence!r}{_nearest(licence, LICENSES)}'
    if metadata["license"] == "other":
        for key in ("license_name", "license_link"):
            if not _is_text(metadata.get(key)):
                yield f'"license: other" needs "{key}"'
    link = metadata.get("license_link")
    if isinstance(link, str) and link.strip() and not LICENSE_LINK_PATTERN.fullmatch(link):
        yield f'"license_link" must be an address or a file of the repo, not {link!r}'


def _language_problems(metadata: Mapping[str, Any]) -> Iterator[str]:
    if "language" not in metadata:
        return
    for code in _as_list(metadata["language"]):
        if code is False:
            yield '"language" is false: YAML 1.1 reads an unquoted no (Norwegian) so; write "no" in quotes'
        elif not isinstance(code, str) or not LANGUAGE_PATTERN.fullmatch(code):
            yield (
                f'"language" must be ISO 639 codes of two or three lower-case letters, "multilingual" or'
                f' "code", not {code!r}'
            )


def _tag_problems(metadata: Mapping[str, Any]) -> Iterator[str]:
    task = metadata.get("pipeline_tag")
    if "pipeline_tag" in metadata and not (isinstance(task, str) and task in PIPELINE_TAGS):
        yield f'"pipeline_tag" must be a task that the Hub knows, not {task!r}{_nearest(task, PIPELINE_TAGS)}'
    if "library_name" in metadata and not _is_text(metadata["library_name"]):
        yield f'"library_name" must be a string, not {metadata["library_name"]!r}'
    for key in ("tags", "metrics"):
        for value in _as_list(metadata.get(key, [])):
            if not _is_text(value):
                yield f'"{key}" must be a list of strings, not {value!r}'
    for key in LIST_KEYS:
        if key in metadata and not isinstance(metadata[key], list):
            yield f'"{key}" must be an array, not {metadata[key]!r}'
    for dataset in _as_list(metadata.get("datasets", [])):
        if not is_repo_id(dataset):
            yield f'"datasets" must be dataset ids on the Hub, not {dataset!r}'


def _base_model_problems(metadata: Mapping[str, Any]) -> Iterator[str]:
    for model in _as_list(metadata.get("base_model", [])):
        if not is_repo_id(model):
            yield f'"base_model" must be a model id on the Hub, never a path, not {model!r}'
    relation = metadata.get("base_model_relation")
    if "base_model_relation" in metadata and relation not in BASE_MODEL_RELATIONS:
        yield f'"base_model_relation" must be one of {", ".join(BASE_MODEL_RELATIONS)}, not {relation!r}'


def _model_index_problems(metadata: Mapping[str, Any]) -> Iterator[str]:
    if "model-index" not in metadata:
        return
    index = metadata["model-index"]
    if not isinstance(index, list):
        yield '"model-index" must be a list'
        return
    for i, entry in enumerate(index):
        where = f"model-index[{i}]"
        if not isinstance(entry, Mapping) or not _is_text(entry.get("name")):
            yield f'"{where}.name" is required'
            continue
        results = entry.get("results")
        if not isinstance(results, list):
            yield f'"{where}.results" must be a list'
            continue
        for j, result in enumerate(results):
            yield from _result_problems(f"{where}.results[{j}]", result)
    yield from _empty_values("model-index", index)


def _result_problems(where: str, result: Any) -> Iterator[str]:
    if not isinstance(result, Mapping):
        yield f'"{where}" must be a mapping'
        return
    for part, key in (("task", "type"), ("dataset", "type"), ("dataset", "name")):
        holder = result.get(part)
        if not isinstance(holder, Mapping) or not _is_text(holder.get(key)):
            yield f'"{where}.{part}.{key}" is required'
    dataset = result.get("dataset")
    for key in MODEL_INDEX_STRINGS:
        value = dataset.get(key) if isinstance(dataset, Mapping) else None
        if value is not None and not isinstance(value, str):
            yield f'"{where}.dataset.{key}" must be a string, not {value!r}'
    metrics = result.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        yield f'"{where}.metrics" must be a list of at least one metric'
        return
    for k, metric in enumerate(metrics):
        if not isinstance(metric, Mapping) or not _is_text(metric.get("type")):
            yield f'"{where}.metrics[{k}].type" is required'
        if not isinstance(metric, Mapping) or "value" not in metric:
            yield f'"{where}.metrics[{k}].value" is required'


def _empty_values(where: str, value: Any) -> Iterator[str]:
    """Each null, NaN and infinity below `value`: the Hub refuses a model-index that holds one."""
    if value is None:
        yield f'"{where}" must not be null'
    elif isinstance(value, float) and not math.isfinite(value):
        yield f'"{where}" must be a finite number, not {value!r}'
    elif isinstance(value, Mapping):
        for key, part in value.items():
            if not isinstance(part, str):  # most are
                yield from _empty_values(f"{where}.{key}", part)
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from _empty_values(f"{where}[{i}]", part)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _nearest(word: Any, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # only on the way to an error

    near = get_close_matches(str(word).lower(), sorted(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
