"""The token of the Hub in a file, such as a mounted Secret."""

from pathlib import Path

from holdfast.sources.hub_errors import SourceForbiddenError


def read_token(path: Path | None) -> str | None:
    """Return the token in a file; None without a file or when it is empty or not there. Read at each use: tokens are rotated.

    Raises:
        SourceForbiddenError: it is no token. It is not shown here, and a client that is given it would show it.
        OSError: it cannot be read.
    """
    if path is None:
        return None
    try:
        token = path.read_bytes().strip()
    except FileNotFoundError:
        return None
    if not all(0x21 <= byte <= 0x7E for byte in token):
        raise SourceForbiddenError(f"{path}: the file of the token holds something else than a token; write the Secret anew")
    return token.decode("ascii") or None
