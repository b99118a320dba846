"""What is recorded beside a pin, through the real client; none of it ever fails a pin."""

import hashlib
from datetime import UTC, datetime

import pytest

from holdfast.api.model import HuggingFaceSource
from holdfast.api.revision import Recorded
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_records import front_matter
from testbed.hub import HubServer, Status
from unit.hub_source.conftest import CONTENT, REPOSITORY, asking

CARD = b"---\nlicense: llama3.1\nbase_model: meta/base\n---\n# Model\n"


async def recorded(resolver: HubResolver, commit: str) -> Recorded:
    found = await resolver.resolve(asking(HuggingFaceSource(repository=REPOSITORY, commit=commit)))
    assert found.recorded is not None
    return found.recorded


async def test_terms_descent_refs_and_signatures_at_the_commit(resolver: HubResolver, hub: HubServer) -> None:
    terms = {"LICENSE": b"be kind", "NOTICE.txt": b"note"}
    commit = hub.admin.commit(REPOSITORY, {**CONTENT, **terms, "README.md": CARD, "model.sig": b"{}"})
    hub.admin.tag(REPOSITORY, "v1")
    found = (await recorded(resolver, commit)).wire()
    last_modified = datetime.fromisoformat(found.pop("lastModified"))
    assert last_modified.tzinfo is UTC or last_modified.utcoffset() is not None
    assert found == {
        "license": {
            "id": "llama3.1",
            "files": [{"path": path, "sha256": hashlib.sha256(terms[path]).hexdigest()} for path in sorted(terms)],
            "baseModels": ["meta/base"],
        },
        "gated": False,
        "refs": ["refs/heads/main", "refs/tags/v1"],
        "securityStatus": "no issues",
        "signatures": ["model.sig"],
    }


async def test_a_card_that_changes_later_changes_nothing(resolver: HubResolver, hub: HubServer) -> None:
    commit = hub.admin.commit(REPOSITORY, {**CONTENT, "README.md": CARD})
    hub.admin.commit(REPOSITORY, {"README.md": b"---\nlicense: mit\n---\n"})
    found = await recorded(resolver, commit)
    assert found.license is not None
    assert found.license.id == "llama3.1"
    assert found.refs is None


@pytest.mark.parametrize("match", ["/refs", "/resolve/.*README.md", "/resolve/.*LICENSE"])
async def test_what_cannot_be_had_is_left_out(resolver: HubResolver, hub: HubServer, match: str) -> None:
    commit = hub.admin.commit(REPOSITORY, {**CONTENT, "LICENSE": b"be kind", "README.md": CARD})
    hub.admin.add_fault(Status(match=match, status=500, times=5))
    await recorded(resolver, commit)


@pytest.mark.parametrize(
    "card",
    [
        "",
        "# no front matter",
        "---\n: [\n---\n",
        "---\n- a\n---\n",
        "---\n" + "[" * 5000 + "\n---\n",
        "---\n!!python/object:os.system {}\n---\n",
        "---\nlicense: mit",
    ],
)
def test_a_card_that_cannot_be_read_says_nothing(card: str) -> None:
    assert front_matter(card) == {}


def test_other_licenses_have_a_name() -> None:
    assert front_matter("---\r\nlicense: other\r\nlicense_name: modified-mit\r\n---\r\n") == {
        "license": "other",
        "license_name": "modified-mit",
    }
