"""Certificates for a server on loopback: an authority, a server's certificate by it, and a stranger.

Writes ca.pem, server.pem, server.key and stranger.pem to the working directory.
"""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(subject, key, issuer, issuer_key, authority):
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        names = x509.SubjectAlternativeName([loopback, x509.DNSName("localhost")])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def main():
    pem = serialization.Encoding.PEM
    keys = {who: ec.generate_private_key(ec.SECP256R1()) for who in ("ca", "server", "stranger")}
    for who in ("ca", "stranger"):
        write(f"{who}.pem", certificate(who, keys[who], who, keys[who], True).public_bytes(pem))
    server = certificate("server", keys["server"], "ca", keys["ca"], False)
    write("server.pem", server.public_bytes(pem))
    form = serialization.PrivateFormat.PKCS8
    none = serialization.NoEncryption()
    write("server.key", keys["server"].private_bytes(pem, form, none))


main()
