"""The local Hub's answers against the Hub's published OpenAPI, as pyhfapi's generated models validate them.

Every operation that pyhfapi knows is either called here, strictly, or named with the reason why the local Hub
does not offer it; an operation can neither be forgotten nor vanish.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import conforming
import pyhfapi
import pytest
from conforming import ALICE, BOB, commit, running, text_file
from pyhfapi._resource import SyncAPIResource

N = {"namespace": "alice", "repo": "spec"}
D = {"repo_type": "models", **N}
MODELS_ONLY = "datasets and Spaces are not here"
NOT_A_HUB_OF = "hubkit publishes adapters; blogs, papers, posts, jobs and accounts are none of its concern"

# Why an operation is not offered; a name that ends in a dot stands for all below it.
NOT_OFFERED = {
    "api.blog.": NOT_A_HUB_OF,
    "api.papers.": NOT_A_HUB_OF,
    "api.posts.": NOT_A_HUB_OF,
    "api.get_daily_papers": NOT_A_HUB_OF,
    "api.docs.": NOT_A_HUB_OF,
    "api.jobs.": NOT_A_HUB_OF,
    "api.scheduled_jobs.": NOT_A_HUB_OF,
    "api.sql_console.": NOT_A_HUB_OF,
    "api.notifications.": NOT_A_HUB_OF,
    "api.discussions.mark_as_read": NOT_A_HUB_OF,
    "api.settings.": NOT_A_HUB_OF,
    "api.users.": NOT_A_HUB_OF,
    "api.organizations.": "an organization is a name that a token may write for",
    "api.datasets.": MODELS_ONLY,
    "api.spaces.": MODELS_ONLY,
    "api.get_dataset_tags": MODELS_ONLY,
    "api.resolve_cache.resolve_dataset": MODELS_ONLY,
    "api.resolve_cache.resolve_space": MODELS_ONLY,
    "datasets.": MODELS_ONLY,
    "spaces.": MODELS_ONLY,
    "oauth.": "nobody signs in to the local Hub",
    "api.models.resource_group.": "resource groups belong to paid organizations",
    "api.models.get_notebook_url": "it needs a service that runs notebooks",
    "api.models.lfs_files.delete": "large files are shared by all repos, and history is kept",
    "api.models.lfs_files.delete_batch": "large files are shared by all repos, and history is kept",
    "api.discussions.delete": "the number of a deleted discussion would come twice",
}


def operations(resource: Any, before: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every operation below a resource of pyhfapi, by its dotted name."""
    for name in sorted(dir(resource)):
        if name.startswith(("_", "with_")):
            continue
        found = getattr(resource, name)
        if isinstance(found, SyncAPIResource):
            yield from operations(found, f"{before}{name}.")
        elif isinstance(resource, SyncAPIResource) and inspect.ismethod(found):
            yield before + name, found


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with running(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(scope="module")
def spec(hub):
    with pyhfapi.HuggingFace(
        api_key=ALICE, base_url=hub.endpoint, _strict_response_validation=True, max_retries=0
    ) as client:
        yield client


def resources(client):
    for name in ("api", "ask_access", "datasets", "oauth", "resolve", "spaces", "user_access_report"):
        yield from operations(getattr(client, name), f"{name}.")


def reason(name: str) -> str | None:
    """Why an operation is not offered, None for one that is."""
    return next(
        (why for key, why in NOT_OFFERED.items() if name == key or (key[-1] == "." and name.startswith(key))),
        None,
    )


def story(client: pyhfapi.HuggingFace, hub: Any) -> Iterator[tuple[str, Any]]:
    """Each operation that is offered, called in an order that makes sense, with what it answered."""
    models, talk = client.api.models, client.api.discussions
    yield "api.get_user_info", client.api.get_user_info()
    yield "api.repos.create", client.api.repos.create(type="model", name="spec")
    files = [
        {"path": "a.safetensors", "sample": "aGk=", "size": 2},
        {"path": "b.txt", "sample": "aGk=", "size": 2},
    ]
    yield "api.models.check_preupload", models.check_preupload("main", files=files, **N)
    # pyhfapi sends a commit's body as one JSON object, which is a commit of one line, its header.
    head = {"key": "header", "value": {"summary": "nothing yet"}}
    yield "api.models.commit", models.commit("main", extra_body=head, **N)
    large = conforming.upload(hub, "alice/spec", b"large" * 100)
    done = commit(hub, "alice/spec", text_file("a/b.txt", "hello\n"), ("lfsFile", {"path": "w.bin", **large}))
    assert done.status == 200, done
    yield "api.models.list_commits", models.list_commits("main", expand=["formatted"], limit=2, **N)
    yield (
        "api.models.list_paths_info",
        models.list_paths_info("main", expand=True, paths=["a", "a/b.txt", "w.bin", "no"], **N),
    )
    yield (
        "api.models.list_tree_content",
        models.list_tree_content("a", rev="main", expand=True, recursive=True, **N),
    )
    yield "api.models.branch.create", models.branch.create("dev", starting_point="main", **N)
    models.branch.create("dev", overwrite=True, **N)
    models.branch.create("empty", empty_branch=True, **N)
    yield "api.models.branch.delete", models.branch.delete("dev", **N)
    yield "api.models.tag.create", models.tag.create("main", tag="v1", message="first", **N)
    yield "api.models.list_refs", models.list_refs(include_prs=True, **N)
    yield "api.models.compare", models.compare("empty..main", **N)
    yield "api.models.tag.delete", models.tag.delete("v1", **N)
    yield "api.models.get_xet_read_token", models.get_xet_read_token("main", **N)
    yield "api.models.get_xet_write_token", models.get_xet_write_token("main", **N)
    yield "api.models.get_security_status", models.get_security_status(**N)
    yield "api.models.lfs_files.list", models.lfs_files.list(**N)
    yield "api.get_model_tags", client.api.get_model_tags()
    # The specification types both for files that lie in Xet; others come as their bytes.
    raw, cached = client.resolve.with_raw_response, client.api.resolve_cache.with_raw_response
    yield "resolve.file", raw.file("a/b.txt", rev="main", **N).read()
    yield "api.resolve_cache.resolve_model", cached.resolve_model("a/b.txt", rev="main", **N).read()
    yield from _discussions(talk)
    yield from _gates(client)
    yield "api.models.super_squash", models.super_squash("main", message="one", **N)
    yield "api.models.update_settings", models.update_settings(private=True, **N)
    yield from _collections(client.api.collections)
    yield "api.repos.move", client.api.repos.move(from_repo="alice/spec", to_repo="acme/spec", type="model")


def _discussions(talk: Any) -> Iterator[tuple[str, Any]]:
    yield "api.discussions.create", talk.create(title="A question", description="Why?", **D)
    talk.create(title="A proposal", description="So.", pull_request=True, **D)
    yield "api.discussions.add_comment", talk.add_comment("1", comment="Because.", **D)
    yield "api.discussions.change_title", talk.change_title("1", title="An answer", **D)
    yield "api.discussions.change_status", talk.change_status("1", status="closed", comment="Done.", **D)
    yield "api.discussions.pin", talk.pin("1", pinned=True, **D)
    yield "api.discussions.list", talk.list(status="all", type="all", **D)
    yield "api.discussions.retrieve", talk.retrieve("1", **D)
    talk.retrieve("2", **D)
    yield "api.discussions.merge", talk.merge("2", comment="Thanks.", **D)
    talk.retrieve("2", **D)


def _collections(collections: Any) -> Iterator[tuple[str, Any]]:
    made = collections.create(namespace="alice", title="Adapters", description="All of them")
    name, _, key = made.slug.rpartition("/")[2].rpartition("-")
    c = {"namespace": "alice", "slug": name, "id": key}
    yield "api.collections.create", made
    item = {"type": "model", "id": "alice/spec"}
    added = collections.items.add(item=item, note="The first", **c)
    yield "api.collections.items.add", added
    yield "api.collections.get", collections.get(**c)
    yield "api.collections.list", collections.list(owner="alice", item="models/alice/spec", limit=3)
    yield "api.collections.update", collections.update(title="Our adapters", theme="blue", **c)
    key = added.items[0].api_id
    change = {"action": "update", "_id": key, "data": {"note": "Still the first"}}
    yield "api.collections.items.batch_update", collections.items.batch_update(body=[change], **c)
    yield "api.collections.items.delete", collections.items.delete(key, **c)
    yield "api.collections.delete", collections.delete(**c)


def _gates(client: pyhfapi.HuggingFace) -> Iterator[tuple[str, Any]]:
    requests = client.api.models.user_access_request
    client.api.models.update_settings(gated="manual", **N)
    bob = client.with_options(api_key=BOB)
    yield "ask_access.request", bob.ask_access.request(**N)
    yield "api.models.user_access_request.cancel", bob.api.models.user_access_request.cancel(**N)
    bob.ask_access.request(**N)
    yield "api.models.user_access_request.list", requests.list("pending", **N)
    yield "api.models.user_access_request.handle", requests.handle(status="accepted", user="bob", **N)
    yield "api.models.user_access_request.grant", requests.grant(user="carol", **N)
    requests.list("accepted", **N)
    yield "user_access_report.export", client.user_access_report.export(**N)
    client.api.models.update_settings(gated=False, **N)


OFFERED = re.findall(r'yield\s*\(?\s*"([a-z_.]+)"', inspect.getsource(inspect.getmodule(story)))


@pytest.fixture(scope="module")
def answers(hub, spec):
    """What each operation answered, as pyhfapi's models: it raises where an answer does not fit its model."""
    return dict(story(spec, hub))


@pytest.fixture(scope="module")
def kinds(spec):
    """What each operation returns, by its annotation."""
    return {name: inspect.signature(call).return_annotation for name, call in resources(spec)}


def test_every_operation_is_called_or_named_with_a_reason(spec):
    known = dict(resources(spec))
    assert {name for name in known if not reason(name)} == set(OFFERED)
    assert len(known) == 179  # of this version of pyhfapi: a new one must be looked at
    for key in NOT_OFFERED:
        assert any(name == key or (key[-1] == "." and name.startswith(key)) for name in known), key


def test_the_answers_fit_the_specification(answers, kinds):
    assert set(answers) == set(OFFERED)
    for name, answer in answers.items():
        assert (answer is None) == (kinds[name] == "None"), name
    info = answers["api.get_user_info"]
    assert (info.name, [org.name for org in info.orgs]) == ("alice", ["acme"])
    assert [item.path for item in answers["api.models.list_paths_info"]] == ["a", "a/b.txt", "w.bin"]
    assert answers["api.models.list_paths_info"][1].last_commit.title == "change"
    assert [tag.name for tag in answers["api.models.list_refs"].tags] == ["v1"]
    assert answers["api.models.compare"].count("diff --git") == 3
    assert [file.size for file in answers["api.models.lfs_files.list"]] == [500]
    assert answers["resolve.file"] == answers["api.resolve_cache.resolve_model"] == b"hello\n"
    assert [event.type for event in answers["api.discussions.retrieve"].events] == [
        "comment",
        "comment",
        "title-change",
        "comment",
        "status-change",
        "pinning-change",
    ]


def made_up(parameter: inspect.Parameter) -> Any:
    """A value for a parameter of an operation that is not offered."""
    kind = str(parameter.annotation)
    if parameter.name in N:
        return N[parameter.name]
    if found := re.match(r"Literal\['([^']+)'", kind):
        return found[1]
    if kind.startswith(("Iterable", "List", "SequenceNotStr")):
        return []
    return {} if "_params." in kind or kind.startswith("Dict") else {"bool": True, "int": 1}.get(kind, "x")


def test_what_is_not_offered_is_a_404_in_json(spec):
    asked = {name: operation for name, operation in resources(spec) if reason(name)}
    for name, operation in asked.items():
        parameters = inspect.signature(operation).parameters.values()
        given = {p.name: made_up(p) for p in parameters if p.default is p.empty}
        with pytest.raises(pyhfapi.APIStatusError) as caught:
            operation(**given)
        answer = caught.value
        page = "/api/" not in str(answer.request.url)
        assert answer.status_code in ((404, 405) if page else (404,)), name
        assert page or answer.body["error"], name
