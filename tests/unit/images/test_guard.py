"""The list of attacks on the fetcher's address check, each named."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.addresses import parse, why_forbidden
from imagebatch_server.images.guard import ForbiddenAddress, ForbiddenHost, Guard, operators_remedy
from imagebatch_server.urls import host_of, read

CLOSED = Guard()


def refusal(url: str, guard: Guard = CLOSED, code: ItemErrorCode = ItemErrorCode.FETCH_FORBIDDEN) -> str:
    with pytest.raises(ItemError) as caught:
        guard.check_url(url)
    assert caught.value.code is code
    assert not caught.value.transient
    return caught.value.message


FORBIDDEN = {
    "unspecified": "0.0.0.0",
    "this network": "0.1.2.3",
    "loopback": "127.0.0.1",
    "loopback, last": "127.255.255.254",
    "private 10": "10.0.0.1",
    "private 172": "172.31.255.255",
    "private 192": "192.168.1.1",
    "carrier-grade NAT": "100.64.0.1",
    "link-local": "169.254.1.1",
    "protocol assignments": "192.0.0.8",
    "documentation 1": "192.0.2.1",
    "documentation 2": "198.51.100.1",
    "documentation 3": "203.0.113.1",
    "6to4 relay": "192.88.99.1",
    "benchmarking": "198.19.255.255",
    "multicast": "224.0.0.1",
    "multicast, last": "239.255.255.255",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "metadata of most clouds": "169.254.169.254",
    "metadata of AWS containers": "169.254.170.2",
    "metadata of Azure": "168.63.129.16",
    "metadata of Alibaba": "100.100.100.200",
    "metadata of Oracle": "192.0.0.192",
    "metadata of Tencent": "169.254.0.23",
    "metadata of AWS, IPv6": "fd00:ec2::254",
    "metadata of Google, IPv6": "fd20:ce::254",
    "IPv6 unspecified": "::",
    "IPv6 loopback": "::1",
    "IPv6 unique local": "fc00::1",
    "IPv6 unique local, fd": "fdff:ffff::1",
    "IPv6 link-local": "fe80::1",
    "IPv6 link-local with a zone": "fe80::1%eth0",
    "IPv6 site-local": "fec0::1",
    "IPv6 multicast, nodes": "ff02::1",
    "IPv6 multicast, global": "ff0e::1",
    "IPv6 documentation": "2001:db8::1",
    "IPv6 documentation, new": "3fff::1",
    "IPv6 discard": "100::1",
    "IPv6 ORCHID": "2001:20::1",
    "IPv6 outside global unicast": "4000::1",
    "IPv6 segment routing": "5f00::1",
    "IPv4-mapped": "::ffff:127.0.0.1",
    "IPv4-mapped, in hex": "::ffff:7f00:1",
    "IPv4-mapped metadata": "::ffff:169.254.169.254",
    "IPv4-compatible": "::127.0.0.1",
    "IPv4-compatible, public inside": "::8.8.8.8",
    "IPv4-translated": "::ffff:0:127.0.0.1",
    "NAT64": "64:ff9b::127.0.0.1",
    "NAT64 metadata": "64:ff9b::a9fe:a9fe",
    "NAT64 private": "64:ff9b::10.0.0.1",
    "NAT64 of a private network": "64:ff9b:1::1",
    "NAT64 of a private network, any place": "64:ff9b:1:7f00:0:100::",
    "6to4": "2002:7f00:1::",
    "6to4 metadata": "2002:a9fe:a9fe::1",
    "6to4 private": "2002:c0a8:101::1",
    "Teredo": "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "ISATAP": "2606:4700::5efe:127.0.0.1",
    "ISATAP, global flag": "2606:4700::200:5efe:10.0.0.1",
}

PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "172.32.0.1",
    "100.128.0.1",
    "169.253.0.1",
    "192.0.1.1",
    "223.255.255.254",
)
PUBLIC_IPV6 = ("2606:4700:4700::1111", "2a00:1450:4001::200e", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8")


@pytest.mark.parametrize("name", FORBIDDEN)
def test_no_public_address(name: str) -> None:
    assert why_forbidden(parse(FORBIDDEN[name])) is not None
    with pytest.raises(ForbiddenAddress):
        CLOSED.check_address("host.example", FORBIDDEN[name])


@pytest.mark.parametrize("name", [name for name in FORBIDDEN if "%" not in FORBIDDEN[name]])
def test_no_public_address_as_a_host(name: str) -> None:
    address = FORBIDDEN[name]
    message = refusal(f"http://[{address}]/" if ":" in address else f"http://{address}/")
    is_metadata = "metadata" in (why_forbidden(parse(address)) or "")
    assert ("IMAGEBATCH_FETCH_ALLOWED_HOSTS" in message) is not is_metadata
    assert ("IMAGEBATCH_FETCH_ALLOWED_NETWORKS" in message) is not is_metadata


@pytest.mark.parametrize("name", FORBIDDEN)
def test_the_caller_is_not_told_what_a_name_stands_for(name: str) -> None:
    messages = set()
    for address in (FORBIDDEN[name], "10.9.8.7"):
        with pytest.raises(ForbiddenHost) as caught:
            CLOSED.check_answer("internal.example", [address])
        messages.add(caught.value.message)
        assert (caught.value.host, caught.value.address) == ("internal.example", address), "the operator is"
    (message,) = messages
    assert FORBIDDEN[name] not in message
    assert "IMAGEBATCH" not in message


def test_operators_are_told_how_to_open_a_host_but_not_metadata() -> None:
    assert "add intranet.example to IMAGEBATCH_FETCH_ALLOWED_HOSTS" in operators_remedy("intranet.example", "private")
    assert operators_remedy("intranet.example", "cloud metadata") == ""
    assert operators_remedy("intranet.example", "NAT64 form of 169.254.169.254, cloud metadata") == ""


@pytest.mark.parametrize("address", PUBLIC + PUBLIC_IPV6)
def test_a_public_address(address: str) -> None:
    CLOSED.check_address("host.example", address)
    CLOSED.check_url(f"http://[{address}]/" if ":" in address else f"http://{address}/")


@given(st.ip_addresses(v=4).map(str))
@example("127.0.0.1")
def test_every_disguise_of_an_address_is_judged_like_it(address: str) -> None:
    packed = parse(address).packed
    high, low = packed[:2].hex(), packed[2:].hex()
    plain = why_forbidden(parse(address))
    assert (why_forbidden(parse(f"::ffff:{address}")) is None) == (plain is None)
    assert (why_forbidden(parse(f"64:ff9b::{address}")) is None) == (plain is None)
    assert (why_forbidden(parse(f"2002:{high}:{low}::1")) is None) == (plain is None)
    assert (why_forbidden(parse(f"2a00::5efe:{address}")) is None) == (plain is None)
    assert why_forbidden(parse(f"::{address}"))


def test_one_forbidden_address_in_a_mixed_answer_refuses_the_host() -> None:
    CLOSED.check_answer("host.example", ["8.8.8.8", "2606:4700:4700::1111"])
    for mixed in (["8.8.8.8", "127.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["8.8.8.8", "::ffff:10.0.0.1"]):
        with pytest.raises(ItemError) as caught:
            CLOSED.check_answer("host.example", mixed)
        assert caught.value.code is ItemErrorCode.FETCH_FORBIDDEN
        assert "host.example" in caught.value.message


TRICKS = {
    "decimal IPv4": "http://2130706433/",
    "octal IPv4": "http://0177.0.0.1/",
    "octal IPv4 in one number": "http://017700000001/",
    "hexadecimal IPv4": "http://0x7f.0x0.0x0.0x1/",
    "hexadecimal IPv4 in one number": "http://0x7f000001/",
    "hexadecimal IPv4, short": "http://0x7f.1/",
    "short IPv4": "http://127.1/",
    "short IPv4 of three parts": "http://127.0.1/",
    "zero": "http://0/",
    "zero in hexadecimal": "http://0x/",
    "IPv4 with leading zeros": "http://127.000.000.001/",
    "IPv4 with a dot at its end": "http://127.0.0.1./",
    "metadata as a number": "http://2852039166/",
    "full-width digits": "http://\uff11\uff12\uff17.0.0.1/",
    "circled digits": "http://\u2460\u2461\u2466.0.0.1/",
    "mathematical digits": "http://\U0001d7cf\U0001d7d0\U0001d7d5.0.0.1/",
    "full-width dots": "http://127\u30020\u30020\u30021/",
    "half-width dots": "http://127\uff610\uff610\uff611/",
    "user name and password": "http://user:secret@127.0.0.1/",
    "host as a user name": "http://host.example@127.0.0.1/",
    "empty user name": "http://@127.0.0.1/",
    "two @": "http://a@b@127.0.0.1/",
    "@ and port": "http://host.example:80@127.0.0.1/",
    "backslash for slash": "http:\\\\127.0.0.1/",
    "backslash after the host": "http://127.0.0.1\\.host.example/",
    "percent in the host": "http://%31%32%37.0.0.1/",
    "percent-encoded dot": "http://127%2e0.0.1/",
    "percent-encoded full-width digit": "http://%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1/",
    "tab in the scheme": "ht\ttp://127.0.0.1/",
    "line feed in the host": "http://127.\n0.0.1/",
    "tab between the slashes": "http:/\t/127.0.0.1/",
    "soft hyphen": "http://127.0.\u00ad0.1/",
    "leading blank": " http://127.0.0.1/",
    "leading control": "\x00\x1fhttp://127.0.0.1/",
    "one slash": "http:/127.0.0.1/",
    "no slashes": "http:127.0.0.1/",
    "four slashes": "http:////127.0.0.1/",
    "IPv6 with IPv4 inside": "http://[::ffff:127.0.0.1]/",
    "IPv6 in full": "http://[0:0:0:0:0:0:0:1]/",
    "nothing": "",
    "no scheme": "host.example/picture.jpg",
    "no scheme but slashes": "//host.example/",
    "file": "file:///etc/passwd",
    "file with a host": "file://localhost/etc/passwd",
    "ftp": "ftp://host.example/picture.jpg",
    "gopher": "gopher://127.0.0.1:6379/_FLUSHALL",
    "data": "data:image/png;base64,AAAA",
    "javascript": "javascript:alert(1)",
    "jar": "jar:http://host.example/!/",
    "url:": "url:http://host.example/",
    "unix socket": "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "websocket": "ws://host.example/",
}


@pytest.mark.parametrize("name", TRICKS)
def test_tricks_with_urls_are_refused(name: str) -> None:
    message = refusal(TRICKS[name])
    assert "secret" not in message
    assert message.isprintable()


BROKEN = {
    "no host": "http://",
    "no host but a port": "http://:80/",
    "no host but a query": "http://?x",
    "no host but a user": "http://user:secret@/",
    "port 0": "http://host.example:0/",
    "port too large": "http://host.example:65536/",
    "port much too large": "http://host.example:99999999999999999999/",
    "port 99999": "https://host.example:99999/a?secret",
    "port after a user": "http://user:secret@host.example:99999/",
    "negative port": "http://host.example:-1/",
    "port in letters": "http://host.example:http/",
    "full-width port": "http://host.example:\uff18\uff10/",
    "two ports": "http://host.example:80:80/",
    "port of an address": "http://[::1]:99999/",
    "blank in the host": "http://host example/",
    "blank before the port": "http://host.example :80/",
    "underlined blank": "http://host\u00a0.example/",
    "null in the host": "http://127.0.0.1\0.host.example/",
    "delete in the host": "http://host\x7f.example/",
    "percent that is none": "http://host%zz.example/",
    "percent-encoded slash": "http://127.0.0.1%2f.example/",
    "percent-encoded @": "http://host%40127.0.0.1/",
    "IPv4 of five parts": "http://127.0.0.1.1/",
    "IPv4 too large": "http://256.256.256.256/",
    "name that ends in a number": "http://host.1/",
    "name that ends in hexadecimal": "http://host.0x1/",
    "comma": "http://host.example,127.0.0.1/",
    "IPv6 without brackets": "http://::1/",
    "IPv6 with one bracket": "http://[::1/",
    "IPv6 followed by text": "http://[::1]x/",
    "IPv6 of the future": "http://[v1.fe80]/",
    "IPv6 that is none": "http://[:::]/",
    "zone id": "http://[fe80::1%25eth0]/",
    "zone id, unencoded": "http://[fe80::1%eth0]/",
    "brackets around a name": "http://[localhost]/",
    "broken punycode": "http://xn--a.example\u00fc/",
    "label too long": f"http://{'a' * 64}.example/",
    "name too long": f"http://{'a.' * 127}a/",
    "empty label": "http://host..example/",
    "leading dot": "http://.host.example/",
    "only a dot": "http://./",
    "two dots at the end": "http://host.example../",
    "wildcard": "http://*.example/",
    "quotes": "http://'host'.example/",
    "parentheses": "http://(host).example/",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_url_that_leads_nowhere_is_not_called_forbidden(name: str) -> None:
    for guard in (CLOSED, Guard(["localhost"], [ip_network("127.0.0.0/8"), ip_network("::/0")])):
        message = refusal(BROKEN[name], guard, ItemErrorCode.FETCH_FAILED)
        assert "secret" not in message
        assert message.isprintable()
        assert message.rpartition("; ")[2].startswith(("write ", "take it out", "correct it", "leave it out")), message


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://", "names no host"),
        ("http://:80/", "names a port but no host"),
        ("https://host.example:99999/", "port outside 1 to 65535"),
        ("https://user:p@ss@host.example:99999/", "port outside 1 to 65535"),
        ("http://host example/", "blank in its host"),
        ("http://[fe80::1%25eth0]/", "IPv6 zone"),
        ("http://[::zz]/", "IPv6 address that is none"),
        ("http://256.1.1.1/", "IPv4 address that is none"),
        ("http://host..example/", "no valid name"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: str, words: str) -> None:
    assert words in refusal(url, code=ItemErrorCode.FETCH_FAILED)


PLAIN = {
    "http://host.example": "http://host.example/",
    "HTTP://HOST.Example/A": "http://host.example/A",
    "https://host.example:8443/a": "https://host.example:8443/a",
    "https://host.example:/a": "https://host.example/a",
    "https://user:secret@host.example/a": "https://host.example/a",
    "https://host.example?x=1": "https://host.example/?x=1",
    "https://host.example/a#part": "https://host.example/a",
    "https://host.example./a": "https://host.example./a",
    "http:///host.example/a": "http://host.example/a",
    "http:host.example": "http://host.example/",
    "http:\\\\host.example\\a": "http://host.example/a",
    "http://host.example\\@127.0.0.1/": "http://host.example/@127.0.0.1/",
    "\n https://host.example/a b \t": "https://host.example/a%20b",
    "https://ho\tst.exa\nmple/a\r\nb": "https://host.example/ab",
    "https://host.example/\x01\x7f": "https://host.example/%01%7F",
    "https://host.example:0080/": "https://host.example:80/",
    "https://host.example:443/": "https://host.example/",
    "https://h%6Fst.example/": "https://host.example/",
    "https://-host.example/": "https://-host.example/",
    "https://\uff48\uff4f\uff53\uff54.example/": "https://host.example/",
    "https://\ufb01le.example/": "https://file.example/",
    "https://host\u3002example/": "https://host.example/",
    "https://ho\u00adst.example/": "https://host.example/",
    "https://fa\u00df.example/": "https://xn--fa-hia.example/",
    "https://\u65e5\u672c\u8a9e.example/": "https://xn--wgv71a119e.example/",
    "https://\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444/": "https://xn--e1afmkfd.xn--p1ai/",
    "https://\u0645\u062b\u0627\u0644.\u0625\u062e\u062a\u0628\u0627\u0631/": "https://xn--mgbh0fb.xn--kgbechtv/",
    "https://xn--bcher-kva.example/": "https://xn--bcher-kva.example/",
    "https://\u2603.example/": "https://xn--n3h.example/",
    "https://host.example/\ud800": "https://host.example/%EF%BF%BD",
    "https://my_bucket.s3.example/a": "https://my_bucket.s3.example/a",
    "https://bücher.example/ü?ü=ü": "https://xn--bcher-kva.example/%C3%BC?%C3%BC=%C3%BC",
    "https://BÜCHER.example/": "https://xn--bcher-kva.example/",
    "https://host.example/my picture.jpg": "https://host.example/my%20picture.jpg",
    "https://host.example/a/../b": "https://host.example/b",
    "https://host.example/a?url=http://127.0.0.1/": "https://host.example/a?url=http://127.0.0.1/",
    "https://host.example/@user:80": "https://host.example/@user:80",
    # A signature covers each byte, so what was encoded stays so, and what was not does, too.
    "https://h.example/a%2Fb?X-Sig=a%2Bb%2f+c&x=~": "https://h.example/a%2Fb?X-Sig=a%2Bb%2f+c&x=~",
    "http://[2606:4700:4700:0::1111]:81/": "http://[2606:4700:4700::1111]:81/",
}


@pytest.mark.parametrize("url", PLAIN)
def test_plain_urls_pass_in_one_spelling(url: str) -> None:
    checked = CLOSED.check_url(url)
    assert checked.href == PLAIN[url]
    assert CLOSED.check_url(checked.href) == replace(checked, credentials=None)


@given(
    st.text(alphabet=st.characters(exclude_categories=[]), max_size=40),
    st.sampled_from(["", "http://", "https://h.example/"]),
)
@example("[", "http://")
@example("a\\@127.0.0.1/", "http://")
@example("a;b:c@h/;x@y?@#@", "http://")
def test_any_text_is_a_plain_url_or_refused(text: str, start: str) -> None:
    try:
        checked = CLOSED.check_url(start + text)
    except ItemError as error:
        refusals = (ItemErrorCode.FETCH_FORBIDDEN, ItemErrorCode.FETCH_FAILED)
        assert error.code in refusals  # noqa: PT017 (either outcome is right)
        return
    asked = URL(checked.href, encoded=True)
    assert (asked.scheme, asked.raw_host, asked.port) == (checked.scheme, checked.host, checked.port)
    assert checked.scheme in ("http", "https")
    assert asked.user is asked.password is None
    assert checked.href.isascii()
    assert " " not in checked.href
    assert host_of(start + text) == checked.host.removesuffix(".")


BASE = read("https://user:secret@host.example/a/b?secret=1")

REDIRECTS = {
    "/other": "https://host.example/other",
    "other?x=1": "https://host.example/a/other?x=1",
    "?x=1": "https://host.example/a/b?x=1",
    "//cdn.example/x": "https://cdn.example/x",
    "http://cdn.example/x": "http://cdn.example/x",
    "/a%2Fb?sig=%2B": "https://host.example/a%2Fb?sig=%2B",
    "": "https://host.example/a/b?secret=1",
    "#part": "https://host.example/a/b?secret=1",
    "/a#part": "https://host.example/a",
    "/my picture.jpg": "https://host.example/my%20picture.jpg",
    "  /a \t": "https://host.example/a",
    "/a\tb": "https://host.example/ab",
    "/a\x01b": "https://host.example/a%01b",
    "..\\c\\d": "https://host.example/c/d",
    "\\\\cdn.example\\x": "https://cdn.example/x",
    "/\\cdn.example/x": "https://cdn.example/x",
    "https:/x": "https://host.example/x",
    "https:x": "https://host.example/a/x",
    "http:/cdn.example/x": "http://cdn.example/x",
    "https:///cdn.example/x": "https://cdn.example/x",
    "HTTPS://CDN.example:443": "https://cdn.example/",
    "//user:secret@cdn.example/x": "https://cdn.example/x",
    "/b\u00fccher": "https://host.example/b%C3%BCcher",
    "//b\u00fccher.example/": "https://xn--bcher-kva.example/",
    "/b\udcfccher": "https://host.example/b%FCcher",
}


@pytest.mark.parametrize("location", REDIRECTS)
def test_redirects_lead_where_they_say(location: str) -> None:
    assert CLOSED.check_redirect(BASE, location).href == REDIRECTS[location]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "//127.0.0.1/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://2130706433/",
        "/\\127.0.0.1/",
        "\\\\127.0.0.1/",
        "/\t/127.0.0.1/",
        "//user@127.0.0.1/",
        "file:///etc/passwd",
        "ftp://host.example/",
        "data:image/png;base64,AAAA",
        "http:\n//127.0.0.1/",
        " http://127.0.0.1/",
    ],
)
def test_redirects_are_judged_like_urls(location: str) -> None:
    with pytest.raises(ItemError) as caught:
        CLOSED.check_redirect(BASE, location)
    assert caught.value.code is ItemErrorCode.FETCH_FORBIDDEN
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("location", ["http://", "//", "//host.example:99999/", "//ho st/", "//[::1", "//%zz/"])
def test_a_redirect_that_leads_nowhere_is_not_called_forbidden(location: str) -> None:
    with pytest.raises(ItemError) as caught:
        CLOSED.check_redirect(BASE, location)
    assert caught.value.code is ItemErrorCode.FETCH_FAILED
    assert "secret" not in caught.value.message


def test_messages_keep_the_query_to_themselves() -> None:
    message = refusal("ftp://user:secret@host.example/a?signature=secret#secret")
    assert "secret" not in message
    assert "ftp:" in message


def test_a_long_url_is_cut_in_messages() -> None:
    assert len(refusal("ftp://host.example/" + "a" * 8000)) < 400


def test_named_hosts_are_opened() -> None:
    guard = Guard(allowed_hosts=["Intranet.Example.", "127.0.0.1", "[::1]", "b\u00fccher.example"])
    guard.check_answer("xn--bcher-kva.example", ["10.0.0.1"])
    guard.check_answer("intranet.example", ["10.0.0.1", "8.8.8.8"])
    guard.check_answer("intranet.example.", ["10.0.0.1"])
    guard.check_url("http://127.0.0.1/")
    guard.check_url("http://[::1]/")
    for host in ("other.example", "sub.intranet.example", "intranet.example.evil"):
        with pytest.raises(ItemError):
            guard.check_answer(host, ["10.0.0.1"])
    refusal("http://127.0.0.2/", guard)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "http://intranet.example",
        "intranet.example:80",
        "*.example",
        "a/b",
        "a,b",
        "user@a",
        "::1:",
        "1:2",
        "[::1]:80",
    ],
)
def test_what_would_open_nothing_is_said(host: str) -> None:
    with pytest.raises(ValueError, match="no host; give names or addresses"):
        Guard(allowed_hosts=[host])


def test_networks_are_opened() -> None:
    guard = Guard(allowed_networks=[ip_network("127.0.0.0/8"), ip_network("fd00:1::/32")])
    for address in ("127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "fd00:1::5"):
        guard.check_address("host.example", address)
    for address in ("10.0.0.1", "::1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fd00:2::5"):
        with pytest.raises(ForbiddenAddress):
            guard.check_address("host.example", address)


def test_metadata_is_opened_only_by_its_own_address() -> None:
    wide = Guard(
        ["metadata.example"], [ip_network("169.254.0.0/16"), ip_network("100.64.0.0/10"), ip_network("fd00::/8")]
    )
    for address in ("169.254.169.254", "100.100.100.200", "fd00:ec2::254", "::ffff:169.254.169.254"):
        with pytest.raises(ForbiddenAddress, match="no public address") as caught:
            wide.check_address("metadata.example", address)
        assert "metadata" in caught.value.kind
    wide.check_address("host.example", "100.100.100.201")
    Guard(allowed_networks=[ip_network("169.254.169.254/32")]).check_address("host.example", "169.254.169.254")
