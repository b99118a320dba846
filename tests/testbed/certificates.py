"""The bed's certificate authority, the certificates it signs, and kubeconfigs that carry them."""

import base64
import datetime
import ipaddress
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = datetime.timedelta(days=365)
# A virtual machine's clock can step back after a start.
_CLOCK_STEP = datetime.timedelta(hours=1)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _private_bytes(key: Key) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Authority:
    """One certificate authority for everything in a bed: servers, clients, kubelet."""

    def __init__(self, directory: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.directory = directory
        self._key = key
        self._certificate = certificate

    @property
    def certificate(self) -> Path:
        """The path of the authority's own certificate."""
        return self.directory / "ca.crt"

    @property
    def key(self) -> Path:
        """The path of the authority's key."""
        return self.directory / "ca.key"

    @classmethod
    def create(cls, directory: Path) -> Self:
        """Make a new authority in an empty folder."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "holdfast-testbed")])
        now = datetime.datetime.now(datetime.UTC)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_STEP)
            .not_valid_after(now + _VALID)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        authority = cls(directory, key, certificate)
        authority.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        write_private(authority.key, _private_bytes(key))
        return authority

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read the authority that `create` made in this folder."""
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{directory / 'ca.key'} holds another kind of key")
        return cls(directory, key, x509.load_pem_x509_certificate((directory / "ca.crt").read_bytes()))

    def sign(self, common_name: str, *, groups: Iterable[str] = (), names: Sequence[str] = ()) -> tuple[bytes, bytes]:
        """Make a key and a certificate for it, both PEM: (certificate, key).

        The API server takes the common name as the user and each organization as a group. With `names` (DNS names or
        addresses) it is a server's certificate too.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if names else [])]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(attributes))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_STEP)
            .not_valid_after(now + _VALID)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM), _private_bytes(key)

    def issue(self, file: str, common_name: str, *, groups: Iterable[str] = (), names: Sequence[str] = ()) -> tuple[Path, Path]:
        """Like `sign`, written to FILE.crt and FILE.key in the authority's folder; returns both paths."""
        certificate, key = self.sign(common_name, groups=groups, names=names)
        paths = self.directory / f"{file}.crt", self.directory / f"{file}.key"
        paths[0].write_bytes(certificate)
        write_private(paths[1], key)
        return paths

    def kubeconfig(self, path: Path, server: str, user: str, *, groups: Iterable[str] = ()) -> Path:
        """Write a kubeconfig that holds all it needs, for a user of these groups."""
        certificate, key = self.sign(user, groups=groups)
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "testbed",
                    "cluster": {"server": server, "certificate-authority-data": _base64(self.certificate.read_bytes())},
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)},
                }
            ],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user}}],
            "current-context": "testbed",
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, yaml.safe_dump(content, sort_keys=False).encode())
        return path


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def service_account_key(path: Path) -> Path:
    """Write the RSA key with which service account tokens are signed."""
    write_private(path, _private_bytes(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    return path
