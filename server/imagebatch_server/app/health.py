"""`imagebatch health`: asks the server of this machine whether it takes work, as probes of containers do."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imagebatch_server.app.options import of_setting
from imagebatch_server.app.settings import Settings

SERVING = health_pb2.HealthCheckResponse.SERVING
NO_PROXY = ("grpc.enable_http_proxy", 0)


def health(
    address: Annotated[str | None, of_setting("address")] = None,
    tls_certificate: Annotated[Path | None, of_setting("tls_certificate")] = None,
    tls_key: Annotated[Path | None, of_setting("tls_key")] = None,
    tls_client_ca: Annotated[Path | None, of_setting("tls_client_ca")] = None,
    timeout_s: Annotated[float, typer.Option(help="How long it may take to answer.", min=0.1)] = 4.0,
) -> None:
    """Ask gRPC's health service of the server whose settings these are; 0: it takes work, 1: it does not.

    It needs no token. The certificate that the server must show is the one in the file. A server that asks clients for
    certificates is shown its own, which has to be of those authorities then.
    """
    given: dict[str, Any] = {
        "address": address,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "tls_client_ca": tls_client_ca,
    }
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    target = _from_here(settings.address)
    try:
        with _channel(settings, target) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its types leave the methods out
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
    except (OSError, ValueError) as error:
        typer.echo(f"imagebatch health: {error}", err=True)
        raise typer.Exit(2) from error
    except grpc.RpcError as error:
        failed: Any = error  # a grpc.Call as well, which its types don't say
        typer.echo(f"imagebatch health: {target}: {failed.code().name}: {failed.details()}", err=True)
        raise typer.Exit(1) from error
    typer.echo(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
    raise typer.Exit(0 if answer.status == SERVING else 1)


def _channel(settings: Settings, target: str) -> grpc.Channel:
    if settings.tls_certificate is None:
        return grpc.insecure_channel(target, options=[NO_PROXY])
    certificate = settings.tls_certificate.read_bytes()
    pair: tuple[bytes | None, bytes | None] = (None, None)
    if settings.tls_client_ca is not None and settings.tls_key is not None:
        pair = (settings.tls_key.read_bytes(), certificate)
    # The machine's own name is seldom in a certificate, so what it is held to is one of the names that are.
    override = ("grpc.ssl_target_name_override", _name_in(certificate))
    credentials = grpc.ssl_channel_credentials(certificate, *pair)
    return grpc.secure_channel(target, credentials, options=[NO_PROXY, override])


def _from_here(address: str) -> str:
    """Make what a server listens on something to connect to."""
    host, _, port = address.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return address
    if not ip.is_unspecified:
        return address
    return f"127.0.0.1:{port}" if ip.version == 4 else f"[::1]:{port}"


def _name_in(pem: bytes) -> str:
    """Find a name that the first certificate is for. Raises ValueError where there is none."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    found = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    if not found:
        raise ValueError("the certificate names no host, so no client can check it; issue one that does")
    return found[0]
