from __future__ import annotations

import os

import pytest

from core.decisions import Decider, DecisionPolicy, Rule
from core.errors import ConfigurationError
from core.rules.condition import Comparison, Every, Name, Number, Presence, Some, Text
from core.rules.reading import MAX_CHARACTERS, MAX_DEPTH, condition_of

A, B, S = Name("v:a"), Name("v:b"), Name("score")
KNOWN = {"score": (), "request:amount": (), "v:amount_mean": (), "v:country": ("AT", "BE")}


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("score > 0.9", Comparison(">", S, Number(0.9))),
        ("0.9 < score", Comparison(">", S, Number(0.9))),
        ("score > 1 - 0.5", Comparison(">", S, Number(0.5))),
        ("not score > 0.9", Comparison("<=", S, Number(0.9))),
        ("not not score > 0.9", Comparison(">", S, Number(0.9))),
        ("v.a >= 1_000", Comparison(">=", A, Number(1000.0))),
        ("v.a > -2", Comparison(">", A, Number(-2.0))),
        ("0 < v.a <= 9", Every((Comparison(">", A, Number(0)), Comparison("<=", A, Number(9))))),
        ("v.a in (1, 2)", Some((Comparison("==", A, Number(1)), Comparison("==", A, Number(2))))),
        (
            "v.a not in [1, 2]",
            Every((Comparison("!=", A, Number(1)), Comparison("!=", A, Number(2)))),
        ),
        (
            "not (v.a > 1 or is_missing(v.b))",
            Every((Comparison("<=", A, Number(1)), Presence(B, is_missing=False))),
        ),
        ('v.a == "AT"', Comparison("==", A, Text("AT"))),
        ("v.a == 'C#'", Comparison("==", A, Text("C#"))),
        ("v.a > 1\n  and v.b < 2", Every((Comparison(">", A, Number(1)),
                                          Comparison("<", B, Number(2))))),
    ],
)  # fmt: skip
def test_a_text_means_a_condition(text, condition):
    assert condition_of(text) == condition


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("score >", "cannot be read"),
        ("score > 0.5) or (score > 0.4", "cannot be read"),
        ("score = 0.5", "cannot be read"),
        ("score > 0.5 # high", "a comment"),
        ("v.a == 'C#' # 'D'", "a comment"),
        (r"v.a == '\x41'", "a backslash"),
        ("score", r"needs a condition; found the number `score`; compare it .* `score > 0`"),
        ("'AT'", "needs a condition; found the text"),
        ("v.a and score > 0.5", "needs a condition; found the number `v.a`"),
        ("True", "no number and no text"),
        ("None == v.a", "no number and no text"),
        ("v.a > b'x'", "no number and no text"),
        ("v.a > 1j", "no number and no text"),
        ("v.a is 1", "may not use `is`"),
        ("v.a in v.b", "needs a list of constants"),
        ("v.a in ()", "needs a list of constants"),
        ("v.a in (1, v.b)", "needs constants"),
        ("1 < 2", "compares two constants"),
        ("'a' == 'b'", "compares two constants"),
        ("score == 0.5", "the score is asked to be equal"),
        ("0.5 != score", "the score is asked to be equal"),
        ("score in (0.5, 1)", "the score is asked to be equal"),
        ("v.a < 'AT'", "text has no order"),
        ("v.a + 1 == 'AT'", "text is compared with a number"),
        ("score > 'AT'", "text is compared with a number"),
        ("v.a + 'x' > 1", "calculates with text"),
        ("v.a > 1 / 0", "a constant has no value"),
        ("v.a > 1e999", "beyond float64"),
        ("v.a > 9007199254740993", "beyond float64"),
        ("v.a > " + "9" * 400, "beyond float64"),
        ("(v.a > 1) > 0", "a condition stands where a number is needed"),
        ("(not v.a > 1) > 0", "a condition stands where a number is needed"),
        ("v.a ** 2 > 1", "uses what it may not"),
        ("v.a % 2 > 1", "uses what it may not"),
        ("v['a'] > 1", "uses what it may not"),
        ("(lambda: 1) > 0", "uses what it may not"),
        ("(v.a if v.b > 1 else 2) > 1", "uses what it may not"),
        ("(x := 1) > 0", "uses what it may not"),
        ("f'{score}' == v.a", "uses what it may not"),
        ("[1 for x in v.a] > 1", "uses what it may not"),
        ("scores > 1", "reads an unknown name; found `scores`"),
        ("a.b.c > 1", "reads an unknown name; found `a.b.c`"),
        ("__import__('os').system('true') > 0", "a condition stands where"),
        ("print(1)", "calls something"),
        ("is_missing(v.a, v.b)", "calls something"),
        ("is_missing(x=v.a)", "calls something"),
        ("v.is_missing(v.a)", "calls something"),
        ("is_missing(3)", "a constant is never missing"),
        ("v.a > 1 and " * 90 + "v.a > 1", "too long"),
        ("not " * (MAX_DEPTH - 2) + "v.a > 1", "nested too deep"),
        ("v.a > " + "-" * 900 + "v.b", "nested too deep|cannot be read"),
        ("(" * 400 + "v.a > 1" + ")" * 400, "cannot be read"),
        ("v.a" + ".b" * 400 + " > 1", "nested too deep"),
        ("v.a > \0", "cannot be read"),
    ],
)
def test_what_has_no_meaning_is_refused_with_the_reason(text, said):
    with pytest.raises(ConfigurationError, match=said):
        condition_of(text)


def test_the_longest_and_the_deepest_rule_are_read():
    assert condition_of("v.a > 1".ljust(MAX_CHARACTERS))
    assert condition_of("not " * (MAX_DEPTH - 3) + "v.a > 1")


def test_reading_runs_nothing(monkeypatch):
    def fail(*_):
        raise AssertionError("run")

    monkeypatch.setattr(os, "system", fail)
    for text in ("__import__('os').system('x')", "[].__class__ > 1", "(yield) > 1"):
        with pytest.raises(ConfigurationError):
            condition_of(text)


def made(*texts):
    rules = tuple(Rule(decision="D", when=text, reason="r") for text in texts)
    return Decider(DecisionPolicy(rules=rules, default="A", default_reason="r"), KNOWN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("v.amount_maen > 1", r"rule 2: .*found `v.amount_maen`; v.amount_mean is near"),
        ("request.amount_mean > 1", "found `request.amount_mean`"),
        ("v.country > 1", "takes the category v.country for a number"),
        ("v.amount_mean > v.country", "takes the category v.country for a number"),
        ("is_missing(v.country + 1)", "takes the category v.country for a number"),
        ("v.country == 'XX'", "names a category .* found 'XX'; take one of AT, BE"),
        ("v.amount_mean == 'AT'", "compares the number v.amount_mean with text"),
        ("score >", "rule 2: a rule cannot be read"),
    ],
)
def test_a_name_that_the_plan_has_not_is_refused_with_its_rule(text, said):
    with pytest.raises(ConfigurationError, match=said):
        made("score > 0.9", text)


def test_a_decider_reads_what_its_rules_name_each_once():
    decider = made("request.amount > v.amount_mean", "v.country == 'BE' and request.amount > 1")
    assert decider.reads == ("request:amount", "v:amount_mean", "v:country")
