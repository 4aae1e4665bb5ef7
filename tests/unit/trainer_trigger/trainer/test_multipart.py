from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer_trigger.trainer.multipart import Begin, Data, Multipart, boundary_of
from trainer_trigger.trainer.refused import Refused

BOUNDARY = b"b0undary"


def body(*parts: tuple[str, str | None, bytes], boundary: bytes = BOUNDARY) -> bytes:
    made = b""
    for name, filename, content in parts:
        named = f'; filename="{filename}"' if filename is not None else ""
        made += b"--" + boundary + b"\r\n"
        made += f'Content-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode()
        made += content + b"\r\n"
    return made + b"--" + boundary + b"--\r\n"


def taken(chunks: list[bytes], boundary: bytes = BOUNDARY) -> list[tuple[str, str | None, bytes]]:
    parts: list[tuple[str, str | None, bytes]] = []
    multipart = Multipart(boundary)
    for chunk in chunks:
        for told in multipart.feed(chunk):
            match told:
                case Begin(name, filename):
                    parts.append((name, filename, b""))
                case Data(content):
                    name, filename, before = parts[-1]
                    parts[-1] = (name, filename, before + content)
    multipart.finish()
    return parts


# Bytes that look like the end of a part, and then are not.
near = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"--", b"\r\n--", b"\r\n--b0undar", b"a", b"--b0undary", b"\0"])
)


@given(
    near.map(b"".join), st.lists(st.integers(1, 40)), st.text(st.characters(codec="utf-8", exclude_categories=["C"]))
)
def test_what_comes_out_is_what_was_sent_however_it_is_cut(content: bytes, sizes: list[int], filename: str) -> None:
    filename = filename.replace('"', "").replace("\\", "").replace("\u2028", "").replace("\u2029", "").strip()
    sent = [("purpose", None, b"fine-tune"), ("file", filename, content)]
    if b"\r\n--b0undary" in b"\r\n" + content:
        return  # a sender chooses another boundary then
    whole, chunks = body(*sent), []
    for size in sizes:
        chunks.append(whole[:size])
        whole = whole[size:]
    assert taken([*chunks, whole]) == sent


def test_a_large_part_is_not_held() -> None:
    multipart = Multipart(BOUNDARY)
    head, _, tail = body(("file", "a", b"|")).partition(b"|")
    list(multipart.feed(head))
    for _ in range(100):
        told = list(multipart.feed(b"x" * 10_000))
        assert sum(len(each.content) for each in told if isinstance(each, Data)) >= 9_900
    list(multipart.feed(tail))
    multipart.finish()


def test_what_comes_after_the_last_part_is_passed_over() -> None:
    sent = ("file", "a", b"content")
    assert taken([body(sent) + b"epilogue"]) == [sent]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"no multipart at all",
        body(("file", "a", b"x"))[:-6],
        body(("file", "a", b"x")).replace(b"--b0undary\r\n", b"--b0undary x\r\n"),
        b"--b0undary\r\nX: y\r\n\r\nx\r\n--b0undary--",
        b"--b0undary\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b0undary--",
        b"--b0undary\r\nContent-Disposition: attachment; name=file\r\n\r\nx\r\n--b0undary--",
        b"--b0undary\r\n" + b"X" * 20_000,
        body(*[("file", "a", b"x")] * 17),
    ],
)
def test_a_broken_body_is_refused(broken: bytes) -> None:
    with pytest.raises(Refused) as refused:
        taken([broken])
    assert refused.value.status == 400


def test_only_multipart_with_a_boundary_is_taken() -> None:
    assert boundary_of('multipart/form-data; boundary="a b"') == b"a b"
    for told, status in (
        ("application/json", 415),
        ("", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=" + "x" * 71, 400),
        ("multipart/form-data; boundary=\u00fc", 400),
    ):
        with pytest.raises(Refused) as refused:
            boundary_of(told)
        assert refused.value.status == status
