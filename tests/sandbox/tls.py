"""A certificate authority for tests, with a certificate for this machine and one for a client.

Made anew with every `up`, so there is no key in the repository and none that is worth stealing.
`client/` has the file names that DOCKER_CERT_PATH wants.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from processes import Failure

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
# rustls insists on version 3 certificates, and on an authority that is no server itself.
EXTENSIONS = {
    "server": "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n",
    "client": "extendedKeyUsage=clientAuth\n",
}


def make(folder: Path) -> None:
    authority = ["req", "-x509", *NEW_KEY, "-days", "30", "-subj", "/CN=crossdock sandbox CA"]
    authority += ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    openssl(folder, *authority, "-keyout", "ca-key.pem", "-out", "ca.pem")
    for name, extensions in EXTENSIONS.items():
        (folder / f"{name}.ext").write_text(
            f"basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\n{extensions}",
            encoding="ascii",
        )
        key, request, certificate = f"{name}-key.pem", f"{name}.csr", f"{name}-cert.pem"
        subject = ["-subj", f"/CN=crossdock sandbox {name}"]
        openssl(folder, "req", "-new", *NEW_KEY, *subject, "-keyout", key, "-out", request)
        sign = [
            "x509",
            "-req",
            "-in",
            request,
            "-days",
            "30",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca-key.pem",
        ]
        openssl(folder, *sign, "-CAcreateserial", "-extfile", f"{name}.ext", "-out", certificate)
        (folder / request).unlink()
        (folder / f"{name}.ext").unlink()
    client = folder / "client"
    client.mkdir(mode=0o700)
    shutil.copy(folder / "ca.pem", client / "ca.pem")
    (folder / "client-cert.pem").rename(client / "cert.pem")
    (folder / "client-key.pem").rename(client / "key.pem")


def openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"openssl {arguments[0]} failed:\n{done.stderr.strip()}")
