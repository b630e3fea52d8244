import time

import pytest

from core.scrubbing import HIDDEN, MOST_CHARACTERS, Scrubber, secrets_of

KEY = "tl_0123456789ab_" + "5" * 64


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"a request with {KEY} came", "5" * 64),
        (f"Authorization: Bearer {KEY}", "5" * 64),
        ("authorization='Basic dXNlcjpwYXNz'", "dXNlcjpwYXNz"),
        ("{'authorization': b'Digest abcdef012345'}", "abcdef012345"),
        ("Error 111 connecting to redis://:pa55w0rd@db:6379", "pa55w0rd"),
        ("postgresql://ada:p%40ss/w0rd@h/db refused", "ada:p"),
        ("GET /v1/x?api_key=abc123def&x=1", "abc123def"),
        ('{"password": "abc 123"}', "abc"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"),
        ("the key AKIAIOSFODNN7EXAMPLE is unknown", "AKIAIOSFODNN7EXAMPLE"),
        ("token eyJhbGciOi.eyJzdWIiOi.SflKxwRJSM expired", "eyJzdWIiOi"),
        ("Cookie: session=abcdef", "abcdef"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- found", "MIIE"),
        ("-----BEGIN EC PRIVATE KEY-----\nMIIE", "MIIE"),
        ("no such customer ann.o'neil@example.co.uk", "neil@example"),
        ("paid by 4111-1111-1111-1111.", "4111"),
        ("paid by 378282246310005", "378282246310005"),
    ],
)
def test_what_looks_secret_is_hidden(text, secret):
    assert secret in text
    assert secret not in Scrubber().scrub(text)
    assert HIDDEN in Scrubber().scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        "serving channels 12: fraud 3 (challenger 4 at 5%)",
        "the access keys stay as they were: a file is older; found counter 3 after 4",
        "records stay on this machine: [Errno 28] No space left on device: '/x/a-12.sealed'",
        "1767225600000 ms, 12345678901234 rows, digest 243958db5918f877a2a7, 1.5e308",
        "listening on http://127.0.0.1:8080 (docs at /docs)",
        "keys opens nothing; make one (`throughline keys create`)",
    ],
)
def test_what_is_no_secret_stays(text):
    assert Scrubber().scrub(text) == text


def test_known_secrets_are_hidden_wherever_they_stand_the_longer_first():
    scrubber = Scrubber(["correct-horse", "correct-horse-battery", "short"])
    assert scrubber.scrub("xcorrect-horse-batteryx (short) correct-horse") == (
        f"x{HIDDEN}x (short) {HIDDEN}"
    )


def test_a_known_secret_with_signs_of_patterns_is_taken_as_it_is():
    assert Scrubber(["a.c(d)+e"]).scrub("abcd+e a.c(d)+e") == f"abcd+e {HIDDEN}"


def test_secrets_of_an_environment_are_found_by_name_and_in_urls():
    found = secrets_of(
        {
            "THROUGHLINE_SERVICE_KEY": KEY,
            "DB_PASSWORD": "pa55w0rd",
            "THROUGHLINE_ONLINE_URL": "redis://:p%40ss%2Fword@db:6379/0",
            "PATH": "/usr/bin",
            "PWD": "/home/ada/work",  # every path in a message began with three stars
            "OLDPWD": "/home/ada",
        }
    )
    assert found == {KEY, "pa55w0rd", "p%40ss%2Fword", "p@ss/word"}


@pytest.mark.parametrize("text", ["a" * 10**6, "password" * 10**5, "1 " * 10**6, "a@" * 10**5])
def test_a_long_text_is_cut_and_takes_no_time(text):
    began_s = time.thread_time()  # of this thread alone, however busy the machine
    assert len(Scrubber(["abcdef" * 3]).scrub(text)) <= MOST_CHARACTERS + len(" (cut)")
    assert time.thread_time() - began_s < 5
