"""An OpenID provider: a real HTTPS server with discovery and keys, which can turn them over, and be away."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from imagebatch_server.app.authority import Authority

AUDIENCE = "imagebatch"


class SigningKey:
    """A key of the provider's."""

    def __init__(self, kid: str, algorithm: str) -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.private: Any
        if algorithm == "RS256":
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            self.published = json.loads(RSAAlgorithm.to_jwk(self.private.public_key()))
        elif algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
            self.published = json.loads(ECAlgorithm.to_jwk(self.private.public_key()))
        else:
            self.private = ed25519.Ed25519PrivateKey.generate()
            self.published = json.loads(OKPAlgorithm.to_jwk(self.private.public_key()))
        self.published |= {"kid": kid, "use": "sig", "alg": algorithm}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        return jwt.encode(claims, self.private, self.algorithm, headers={"kid": self.kid, **header})


class Provider:
    """Answers what a provider answers. `asked` counts the requests for its keys."""

    def __init__(self, port: int) -> None:
        self.issuer = f"https://127.0.0.1:{port}/realm"
        self.keys = [SigningKey("one", "RS256")]
        self.asked = 0
        self.is_away = False

    def claims(self, **others: Any) -> dict[str, Any]:
        """Make the claims of a good token; None leaves one out."""
        good = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "ada",
            "exp": time() + 600,
            "tenant": "acme",
            "roles": ["writer"],
        }
        return {name: value for name, value in (good | others).items() if value is not None}

    def token(self, **others: Any) -> str:
        """Sign a token with the first key."""
        return self.keys[0].sign(self.claims(**others))

    def answer(self, path: str) -> object:
        if path == "/realm/.well-known/openid-configuration":
            return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
        self.asked += 1
        return {"keys": [key.published for key in self.keys]}


@contextmanager
def providing(authority: Authority) -> Iterator[Provider]:
    """Run a provider whose certificate the authority has issued."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if provider.is_away else 200)
            body = json.dumps(provider.answer(self.path)).encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    certificate, key = authority.issue("provider", hosts=["127.0.0.1"])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    provider = Provider(server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
