"""What can go wrong at the Hub, each with its reason and a sentence for people."""

import asyncio
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from holdfast.api.model import HuggingFaceSource
from holdfast.api.reasons import Reason
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_errors import HubError
from holdfast.sources.token_file import read_token
from testbed.hub import Drop, Gone, HubServer, OtherBytes, RateLimited, Slow, Stall, Status, Truncate
from testbed.hub.faults import AnyFault
from unit.hub_source.conftest import REPOSITORY, asking

PLAIN = "resolve-cache.*config"


async def refused(resolver: HubResolver, commit: str, **fields: object) -> HubError:
    source = HuggingFaceSource.model_validate({"repository": REPOSITORY, "commit": commit} | fields)
    with pytest.raises(HubError) as raised:
        await resolver.resolve(asking(source))
    return raised.value


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        (lambda admin, _: admin.delete_repo(REPOSITORY), Reason.SOURCE_NOT_FOUND, "does not exist"),
        (lambda admin, _: admin.set_private(REPOSITORY), Reason.SOURCE_NOT_FOUND, "is private and no token"),
        (lambda admin, commit: admin.delete_commit(REPOSITORY, commit), Reason.SOURCE_NOT_FOUND, "force-pushed"),
        (lambda admin, _: admin.squash(REPOSITORY), Reason.SOURCE_NOT_FOUND, "force-pushed"),
        (lambda admin, _: admin.set_gated(REPOSITORY), Reason.SOURCE_FORBIDDEN, "is gated"),
        (lambda admin, _: admin.set_disabled(REPOSITORY), Reason.SOURCE_FORBIDDEN, "disabled"),
        (lambda admin, _: admin.rename(REPOSITORY, "other/model"), Reason.SOURCE_MISMATCH, "is now other/model"),
    ],
    ids=["deleted", "private", "commit-deleted", "squashed", "gated", "disabled", "renamed"],
)
async def test_what_people_do_upstream(
    resolver: HubResolver, hub: HubServer, commit: str, change: Callable[[Any, str], object], reason: Reason, words: str
) -> None:
    change(hub.admin, commit)
    error = await refused(resolver, commit)
    assert error.reason is reason
    assert words in str(error)
    assert error.retry_after is None


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (Status(status=500), Reason.SOURCE_UNAVAILABLE, "answered 500"),
        (Status(status=503, match="/tree/"), Reason.SOURCE_UNAVAILABLE, "answered 503"),
        (Status(status=502, match=PLAIN), Reason.SOURCE_UNAVAILABLE, "answered 502"),
        (Status(status=403), Reason.SOURCE_FORBIDDEN, "refused"),
        (Status(status=418), Reason.SOURCE_UNAVAILABLE, "answered 418"),
        (Stall(), Reason.SOURCE_UNAVAILABLE, "did not answer within 1 s"),
        (Stall(match="/tree/"), Reason.SOURCE_UNAVAILABLE, "did not answer within 1 s"),
        (Drop(after_bytes=10), Reason.SOURCE_UNAVAILABLE, "cannot be reached"),
        (Truncate(match="/tree/"), Reason.SOURCE_UNAVAILABLE, "not understood"),
        (Gone(match="/tree/"), Reason.SOURCE_NOT_FOUND, "force-pushed"),
        (OtherBytes(match=PLAIN), Reason.SOURCE_MISMATCH, "'config.json'"),
        (Truncate(match=PLAIN), Reason.SOURCE_MISMATCH, "'config.json'"),
    ],
    ids=lambda value: value.kind if hasattr(value, "kind") else None,
)
async def test_a_hub_that_misbehaves(
    resolver: HubResolver, hub: HubServer, commit: str, fault: AnyFault, reason: Reason, words: str
) -> None:
    hub.admin.add_fault(fault)
    error = await refused(resolver, commit)
    assert error.reason is reason
    assert words in str(error)


async def test_one_try_then_an_answer(resolver: HubResolver, hub: HubServer, commit: str) -> None:
    hub.admin.add_fault(Status(status=503, times=None))
    await refused(resolver, commit)
    assert len(hub.admin.requests()) == 1


@pytest.mark.parametrize("retry_after", [True, False])
async def test_a_rate_limit_says_when_to_come_back(resolver: HubResolver, hub: HubServer, commit: str, retry_after: bool) -> None:
    hub.admin.add_fault(RateLimited(reset_seconds=77, retry_after=retry_after))
    error = await refused(resolver, commit)
    assert error.reason is Reason.SOURCE_UNAVAILABLE
    assert error.retry_after == 78.0


async def test_a_retry_after_header_counts(resolver: HubResolver, hub: HubServer, commit: str) -> None:
    hub.admin.add_fault(Status(status=503, headers={"Retry-After": "12"}))
    assert (await refused(resolver, commit)).retry_after == 12.0


async def test_nothing_that_matches_is_not_found(resolver: HubResolver, commit: str) -> None:
    error = await refused(resolver, commit, include=["*.gguf", "*.bin"])
    assert error.reason is Reason.SOURCE_NOT_FOUND
    assert "*.gguf, *.bin" in str(error)


async def test_another_list_than_the_manifest_digest_says_is_a_mismatch(resolver: HubResolver, commit: str) -> None:
    error = await refused(resolver, commit, manifest_digest="sha256:" + "0" * 64)
    assert error.reason is Reason.SOURCE_MISMATCH
    assert "sha256:" + "0" * 64 in str(error)


