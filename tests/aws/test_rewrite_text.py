import json
from collections.abc import Callable
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.rewrite_text import Change, JsonWalker, XmlWalker, is_xml, walk, walker_of

FIELDS = frozenset({"Url", "Urls"})
LIMIT = 24


def loud(field: str, value: str) -> str:
    return f"{field}={value.upper()}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"Url":"a","Other":"b"}', b'{"Url":"Url=A","Other":"b"}'),
        (b'{ "Url" : "a" , "n": 1.00e5}', b'{ "Url" : "Url=A" , "n": 1.00e5}'),
        (b'{"Urls":["a", "b"],"Other":["c"]}', b'{"Urls":["Urls=A", "Urls=B"],"Other":["c"]}'),
        (b'{"Other":"{\\"Url\\":\\"a\\"}"}', b'{"Other":"{\\"Url\\":\\"a\\"}"}'),
        (b'{"Url":"\\u00e4\\n\\""}', b'{"Url":"Url=\\u00c4\\n\\""}'),
        (b'{"Url":{"Url":"a"},"x":"y"}', b'{"Url":{"Url":"Url=A"},"x":"y"}'),
        (b'{"Url":null}', b'{"Url":null}'),
        (b'{"Url":"\\x"}', b'{"Url":"\\x"}'),
        (b'{"Url":"\xff"}', b'{"Url":"\xff"}'),
        (b'{"Url":"unfinished', b'{"Url":"unfinished'),
        (b'{"Url"', b'{"Url"'),
        (b"", b""),
        (b'"Url', b'"Url'),
    ],
)
def test_strings_of_json(text: bytes, expected: bytes) -> None:
    assert walk(text, FIELDS, loud) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"<a><Url>x</Url><Other>y</Other></a>", b"<a><Url>Url=X</Url><Other>y</Other></a>"),
        (b"<n:Url k='v'>x</n:Url>", b"<n:Url k='v'>Url=X</n:Url>"),
        (b"<Urls><m>x</m></Urls>", b"<Urls><m>x</m></Urls>"),
        (b"<Url/><a>x</a>", b"<Url/><a>x</a>"),
        (b"<Url />x<a>x</a>", b"<Url />x<a>x</a>"),
        (b"<Url></Url>", b"<Url></Url>"),
        (b"<Url>a&amp;b&#65;&#x42;&quot;</Url>", b"<Url>Url=A&amp;BAB&quot;</Url>"),
        (b"<Url>a&#13;</Url>", b"<Url>Url=A&#13;</Url>"),
        (b"<Url>&#9999999;&nope;</Url>", b"<Url>Url=&amp;#9999999;&amp;NOPE;</Url>"),
        (b"<!-- <Url>x</Url> --><Url>y</Url>", b"<!-- <Url>x</Url> --><Url>Url=Y</Url>"),
        (b"<Url><![CDATA[<Url>x</Url>]]></Url>", b"<Url><![CDATA[<Url>x</Url>]]></Url>"),
        (b"<?xml version='1.0'?>\n<Url>x</Url>", b"<?xml version='1.0'?>\n<Url>Url=X</Url>"),
        (b"<Url>\xff</Url>", b"<Url>\xff</Url>"),
        (b"<Url>x", b"<Url>x"),
        (b"<Url", b"<Url"),
        (b"<", b"<"),
        (b"<!-", b"<!-"),
        (b"<!-- x", b"<!-- x"),
    ],
)
def test_texts_of_xml(text: bytes, expected: bytes) -> None:
    assert walk(text, FIELDS, loud) == expected


def test_what_does_not_change_stays_byte_for_byte() -> None:
    text = b'{"Url" : "\\u0041\\/", "x":1}'
    assert walk(text, FIELDS, lambda _, value: value) == text
    markup = b"<Url>&#65;&gt;&quot;</Url>"
    assert walk(markup, FIELDS, lambda _, value: value) == markup


@pytest.mark.parametrize(
    ("beginning", "expected"),
    [(b" \n<a/>", True), (b"\xef\xbb\xbf<a/>", True), (b"{}", False), (b"", False), (b"[", False)],
)
def test_xml_is_known_by_its_beginning(beginning: bytes, expected: bool) -> None:  # noqa: FBT001 - a table
    assert is_xml(beginning) is expected


