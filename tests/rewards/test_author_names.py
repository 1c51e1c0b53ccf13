import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.scoring.reference_consistency import read_authors

TWO = {("lovelace", "a"), ("turing", "a")}
LISTS = {
    "Ada Lovelace, Alan Turing": TWO,
    "Ada Lovelace and Alan Turing": TWO,
    "Alan Turing & Ada Lovelace.": TWO,
    "A. Lovelace, A. M. Turing": TWO,
    "Lovelace, A., Turing, A. M.": TWO,
    "Lovelace, A., & Turing, A. M.": TWO,
    "Lovelace A, Turing AM": TWO,
    "Lovelace A.; Turing A.M.": TWO,
    "Lovelace, Ada; Turing, Alan": TWO,
    "1. Ada Lovelace\n2. Alan Turing": TWO,
    "- Lovelace, Ada\n- Turing, Alan\n": TWO,
    "Authors: Ada Lovelace, Alan Turing": TWO,
    "The authors are ADA LOVELACE and ALAN TURING.": TWO,
    "Ada Lovelace (London), Alan Turing [2], et al.": TWO,
    "Dr. Ada Lovelace, PhD, Prof. Alan Turing": TWO,
    "Ada Lovelace, Alan Turing, Ada Lovelace": TWO,
    "Ada Lovelace, Alan Turing and others": TWO,
    "Lovelace and Turing": {("lovelace", ""), ("turing", "")},
    "Lovelace et al.": {("lovelace", "")},
    "Laurens van der Maaten": {("maaten", "l")},
    "van der Maaten, L., Hinton, G.": {("maaten", "l"), ("hinton", "g")},
    "Gabriel García Márquez": {("marquez", "g")},
    "Łukasz Kaiser": {("kaiser", "l")},
    "Jean-Luc O'Brien": {("obrien", "j")},
    "O'Brien, J.-L.": {("obrien", "j")},
    "Martin Luther King Jr.": {("king", "m")},
    "King, M. L., Jr.": {("king", "m")},
    "Wei Li, Kim Lee": {("li", "w"), ("lee", "k")},
    "Sandra Anderson": {("anderson", "s")},
    # stated ambiguities
    "Lovelace, Ada": {("lovelace", ""), ("ada", "")},
    "Li Wei": {("wei", "l")},
    # nobody
    "": set(),
    "???": set(),
    "unknown": set(),
    "I do not know who wrote this paper": set(),
    "and": set(),
}


@pytest.mark.parametrize("text", LISTS)
def test_lists_in_every_style_give_surname_and_initial(text):
    assert {tuple(author) for author in read_authors(text)} == LISTS[text]


NAMES = st.lists(st.sampled_from(["Ada Lovelace", "Kurt Gödel", "A. Turing", "Emmy Noether"]), min_size=1, unique=True)


@given(NAMES, st.randoms(), st.sampled_from([", ", "; ", " and ", "\n"]))
def test_order_and_separator_do_not_matter(names, rng, separator):
    assert read_authors(separator.join(rng.sample(names, len(names)))) == read_authors(", ".join(names))


@given(st.text(max_size=60))
def test_any_text_is_read(text):
    assert all(author.surname for author in read_authors(text))


def test_long_texts_are_read_quickly():
    for piece in ("a, ", "x", "A", ", A.", " and ", "(", "\n", "et al "):
        assert len(read_authors(piece * (100_000 // len(piece)))) <= 5000
    began = time.process_time()
    assert read_authors("Ada" + 3000 * " " + "Lovelace") == {("lovelace", "a")}
    assert time.process_time() - began < 10  # seconds; a search that goes back takes minutes
