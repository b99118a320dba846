"""What the admin client and the admin API say to each other: one model per operation, JSON on the wire."""

from pydantic import BaseModel, ConfigDict, Field

from testbed.hub.faults import Fault, Pattern
from testbed.hub.journal import RequestRecord, UnexpectedRequest
from testbed.hub.ratelimit import Bucket
from testbed.hub.repository import MAIN, Gated


class Message(BaseModel):
    """Base of all messages: unknown fields are refused, bytes travel as base64."""

    model_config = ConfigDict(extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


class Nothing(Message):
    """No argument, or no result."""


class CreateRepo(Message):
    """Create a repository; the result is its first commit."""

    repo: str
    private: bool = False
    gated: Gated = False


class OneRepo(Message):
    """Names a repository."""

    repo: str


class Rename(Message):
    """Rename a repository."""

    repo: str
    to: str


class CommitFiles(Message):
    """Commit files: bytes write one, None deletes it; ``lfs`` overrides how a file is stored."""

    repo: str
    files: dict[str, bytes | None]
    lfs: dict[str, bool] = {}
    ref: str = MAIN
    author: str | None = None
    title: str
    message: str = ""


class SetCard(Message):
    """Replace the metadata of the model card."""

    repo: str
    card: dict[str, object]
    ref: str = MAIN


class SetRef(Message):
    """Point a ref at a revision."""

    repo: str
    ref: str
    revision: str


class OneRef(Message):
    """Names a ref."""

    repo: str
    ref: str


class OneCommit(Message):
    """Names a commit."""

    repo: str
    sha: str


class Squash(Message):
    """Replace the history of a ref by one commit."""

    repo: str
    ref: str = MAIN
    title: str


class Configure(Message):
    """Change who may see and download a repository; None leaves a setting as it is."""

    repo: str
    private: bool | None = None
    gated: Gated | None = None
    disabled: bool | None = None


class SetAccess(Message):
    """Let an account through the gate of a repository, or no longer."""

    repo: str
    account: str
    granted: bool


class AddAccount(Message):
    """Create or replace an account."""

    name: str = Field(min_length=1)
    token: str = Field(min_length=1)
    organizations: tuple[str, ...] = ()


class OneAccount(Message):
    """Names an account."""

    name: str


class AddFault(Message):
    """Put a fault in force."""

    fault: Fault


class OneFault(Message):
    """Names a fault by its id."""

    id: int


class FindRequests(Message):
    """Select requests of the log by an expression in ``<METHOD> <path>`` and a number that they come after."""

    match: Pattern = "."
    after: int = 0


class ChangeSettings(Message):
    """Change the hub's habits; None leaves a setting as it is. ``quotas`` are requests per rate-limit window."""

    page_size: int | None = Field(default=None, ge=1)
    commit_page_size: int | None = Field(default=None, ge=1)
    cdn_link_seconds: int | None = None
    quotas: dict[Bucket, int] = {}
    rate_limit_window_seconds: int | None = Field(default=None, ge=1)


class CommitId(Message):
    """The result of an operation that made or found a commit."""

    sha: str


class FaultId(Message):
    """The result of `AddFault`."""

    id: int


class RepoSummary(Message):
    """A repository as the administrator sees it. ``commits`` are ids, oldest first."""

    repo: str
    private: bool
    gated: Gated
    disabled: bool
    refs: dict[str, str]
    commits: list[str]
    vanished: list[str]
    access: list[str]


class Repos(Message):
    """All repositories, and which old names redirect where."""

    repos: list[RepoSummary]
    redirects: dict[str, str]


class FaultReport(Message):
    """A fault with how often a request matched it and how often it struck."""

    id: int
    fault: Fault
    seen: int
    hits: int


class Faults(Message):
    """All faults, spent ones too."""

    faults: list[FaultReport]


class Requests(Message):
    """Requests of the log, oldest first."""

    requests: list[RequestRecord]


class Unexpected(Message):
    """What the hub did not understand."""

    unexpected: list[UnexpectedRequest]


class Failure(Message):
    """Why an operation was refused."""

    error: str