async def test_a_commit_that_belongs_to_no_branch_is_not_replaced_by_one(resolver: HubResolver, commit: str) -> None:
    assert (await refused(resolver, "f" * 40)).reason is Reason.SOURCE_NOT_FOUND


async def test_an_invalid_token_is_forbidden(hub: HubServer, commit: str) -> None:
    resolver = HubResolver(hub.url, token=lambda: "hf_nobodynobodynobodynobodynobodyn")
    error = await refused(resolver, commit)
    assert error.reason is Reason.SOURCE_FORBIDDEN
    assert "hf_nobody" not in str(error)
    await resolver.close()


@pytest.mark.parametrize("content", [b"hf_secret\nhf_other", b"hf secret", b"\xffhf_secret", "hf_s\u00e9cret".encode()])
async def test_a_file_that_holds_no_token_is_said_to_and_not_shown(
    hub: HubServer, commit: str, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    resolver = HubResolver(hub.url, token=partial(read_token, file))
    error = await refused(resolver, commit)
    assert error.reason is Reason.SOURCE_FORBIDDEN
    assert f"{file}: the file of the token holds something else than a token" in str(error)
    assert "hf_s" not in str(error)
    await resolver.close()


async def test_a_header_that_http_cannot_carry_is_not_shown(hub: HubServer, commit: str) -> None:
    resolver = HubResolver(hub.url, token=lambda: "hf_secret\nhf_other")
    error = await refused(resolver, commit)
    assert error.reason is Reason.SOURCE_UNAVAILABLE
    assert "hf_secret" not in "".join(traceback.format_exception(error))
    await resolver.close()


@pytest.mark.parametrize("content", [None, b"", b" \n"])
def test_without_a_token_nobody_is_asked_in_a_name(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    assert read_token(file) is None


@pytest.mark.parametrize("path", ["a\u202eb.json", "e\u0301.json"])
async def test_deceiving_paths_are_unusable(resolver: HubResolver, hub: HubServer, path: str) -> None:
    commit = hub.admin.commit(REPOSITORY, {path: b"{}"})
    error = await refused(resolver, commit)
    assert error.reason is Reason.INVALID_SPEC
    assert "include" in str(error)


async def test_paths_that_differ_by_case_are_unusable_unless_one_is_chosen(resolver: HubResolver, hub: HubServer) -> None:
    commit = hub.admin.commit(REPOSITORY, {"Model.json": b"{}", "model.json": b"{}"})
    assert (await refused(resolver, commit)).reason is Reason.INVALID_SPEC
    source = HuggingFaceSource(repository=REPOSITORY, commit=commit, include=["model.json"])
    assert [file.path for file in (await resolver.resolve(asking(source))).source.files or ()] == ["model.json"]


async def test_a_plain_file_that_is_too_large_is_unusable(resolver: HubResolver, hub: HubServer) -> None:
    commit = hub.admin.commit(REPOSITORY, {"huge.json": b" " * (16 * 1024 * 1024 + 1)}, lfs={"huge.json": False})
    error = await refused(resolver, commit)
    assert error.reason is Reason.INVALID_SPEC
    assert "huge.json" in str(error)


async def test_a_list_that_no_config_map_holds_is_unusable(resolver: HubResolver, hub: HubServer) -> None:
    hub.admin.change_settings(page_size=1000)
    files: dict[str, bytes | None] = {f"{'x' * 200}/{'y' * 200}/{number}.safetensors": b"w" for number in range(1800)}
    commit = hub.admin.commit(REPOSITORY, files)
    error = await refused(resolver, commit, include=["x*"])
    assert error.reason is Reason.INVALID_SPEC
    assert "1800 files" in str(error)


async def test_no_hub_at_all_is_unavailable() -> None:
    resolver = HubResolver("http://127.0.0.1:1")
    error = await refused(resolver, "a" * 40)
    assert error.reason is Reason.SOURCE_UNAVAILABLE
    await resolver.close()


async def test_answers_that_never_end_are_cut_off(hub: HubServer, commit: str) -> None:
    resolver = HubResolver(hub.url, request_seconds=5.0, total_seconds=1.0)
    hub.admin.add_fault(Slow(match="/revision/", bytes_per_second=20))
    started = time.monotonic()
    error = await refused(resolver, commit)
    assert error.reason is Reason.SOURCE_UNAVAILABLE
    assert "within 1 s" in str(error)
    assert time.monotonic() - started < 5
    await resolver.close()


async def test_cancelling_returns_at_once_and_frees_the_thread(hub: HubServer, commit: str) -> None:
    resolver = HubResolver(hub.url, workers=1, request_seconds=1.0)
    hub.admin.add_fault(Stall())
    source = HuggingFaceSource(repository=REPOSITORY, commit=commit)
    task = asyncio.create_task(resolver.resolve(asking(source)))
    await asyncio.to_thread(hub.admin.wait_for_requests, "GET")
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 0.5
    assert (await asyncio.wait_for(resolver.resolve(asking(source)), 10)).source.hugging_face is not None
    await resolver.close()


async def test_cancelling_ends_an_answer_that_drips(hub: HubServer, commit: str) -> None:
    resolver = HubResolver(hub.url, workers=1, request_seconds=5.0)
    hub.admin.add_fault(Slow(match="/revision/", bytes_per_second=20))  # half a minute
    source = HuggingFaceSource(repository=REPOSITORY, commit=commit)
    task = asyncio.create_task(resolver.resolve(asking(source)))
    await asyncio.to_thread(hub.admin.wait_for_requests, "GET")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await asyncio.wait_for(resolver.resolve(asking(source)), 10)).source.hugging_face is not None
    await resolver.close()
