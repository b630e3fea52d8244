"""What a declared use case must fulfil by itself, before anything is compiled."""

from __future__ import annotations

import re

from core.contracts import Source, check_declaration
from core.decisions import check_policy
from core.errors import ConfigurationError
from core.rows.event_versions import check_former
from core.use_case import UseCase

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST_NAME = 60


def is_name(text: str) -> bool:
    """Whether a use case may be called so.

    Examples
    --------
    >>> is_name("card_fraud"), is_name("card__fraud"), is_name("Churn")
    (True, False, False)
    """
    return _NAME.fullmatch(text) is not None and len(text) <= _LONGEST_NAME


def check_use_case(use_case: UseCase) -> None:
    """Refuse a use case that contradicts itself.

    Raises
    ------
    ConfigurationError
        For a name that cannot become a path, no owner, a contract that contradicts itself,
        a label that leads nowhere, or a decision rule that cannot be read or never fires.
    """
    if not is_name(use_case.name):
        raise _wrong(use_case, "cannot be called so", "lower-case words and underscores only")
    if not use_case.owners:
        raise _wrong(use_case, "has no owner", "name who answers for it")
    for source in use_case.sources:
        check_declaration(source)
        check_former(source)
    names = [source.name for source in use_case.sources]
    if len(set(names)) < len(names):
        raise _wrong(use_case, f"declares a source twice: {names}", "remove one")
    _check_references(use_case)
    _check_label(use_case)
    _check_decisions(use_case)


def _check_references(use_case: UseCase) -> None:
    for source in use_case.sources:
        for reference in source.references:
            what = f"the reference of {source.name!r} to {reference.source!r}"
            target = _source(use_case, reference.source, what)
            for column in reference.columns:
                _check_column(use_case, source, column, what)
            for column in reference.target_columns:
                _check_column(use_case, target, column, what)


def _check_label(use_case: UseCase) -> None:
    label = use_case.label
    labels = _source(use_case, label.source, "the label")
    _source(use_case, label.example_source, "the label")
    for column in (label.column, label.refers_to):
        _check_column(use_case, labels, column, "the label")
    if labels.field(label.column).type not in {"int64", "bool"}:
        raise _wrong(use_case, f"has a label {label.column!r} that is not 0 or 1", "use int64")
    if not 0 <= label.maturity_days <= labels.retention_days:
        raise _wrong(use_case, "has a maturity beyond its labels' retention", "shorten it")


def _check_decisions(use_case: UseCase) -> None:
    try:
        check_policy(use_case.decisions)
        if use_case.degradation is not None:
            check_policy(use_case.degradation.unscored)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"in the use case {use_case.name!r}, {error.wrong}",
            found=error.found,
            remedy=error.remedy,
        ) from None


def _source(use_case: UseCase, name: str, what: str) -> Source:
    try:
        return use_case.source(name)
    except KeyError:
        known = ", ".join(source.name for source in use_case.sources)
        raise _wrong(
            use_case, f"lacks the source {name!r} of {what}", f"add it to sources ({known})"
        ) from None


def _check_column(use_case: UseCase, source: Source, column: str, what: str) -> None:
    known = ["event_id", *(field.name for field in source.fields)]
    if column not in known:
        raise _wrong(
            use_case,
            f"lacks the column {column!r} of {what}",
            f"{source.name!r} has {', '.join(known)}",
        )


def _wrong(use_case: UseCase, wrong: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"the use case {use_case.name!r} {wrong}", remedy=remedy)
