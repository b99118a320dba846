"""Who asks, and what they may see."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from testbed.hub.repository import Repository


@dataclass(frozen=True, slots=True)
class Account:
    """A user with one access token and the organisations they belong to."""

    name: str
    token: str
    organizations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request.

    ``account`` is None for anonymous callers and for unknown tokens; ``token`` is the redacted form for logs.
    """

    account: Account | None
    token: str | None

    @property
    def anonymous(self) -> bool:
        """No token was sent at all."""
        return self.token is None

    @property
    def invalid(self) -> bool:
        """A token was sent that belongs to nobody."""
        return self.token is not None and self.account is None

    def owns(self, repository: Repository) -> bool:
        """Whether the caller is the owner or a member of the owning organisation."""
        account = self.account
        return account is not None and repository.namespace in (account.name, *account.organizations)

    def may_see(self, repository: Repository) -> bool:
        """Whether the repository exists for the caller."""
        return not repository.private or self.owns(repository)

    def may_download(self, repository: Repository) -> bool:
        """Whether the caller passes the gate."""
        if not repository.gated or self.owns(repository):
            return True
        return self.account is not None and self.account.name in repository.access


def identify(token: str | None, accounts: Iterable[Account]) -> Caller:
    """Find the account of a token, comparing in constant time."""
    if token is None:
        return Caller(None, None)
    matches = [a for a in accounts if hmac.compare_digest(a.token.encode(), token.encode())]
    return Caller(matches[0] if matches else None, redact(token))


def redact(token: str) -> str:
    """Return a form of a token that tells tokens apart in logs but cannot be used."""
    return f"{token[:3]}…{hashlib.sha256(token.encode()).hexdigest()[:8]}"