@pytest.mark.parametrize(
    "text",
    [
        b'{"Url":"%b","Url":"a"}' % (b"x" * (LIMIT + 1)),
        b'{"Urls":["%b","a"]}' % (b"x" * (LIMIT + 1)),
        b'{"Url":"a","%b":"b"}' % (b"k" * (LIMIT + 1)),
        b'{"Url"%b:"b"}' % (b" " * (LIMIT + 1)),
        b'{"Url":"%b\\\\","Url":"a"}' % (b"\\n" * LIMIT),
        b"<Url>%b</Url><Url>a</Url>" % (b"x" * (LIMIT + 1)),
        b"<Url>x</Url><Url %b>x</Url>" % (b"k" * LIMIT),
        b"<Url %b" % (b"k" * LIMIT),
    ],
)
def test_what_is_too_long_is_let_go_the_same_way_however_it_is_cut(text: bytes) -> None:
    whole = through(text, [text])
    assert whole.count(b"=") == whole.count(b"=A") + whole.count(b"=X")
    assert len(whole) >= len(text)
    for size in (1, 2, 3, 7):
        assert through(text, [text[i : i + size] for i in range(0, len(text), size)]) == whole


def through(text: bytes, pieces: list[bytes], change: Change = loud) -> bytes:
    walker = walker_of(text, FIELDS, change, limit=LIMIT)
    return b"".join([*map(walker.feed, pieces), walker.end()])


NAMES = st.sampled_from(["Url", "Urls", "Other", "Message"])
TEXTS = st.text(max_size=LIMIT)
VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
type Spell = Callable[[object], str]
SPELLINGS: tuple[Spell, ...] = (
    json.dumps,
    lambda value: json.dumps(value, indent=1),
    lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
)


def expected_of(value: object, key: str) -> object:
    """Change as the walker is said to, by the book: the last key before a string is its field's."""
    last = [key]

    def go(one: object) -> object:
        if isinstance(one, dict):
            made = {}
            for name, inner in one.items():
                last[0] = name
                made[name] = go(inner)
            return made
        if isinstance(one, list):
            return [go(inner) for inner in one]
        return loud(last[0], one) if isinstance(one, str) and last[0] in FIELDS else one

    return go(value)


@given(VALUES, st.sampled_from(SPELLINGS))
def test_json_is_changed_where_its_fields_stand_and_nowhere_else(value: object, spell: Spell) -> None:
    text = spell(value).encode("utf-8", "surrogatepass")
    assert json.loads(walk(text, FIELDS, loud)) == expected_of(value, "")


@given(VALUES, st.sampled_from(SPELLINGS), st.lists(st.integers(min_value=0, max_value=400), max_size=8))
def test_cuts_in_json_do_not_matter(value: object, spell: Spell, cuts: list[int]) -> None:
    text = spell(value).encode("utf-8", "surrogatepass")
    assert through(text, cut(text, cuts)) == through(text, [text])


XML_TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), max_size=LIMIT)


@given(st.lists(st.tuples(NAMES, XML_TEXTS), max_size=6), st.lists(st.integers(min_value=0, max_value=400), max_size=8))
def test_xml_is_changed_where_its_fields_stand_however_it_is_cut(
    elements: list[tuple[str, str]], cuts: list[int]
) -> None:
    root = ET.Element("Root")
    for name, text in elements:
        ET.SubElement(root, name).text = text
    spelled = ET.tostring(root)
    changed = walk(spelled, FIELDS, loud)
    expected = [loud(name, text) if name in FIELDS and text else text or None for name, text in elements]
    assert [one.text for one in ET.fromstring(changed)] == expected  # noqa: S314 - our own
    assert through(spelled, cut(spelled, cuts)) == through(spelled, [spelled])


@given(
    st.lists(
        st.sampled_from([b'"', b"\\", b"<", b">", b"<!--", b"-->", b"Url", b":", b" ", b"<![CDATA[", b"]]>", b"/"])
    ),
    st.lists(st.integers(min_value=0, max_value=120), max_size=8),
)
def test_cuts_in_anything_do_not_matter_and_nothing_is_lost(tokens: list[bytes], cuts: list[int]) -> None:
    text = b"".join(tokens)
    same: Change = lambda _, value: value  # noqa: E731 - a value
    for kind in (JsonWalker, XmlWalker):
        for change in (loud, same):
            whole = kind(FIELDS, change, limit=LIMIT)
            expected = whole.feed(text) + whole.end()
            pieces = kind(FIELDS, change, limit=LIMIT)
            assert b"".join([*map(pieces.feed, cut(text, cuts)), pieces.end()]) == expected
            if change is same:
                assert expected == text


def cut(text: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place for place in places if place < len(text)), len(text)]
    return [text[begin:end] for begin, end in pairwise(edges)]
