from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagebatch_server.urls import Credentials, host_of, read, shown, without_credentials


def test_the_host_is_what_is_counted_however_it_is_written() -> None:
    for text in (
        "https://EXAMPLE.com:8080/a?b",
        "http:example.com",
        "https://user:pw@example.com./",
        "\thttps://ex\nample%2Ecom",
        "https:\\\\example.com\\@other.example",
        "https://\uff45xample\u3002com/",
    ):
        assert host_of(text) == "example.com"
    assert host_of("http://127.1/") == host_of("http://2130706433/") == "127.0.0.1"
    assert host_of("http://[0:0::1]/") == "::1"


@pytest.mark.parametrize("text", ["", "http://", "http://[::1/", "http://host:99999/", "ftp://host/", "http://a..b/"])
def test_a_url_that_leads_nowhere_has_no_host(text: str) -> None:
    assert host_of(text) == ""


HIDDEN = {
    "https://user:secret@host.example/a?b=c#d": "https://host.example/a?b=c#d",
    "https://secret@host.example": "https://host.example/",
    "https://:secret@host.example/": "https://host.example/",
    "https://user:se@cret@host.example/": "https://host.example/",
    "https:user:secret@host.example/a": "https://host.example/a",
    "https:\\\\user:secret@host.example\\a": "https://host.example/a",
    "https://us\ter:sec\nret@host.example/": "https://host.example/",
    "https://user:secret@host.example:99999/a": "https://host.example:99999/a",
    "https://user:sec/ret@host.example/": "https://host.example/",
    "https://user:sec?secret@host.example/": "https://host.example/",
    "https://user:secret@[::1": "https://[::1",
    "https://user:secret@": "https://",
}


@pytest.mark.parametrize("text", HIDDEN)
def test_credentials_are_shown_nowhere(text: str) -> None:
    assert without_credentials(text) == HIDDEN[text]
    assert "secret" not in shown(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://HOST.example/My Picture.jpg",
        "https://host.example/@user:80?mail=a@b.example#@",
        "https://host.example\\@other.example",
        "https://host.example:99999/",
        "https://@host.example/",
    ],
)
def test_a_url_without_credentials_stays_as_it_is(text: str) -> None:
    assert without_credentials(text).replace("@", "") == text.replace("@", "")


def test_credentials_are_what_browsers_send() -> None:
    url = read("https://us%C3%A9r:p%40ss%3Aword@host.example/")
    assert url.credentials == Credentials("us\u00e9r".encode(), b"p@ss:word")
    assert base64.b64decode(url.credentials.as_basic().removeprefix("Basic ")) == "us\u00e9r:p@ss:word".encode()
    assert read("https://@host.example/").credentials is None
    assert read("https://:@host.example/").credentials is None
    assert "p@ss" not in repr(url)
    assert url.href == "https://host.example/"


def test_an_origin_is_scheme_host_and_port() -> None:
    assert read("https://host.example/a").origin == read("https://u:p@HOST.example:443/b").origin
    for other in ("http://host.example/", "https://host.example:444/", "https://sub.host.example/"):
        assert read("https://host.example/").origin != read(other).origin


@given(
    # Behind one of the characters that are left out it is path, query or fragment.
    st.text(alphabet=st.characters(exclude_characters="/\\?#@"), max_size=30),
    st.text(alphabet="abc:/?#[]% \t", max_size=30),
)
@example(":", ":99999")
@example("", "@")
def test_no_secret_survives_whatever_stands_around_it(before: str, after: str) -> None:
    text = f"https://{before}s3cr3t@host.example{after}"
    assert "s3cr3t" not in without_credentials(text)
    assert "s3cr3t" not in shown(text)
